"""Beginnings, ends and overflows of a session as values, of the native items' shape; frames are in `frames.py`."""

from dataclasses import dataclass

from support.frames import START_NS


@dataclass(frozen=True, slots=True)
class ConnectedValue:
    """A `soloist.core.Connected` made by hand."""

    received_ns: int = START_NS


@dataclass(frozen=True, slots=True)
class ClosedValue:
    """A `soloist.core.Closed` made by hand."""

    reason: str = "closed"
    received_ns: int = START_NS


@dataclass(frozen=True, slots=True)
class OverflowValue:
    """A `soloist.core.Overflow` made by hand."""

    mid: str = "1"
    rid: str | None = None
    frames_count: int = 3
    packets_count: int = 0
