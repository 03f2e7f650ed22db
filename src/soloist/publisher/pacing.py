"""Where a clip meets the clock: one WHIP session, packet by packet, each when it is due."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from soloist.model.media import Kind
from soloist.publisher.clip import Clip, DuePacket
from soloist.publisher.sender import Sender
from soloist.wire.clock import NS

PROGRESS_INTERVAL_NS = NS // 5
"""Progress is told this often even while nothing is due, so that silence means trouble."""


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """What one session publishes, and where."""

    file: Path
    url: str
    token: str | None
    loop: bool
    start_ns: int
    """Media time already published by earlier sessions; the file, over and over, goes on from there."""
    end_ns: int | None
    """Media time to stop at; None for the file's own end."""


@dataclass(slots=True)
class PublishProgress:
    """What has been sent so far."""

    media_ns: int = 0
    """Media time sent."""
    frames_count: int = 0
    """Pictures."""
    audio_packets_count: int = 0
    sent_bytes: int = 0
    """Encoded media, without packet headers."""
    behind_ns: int = 0
    """How late the last packet was; growing means that this machine cannot encode in real time."""
    reconnects_count: int = 0

    @property
    def kbps(self) -> float:
        """Average bit rate of the media."""
        return self.sent_bytes * 8e6 / self.media_ns if self.media_ns else 0.0

    def note(self, due: DuePacket, media_ns: int) -> None:
        """Count one packet about to be sent."""
        self.media_ns = max(self.media_ns, media_ns)
        self.sent_bytes += due.packet.size
        if due.kind is Kind.VIDEO:
            self.frames_count += 1
        else:
            self.audio_packets_count += 1


OnProgress = Callable[[PublishProgress], None]
OnResource = Callable[[str], None]
"""Takes the URL of the session once it is open."""


def run_session(
    plan: SessionPlan, progress: PublishProgress, tell: OnProgress, tell_resource: OnResource = lambda _url: None
) -> None:
    """Publish in one session until the plan's end, adding to `progress`; the session is deleted however this ends.

    Raises:
        ClipError: the file cannot be read.
        PublishRefusedError: the server does not take it.
        ServerAwayError: the server is not there, or is gone.
    """
    clip = Clip(plan.file, start_ns=_position(plan.file, plan.start_ns))
    try:
        with Sender(plan.url, plan.token, clip.add_streams) as sender:
            if sender.resource_url is not None:
                tell_resource(sender.resource_url)
            pace = _Pace(progress, tell)
            for due in clip.packets(loop=plan.loop):
                media_ns = plan.start_ns + due.due_ns
                if plan.end_ns is not None and media_ns >= plan.end_ns:
                    break
                pace.wait(due.due_ns)
                progress.note(due, media_ns)
                sender.send(due)
    finally:
        clip.close()


class _Pace:
    """Waits for due times on the monotonic clock, and tells progress meanwhile."""

    def __init__(self, progress: PublishProgress, tell: OnProgress) -> None:
        self._progress = progress
        self._tell = tell
        self._start_ns = self._tell_at_ns = time.monotonic_ns()

    def wait(self, due_ns: int) -> None:
        due_at_ns = self._start_ns + due_ns
        while True:
            now_ns = time.monotonic_ns()
            if now_ns >= self._tell_at_ns:
                self._tell_at_ns = now_ns + PROGRESS_INTERVAL_NS
                self._tell(self._progress)
            if now_ns >= due_at_ns:
                self._progress.behind_ns = now_ns - due_at_ns
                return
            time.sleep((min(due_at_ns, self._tell_at_ns) - now_ns) / NS)


def _position(file: Path, media_ns: int) -> int:
    """Return where in the file publishing goes on after `media_ns` of it, over and over."""
    if not media_ns:
        return 0
    clip = Clip(file)
    try:
        return media_ns % clip.duration_ns if clip.duration_ns else 0
    finally:
        clip.close()
