"""A recording's watch over itself: is what comes written, and can its pictures be shown (rules R14, R40).

Moments of arrival and what was written in, troubles out, each told once, and what a stuck writer lost. Lives on the
media thread; what is done about a trouble is the recording's business.
"""

from dataclasses import dataclass, field

from soloist.model.event import Trouble
from soloist.model.media import Kind, Sample
from soloist.model.timing import Cause, Missing
from soloist.wire.clock import NS
from soloist.wire.logical_track import AUDIO_TOLERANCE_NS

UNWRITTEN_NS_MAX = 5 * NS
"""Media that comes for so long while nothing is written means that the writer is stuck."""
PAUSE_NS = 2 * NS
"""When nothing has come for so long, all that came has been written; what comes then is counted anew."""
KEYFRAME_NS_MAX = 10 * NS
"""So long no picture that can be shown, although they come and keyframes were asked for, is told."""


@dataclass(slots=True)
class Vigil:
    """Of one recording; nanoseconds, arrivals on the steady clock, samples from the recording's origin."""

    missing: list[Missing] = field(default_factory=list)
    """Stretches that a stuck writer lost; the owner takes them out."""

    _unwritten_ns: int = 0
    """Arrival of the first frame since anything was written; 0 for none."""
    _came_ns: int = 0
    _waiting_ns: int = 0
    """Arrival of the first picture that could not be shown; 0 for none."""
    _is_told: bool = False
    _ends_ns: dict[Kind, int] = field(default_factory=dict)
    """Where what was written ends."""
    _lost_ns: dict[Kind, int] = field(default_factory=dict)
    """From where on a stuck writer lost what came, until something is written again."""

    def came(self, kind: Kind, at_ns: int, *, is_shown: bool) -> None:
        """Note a frame that is to be recorded; `is_shown` is false for a picture that waits for a keyframe."""
        if is_shown:
            is_pause = at_ns - self._came_ns > PAUSE_NS
            self._unwritten_ns = at_ns if is_pause else self._unwritten_ns or at_ns
            self._came_ns = at_ns
        if kind is Kind.VIDEO:
            self._waiting_ns = 0 if is_shown else self._waiting_ns or at_ns
            self._is_told &= not is_shown

    def wrote(self, sample: Sample) -> None:
        """Note that a file took something."""
        self._unwritten_ns = 0
        begins_ns = self._lost_ns.pop(sample.kind, sample.pts_ns)
        if sample.pts_ns - begins_ns > AUDIO_TOLERANCE_NS:
            lost = Missing(sample.kind, begins_ns, sample.pts_ns, Cause.FAULT, Trouble.WRITER_RESTARTED.value)
            self.missing.append(lost)
        self._ends_ns[sample.kind] = sample.end_ns

    def restarted(self) -> None:
        """Note that a writer that was stuck gave all it had: what came since, and what the next leaves out, is lost."""
        self._lost_ns = dict(self._ends_ns)

    def look(self, now_ns: int) -> list[tuple[Trouble, int]]:
        """Return what is wrong since when and was not told yet; a writer that is stuck is told anew each time."""
        found = []
        if self._waiting_ns and not self._is_told and now_ns - self._waiting_ns >= KEYFRAME_NS_MAX:
            self._is_told = True
            found.append((Trouble.WAITING_KEYFRAME, self._waiting_ns))
        if self._unwritten_ns and self._came_ns - self._unwritten_ns >= UNWRITTEN_NS_MAX:
            found.append((Trouble.WRITER_RESTARTED, self._unwritten_ns))
            self._unwritten_ns = 0
        return found
