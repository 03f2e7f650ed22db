"""Where one target stands and when to try again: states, progress and back-off, without a clock of its own.

States in order: CONNECTING, LIVE; from LIVE to STALLED when nothing is acknowledged for too long, or back to CONNECTING
when the server ends it; to FAILED when an attempt fails, and from there to LIVE alone, so that attempts in between are
counted and not told one by one. Progress is media the target's host has acknowledged, never bytes of a handshake.
Spec: rules R37, R38.
"""

from dataclasses import dataclass, replace

from soloist.model.forward import ForwardState, TargetStatus
from soloist.wire.rtmp import masked, target_id

PAUSE_S_MIN = 1.0
PAUSE_S_MAX = 60.0
JITTER = 0.2
"""Pauses vary by this share, so that the jobs of a server that comes back do not come all at once."""
STALLED_S = 30.0
STEADY_S = 10.0
"""A target that takes media for so long has earned a short pause again."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one waits for what."""

    answer_s: float = 10.0
    """For a connection, and then for the server to take the stream."""
    stalled_s: float = STALLED_S
    pause_s_max: float = PAUSE_S_MAX
    steady_s: float = STEADY_S


class Standing:
    """One target's state over all its connections. Moments are seconds of one clock, and milliseconds of Unix time."""

    def __init__(self, url: str, now_ms: int, patience: Patience) -> None:
        self.status = TargetStatus(target_id(url), masked(url), since_ms=now_ms)
        self._patience = patience
        self._failures = 0
        """In a row; what the next pause grows with."""
        self._attempts = 0
        self._progress_at = 0.0
        self._live_from: float | None = None
        self._acknowledged_bytes = 0
        """On this connection."""

    def attempted(self, now: float, now_ms: int) -> None:
        """Note that a connection is begun."""
        self._attempts += 1
        self._live_from, self._progress_at, self._acknowledged_bytes = None, now, 0
        self._change(self.status.state, now_ms, retries=self._attempts - 1)

    def accepted(self, now: float) -> None:
        """Note that the server takes the stream: from now on media is to flow."""
        self._progress_at = now

    def acknowledged(self, count: int, now: float, now_ms: int, *, is_all: bool) -> None:
        """Note how many bytes of media the target has acknowledged on this connection, and whether it was all."""
        if count > self._acknowledged_bytes:
            self._change(
                ForwardState.LIVE, now_ms, bytes_sent=self.status.bytes_sent + count - self._acknowledged_bytes
            )
            self._acknowledged_bytes, self._progress_at = count, now
            self._live_from = now if self._live_from is None else self._live_from
            if now - self._live_from >= self._patience.steady_s:
                self._failures = 0
        elif is_all:
            self._progress_at = now

    def is_stalled(self, now: float) -> bool:
        """Return whether nothing was acknowledged for too long although there is something."""
        return now - self._progress_at > self._patience.stalled_s

    def failed(self, error: str, now_ms: int, chance: float, *, is_stalled: bool = False) -> float:
        """Note that a connection ended and return how many seconds to pause; `chance` is random, 0 to 1."""
        was_live = self._live_from is not None
        if is_stalled and was_live:
            state = ForwardState.STALLED
        else:
            state = ForwardState.CONNECTING if was_live else ForwardState.FAILED
        self._change(state, now_ms, last_error=error)
        self._live_from = None
        pause_s = min(self._patience.pause_s_max, PAUSE_S_MIN * 2.0 ** min(self._failures, 16))
        self._failures += 1
        return pause_s * (1 + JITTER * (2 * chance - 1))

    def counted(self, *, pictures: int, sounds: int, dropped: int) -> None:
        """Note how many frames were sent, and how many were not, over all connections."""
        self.status = replace(self.status, pictures_sent=pictures, sounds_sent=sounds, frames_dropped=dropped)

    def _change(self, state: ForwardState, now_ms: int, **fields: object) -> None:
        since_ms = self.status.since_ms if state is self.status.state else now_ms
        self.status = replace(self.status, state=state, since_ms=since_ms, **fields)  # type: ignore[arg-type]
