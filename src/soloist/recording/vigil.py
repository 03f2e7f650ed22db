"""A recording's watch over itself: is what comes written, and can its pictures be shown (rules R14, R40).

Moments of arrival in, troubles out, each told once. Lives on the media thread; what is done about a trouble is the
recording's business.
"""

from dataclasses import dataclass

from soloist.model.event import Trouble
from soloist.model.media import Kind
from soloist.wire.clock import NS

UNWRITTEN_NS_MAX = 5 * NS
"""Media that comes for so long while nothing is written means that the writer is stuck."""
KEYFRAME_NS_MAX = 10 * NS
"""So long no picture that can be shown, although they come and keyframes were asked for, is told."""


@dataclass(slots=True)
class Vigil:
    """Of one recording; times are arrivals on the steady clock, nanoseconds."""

    _unwritten_ns: int = 0
    """Arrival of the first frame since anything was written; 0 for none."""
    _came_ns: int = 0
    _waiting_ns: int = 0
    """Arrival of the first picture that could not be shown; 0 for none."""
    _is_told: bool = False

    def came(self, kind: Kind, at_ns: int, *, is_shown: bool) -> None:
        """Note a frame that is to be recorded; `is_shown` is false for a picture that waits for a keyframe."""
        if is_shown:
            self._unwritten_ns = self._unwritten_ns or at_ns
            self._came_ns = at_ns
        if kind is Kind.VIDEO:
            self._waiting_ns = 0 if is_shown else self._waiting_ns or at_ns
            self._is_told &= not is_shown

    def wrote(self) -> None:
        """Note that a file took something."""
        self._unwritten_ns = 0

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
