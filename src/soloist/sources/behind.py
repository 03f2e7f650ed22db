"""Work that waits behind media: a stop must not overtake what was received before it was asked for.

Each piece of work has a mark in the core's queue and the sessions it is about; it runs once everything of theirs before
the mark was handed out. Where that takes too long, because more comes than can be handled, it runs all the same and is
told so. Lives on the media thread.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

import structlog

log = structlog.get_logger("soloist.media")

PATIENCE_NS = 5_000_000_000
"""How long work waits for the media before it."""


class Marks(Protocol):
    """What this needs of the receiver."""

    def has_handed_out(self, mark: int, sessions: list[int]) -> bool:
        """Return whether everything of these sessions before a mark was handed out."""

    def forget_mark(self, mark: int) -> None:
        """Give up waiting for a mark."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One piece of work."""

    mark: int
    sessions: Callable[[], Collection[int]]
    """Whose media must come first, asked anew each time: publishers come and go."""
    work: Callable[[bool], None]
    """Told whether all of it came; must not raise."""
    until_ns: int


class Behind:
    """What waits, in the order it was asked for."""

    def __init__(self, marks: Marks) -> None:
        self._marks = marks
        self._waiting: list[Waiting] = []

    def add(self, waiting: Waiting) -> None:
        """Let a piece of work wait."""
        self._waiting.append(waiting)

    def run_due(self, now_ns: int) -> None:
        """Run what has waited for all its media, or for too long."""
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if self._marks.has_handed_out(one.mark, list(one.sessions())):
                one.work(True)  # noqa: FBT003 - the callable's only argument
            elif now_ns >= one.until_ns:
                self._marks.forget_mark(one.mark)
                log.warning("media_overtaken", sessions=list(one.sessions()), waited_s=PATIENCE_NS / 1e9)
                one.work(False)  # noqa: FBT003 - likewise
            else:
                self._waiting.append(one)

    def run_all(self) -> None:
        """Run everything: no more media comes."""
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            self._marks.forget_mark(one.mark)
            one.work(True)  # noqa: FBT003 - the callable's only argument
