"""How often one series of files may begin another, and how often its pictures may change: a bound for hostile senders.

A file costs a muxer, a descriptor, an object and rows for good, a change of size or parameters a segment of a playlist
or a line of a manifest; a sender can ask for hundreds a second. Honest ones (a phone that is turned, a window that is
resized, layers that come and go) stay within what is saved up. What exceeds it is not written, up to the next keyframe
that may be, and declared. Lives on the media thread; times are nanoseconds from the recording's origin. Rule R17.
"""

from collections.abc import Callable

from soloist.model.media import Kind, Sample
from soloist.model.timing import Cause, Missing
from soloist.wire.allowance import Allowance

TOO_MANY_CHANGES = "too_many_changes"
"""Why media is missing that its sender would have needed another file for, too soon after the others."""
TOO_MANY_UNFILED = "too_many_unfiled"
"""The same, because too many files of the job wait for their bucket: nothing its sender did."""
FILES_BURST, FILES_PER_S = 20, 1
FILES_OWED_MAX = 60
"""How many more may begin for what is there already and would be lost: sound that waited for its picture."""
LARGE_PIXELS = 1 << 23
"""4K is no more. To describe a picture of 8K for its file takes a quarter of a second."""
CHANGES_BURST, CHANGES_PER_S = 60, 2

COUNTS = {"files_refused": 0, "frames_left_out_of_files": 0}
"""Since the start, in all recordings of this process; written on the media thread, read by metrics."""

Look = tuple[int, int, str | None, bytes]
"""Size, layer and parameters of a keyframe."""


class Turnover:
    """Of one series."""

    def __init__(self, has_room: Callable[[], bool]) -> None:
        """`has_room` tells whether another file could be looked after."""
        self._has_room = has_room
        self._files = Allowance(FILES_BURST, FILES_PER_S)
        self._changes = Allowance(CHANGES_BURST, CHANGES_PER_S)
        self._look: Look | None = None
        self._left_out: dict[Kind, tuple[int, int, str]] = {}
        """Where what is being left out begins and, as far as it has come, ends; and why it began."""
        self._why = TOO_MANY_CHANGES
        self._missing: list[Missing] = []

    def may_begin(self, at_ns: int, *, pixels: int = 0, is_owed: bool = False) -> bool:
        """Return whether a file may begin, and count it: more than once for large pictures, which cost more."""
        count, beyond = 1 + pixels // LARGE_PIXELS, FILES_OWED_MAX if is_owed else 0
        has_room = self._has_room()
        self._why = TOO_MANY_CHANGES if has_room else TOO_MANY_UNFILED
        may = has_room and self._files.take(at_ns, count=count, beyond=beyond)
        COUNTS["files_refused"] += not may
        return may

    def may_show(self, look: Look, at_ns: int) -> bool:
        """Return whether pictures may go on with a keyframe in the same file."""
        if look != self._look and not self._changes.take(at_ns):
            COUNTS["files_refused"] += 1
            self._why = TOO_MANY_CHANGES
            return False
        self._look = look
        return True

    def is_leaving_out(self, kind: Kind) -> bool:
        """Return whether media of a track is left out until it can go on."""
        return kind in self._left_out

    def leave_out(self, sample: Sample) -> None:
        """Take note that a sample is not written."""
        COUNTS["frames_left_out_of_files"] += 1
        start_ns, end_ns, why = self._left_out.get(sample.kind, (sample.pts_ns, 0, self._why))
        self._left_out[sample.kind] = start_ns, max(end_ns, sample.end_ns), why

    def go_on(self, kind: Kind, at_ns: int) -> None:
        """Take note that media of a track is written again."""
        if kind in self._left_out:
            start_ns, _, why = self._left_out.pop(kind)
            self._missing.append(Missing(kind, start_ns, at_ns, Cause.FAULT, why))

    def told(self, *, is_last: bool = False) -> tuple[Missing, ...]:
        """Return what was left out and not told; with `is_last`, also what may still go on, as far as it has come."""
        if is_last:
            for kind, (_, end_ns, _) in tuple(self._left_out.items()):
                self.go_on(kind, end_ns)
        told, self._missing = tuple(self._missing), []
        return told
