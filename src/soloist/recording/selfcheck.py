"""A recording's check on itself: once a minute, is what came of each track also in the file (rule R46).

Frames, bytes and time of the minute are compared, with room for what is rightly held back or left out. Counts only, on
the media thread; what is found goes to the log, where an operator finds it before the customer does.
"""

from dataclasses import dataclass, field

import structlog

from soloist.model.media import EncodedFrame, Kind, Sample
from soloist.wire.clock import NS

log = structlog.get_logger("soloist.selfcheck")

MINUTE_NS = 60 * NS
SHORTFALL_PERCENT = 10
"""Less than this missing is what a few seconds without a keyframe, or a frame on its way, amount to."""
DRIFT_NS_MAX = 10 * NS
"""How far the time written may differ from the time that passed while it came."""


@dataclass(slots=True)
class Flow:
    """What passed one place in a minute."""

    rate_hz: int = NS
    frames: int = 0
    bytes: int = 0
    first: int = 0
    last: int = 0
    is_transcoded: bool = False
    """True if its bytes are not those that came."""

    @property
    def span_ns(self) -> int:
        """From the first frame to the last."""
        return (self.last - self.first) * NS // self.rate_hz

    def falls_short_of(self, came: "Flow") -> bool:
        """Return whether this is too little to be all of what came."""
        enough = 100 - SHORTFALL_PERCENT
        is_little = self.frames * 100 < came.frames * enough
        is_little |= not self.is_transcoded and self.bytes * 100 < came.bytes * enough
        return is_little or abs(self.span_ns - came.span_ns) > DRIFT_NS_MAX


@dataclass(slots=True)
class SelfCheck:
    """Compares what came with what was written, minute by minute."""

    job_id: str
    _came: dict[Kind, Flow] = field(default_factory=dict)
    _written: dict[Kind, Flow] = field(default_factory=dict)
    _due_ns: int | None = None

    def came(self, kind: Kind, frame: EncodedFrame) -> None:
        """Note a frame that is to be recorded."""
        at_ns = frame.received_ns
        flow = self._came.get(kind)
        if flow is None:
            flow = self._came[kind] = Flow(first=at_ns)
        flow.frames += 1
        flow.bytes += len(frame.data)
        flow.last = at_ns

    def wrote(self, sample: Sample) -> None:
        """Note a sample that a file took."""
        at = sample.pts_ticks
        flow = self._written.get(sample.kind)
        if flow is None:
            flow = self._written[sample.kind] = Flow(sample.rate_hz, first=at)
        flow.frames += 1
        flow.bytes += len(sample.data)
        flow.is_transcoded |= sample.is_transcoded
        flow.last = at

    def look(self, now_ns: int) -> None:
        """Compare once a minute of the steady clock and begin the next; a track that falls short is logged."""
        if self._due_ns is None:
            self._due_ns = now_ns + MINUTE_NS
        if now_ns < self._due_ns:
            return
        for kind, came in self._came.items():
            written = self._written.get(kind, Flow())
            if written.falls_short_of(came):
                log.warning("recording_falls_short", job_id=self.job_id, kind=kind.value, **_figures(came, written))
        self._came, self._written, self._due_ns = {}, {}, now_ns + MINUTE_NS


def _figures(came: Flow, written: Flow) -> dict[str, float]:
    return {
        "frames_came": came.frames,
        "frames_written": written.frames,
        "bytes_came": came.bytes,
        "bytes_written": written.bytes,
        "seconds_came": round(came.span_ns / NS, 1),
        "seconds_written": round(written.span_ns / NS, 1),
    }
