"""Tells the items of a batch apart by their shape.

Not by class, because the native classes cannot be made in Python, and whoever tests or replays a session brings values
of the same shape.
"""

from dataclasses import dataclass
from typing import TypeGuard

from soloist.core import Closed, Connected, Frame, Item, Overflow, SenderReport


@dataclass(frozen=True, slots=True)
class Unheard:
    """Media that waited for too long to be handed out before a stop: an `Overflow` of our own, of unknown size."""

    mid: str
    rid: str | None
    frames_count: int = 0
    packets_count: int = 0


Media = Frame | SenderReport | Overflow
"""What subscribers see."""


def is_media(item: Item) -> TypeGuard[Media]:
    """Return whether this belongs to a stream, rather than to the session."""
    return hasattr(item, "mid")


def is_frame(item: Item) -> TypeGuard[Frame]:
    """Return whether this is a picture or an audio packet."""
    return hasattr(item, "is_keyframe")


def is_report(item: Item) -> TypeGuard[SenderReport]:
    """Return whether this is a sender report."""
    return hasattr(item, "ntp_ns")


def is_overflow(item: Item) -> TypeGuard[Overflow]:
    """Return whether this tells of frames that were dropped."""
    return hasattr(item, "frames_count")


def is_closed(item: Item) -> TypeGuard[Closed]:
    """Return whether this is a session's end."""
    return hasattr(item, "reason")


def is_connected(item: Item) -> TypeGuard[Connected]:
    """Return whether this is a session's beginning."""
    return not hasattr(item, "mid") and not hasattr(item, "reason")
