"""What is missing from one recording, kept for the files that still have to tell of it.

A plain file tells of all of it at its end, a playlist segment by segment: what is kept here, and passed on with each
segment, does not grow with the playlist. Lives on the media thread; times are nanoseconds from the recording's origin.
"""

from collections.abc import Sequence

from soloist.model.timing import Missing
from soloist.recording.cutting import Fact, FileEnded, FileOpened, SegmentEnded
from soloist.sinks.matrix import SEGMENTED


class Absences:
    """What is missing from the open files of one recording."""

    def __init__(self) -> None:
        self._found: list[Missing] = []
        """What ends after the earliest plain file that is open began; without one, after the last segment did."""
        self._untold: dict[int, list[Missing]] = {}
        """What no segment has told yet, for each open playlist."""
        self._plain: dict[int, int] = {}
        """Where each open plain file begins."""

    def __len__(self) -> int:
        return len(self._found) + sum(map(len, self._untold.values()))

    def add(self, found: Sequence[Missing]) -> None:
        """Take in what was found missing since."""
        self._found += found
        for untold in self._untold.values():
            untold.extend(found)

    def of(self, fact: Fact) -> tuple[Missing, ...]:
        """Return what is missing from a fact's file that nothing has told yet, and forget what nobody has to tell."""
        if isinstance(fact, SegmentEnded):
            return self._of_segment(fact)
        if isinstance(fact, FileOpened):
            return self._of_opened(fact)
        return self._of_ended(fact)

    def _of_opened(self, fact: FileOpened) -> tuple[Missing, ...]:
        missing = self._since(fact.start_ns)
        if fact.plan.container in SEGMENTED:
            self._untold[fact.index] = list(missing)
        else:
            self._plain[fact.index] = fact.start_ns
        self._forget(fact.start_ns)
        return missing

    def _of_segment(self, fact: SegmentEnded) -> tuple[Missing, ...]:
        missing = (*self._untold[fact.index], *fact.segment.missing)
        self._untold[fact.index] = [hole for hole in missing if hole.end_ns > fact.segment.end_ns]
        if not self._plain:
            self._forget(fact.segment.start_ns)
        return missing

    def _of_ended(self, fact: FileEnded) -> tuple[Missing, ...]:
        self._plain.pop(fact.index, None)
        untold = self._untold.pop(fact.index, None)
        missing = self._since(fact.summary.start_ns) if untold is None else tuple(untold)
        self._forget(fact.summary.start_ns)
        return *missing, *fact.summary.missing

    def _since(self, ns: int) -> tuple[Missing, ...]:
        # What ends just where a file begins lies between it and the one before, which could not know of it.
        return tuple(hole for hole in self._found if hole.end_ns >= ns)

    def _forget(self, until_ns: int) -> None:
        """Forget what had ended by then, unless a plain file that began earlier is still open."""
        self._found = list(self._since(min((until_ns, *self._plain.values()))))
