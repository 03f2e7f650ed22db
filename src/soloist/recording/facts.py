"""What a recording tells of itself beside its files, and to whom it hands its samples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from soloist.model.event import RecordingTroubled
from soloist.model.media import Kind, Sample
from soloist.model.rule import RecordRule
from soloist.model.timing import Missing
from soloist.recording.cutting import Fact
from soloist.wire.timeline import Placement


@dataclass(frozen=True, slots=True)
class TimelineFacts:
    """What the timeline knows of a file."""

    origin_ns: int
    missing: tuple[Missing, ...] = ()
    """What is missing from the file and was not told before: by a segment of the same playlist."""
    placements: tuple[Placement, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaFacts(TimelineFacts):
    """What is known beside a file fact, taken at the same moment."""

    rule: RecordRule
    """The rule in force then; a file's own is the one told when it opened."""


Emit = Callable[[Fact | RecordingTroubled, MediaFacts], None]


class Tap(Protocol):
    """Takes a recording's samples beside its files, on the media thread: it must neither wait nor raise (rule R39)."""

    @property
    def wants_keyframe(self) -> bool:
        """True while it cannot go on without one."""

    def expect(self, kinds: frozenset[Kind]) -> None:
        """Learn which tracks there may be."""

    def push(self, samples: Sequence[Sample]) -> None:
        """Take samples of both tracks, in time order."""

    def flush(self) -> None:
        """Go on with what could not be done at once."""
