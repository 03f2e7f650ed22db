"""What is missing from a recording, and why: the four words for missing media.

gap = lost on the way or never sent; pause = muted or camera off by the sender; idle = nobody publishes;
fault = ours. Every millisecond between a recording's start and end is either media or one of these.
"""

from dataclasses import dataclass
from enum import StrEnum

from soloist.model.media import Kind


class Cause(StrEnum):
    """Why media is missing."""

    GAP = "gap"
    PAUSE = "pause"
    IDLE = "idle"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Missing:
    """One stretch without media on one track; nanoseconds from the recording's origin."""

    kind: Kind
    start_ns: int
    end_ns: int
    cause: Cause
    detail: str
