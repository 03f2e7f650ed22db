"""What happened to a job, as past facts: persisted with a per-job sequence before anything else is told.

Order of one job's events: JobAccepted, then for each epoch JobTaken and its files (FileStarted before the FileCompleted
of the same key) with RecordingTroubled between them, at last exactly one JobEnded.
Spec: API section 5.5 (order), recording rules R49, R50.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from soloist.model.forward import ForwardState
from soloist.model.job import StopReason
from soloist.model.rule import RecordFormat


@dataclass(frozen=True, slots=True)
class JobAccepted:
    """The start command was persisted."""

    slot: str
    """The recorder slot whose queue holds the job."""


@dataclass(frozen=True, slots=True)
class JobTaken:
    """A recorder took the job; the epoch of the event is the one it raised."""

    owner: str
    """The recorder process, `<slot>#<boot>`."""


@dataclass(frozen=True, slots=True)
class FileStarted:
    """A file was opened in the spool."""

    key: str
    """The object key it will be published under; unique within the job."""
    record_format: RecordFormat
    started_at: datetime
    """Wall clock of its first media, UTC."""
    location: str = ""
    """Storage region id of the object; with `bucket` it is the rule's at the time, which may change afterwards."""
    bucket: str = ""


@dataclass(frozen=True, slots=True)
class FileCompleted:
    """A closed file stands in the bucket, verified."""

    key: str
    record_format: RecordFormat
    size_bytes: int
    sha256: str
    """Of the object's bytes, 64 lower-case hex digits."""
    started_at: datetime
    """Wall clock of its first media, UTC."""
    ended_at: datetime
    """Wall clock at which its last media ends, UTC."""
    duration: timedelta
    """As a player shows it."""
    width: int = 0
    """Of the picture in pixels; 0 without one."""
    height: int = 0
    location: str = ""
    """Storage region id of the object; with `bucket` it is the rule's at the time, which may have changed since."""
    bucket: str = ""
    detail: str = ""
    """What the customer should know of this file, e.g. that VP8 went to WebM; empty if nothing."""


class Trouble(StrEnum):
    """What an operator should know of a recording that goes on."""

    WAITING_KEYFRAME = "waiting_keyframe"
    """For ten seconds pictures have come that cannot be shown: no keyframe, however often it was asked for (R14)."""
    WRITER_RESTARTED = "writer_restarted"
    """For five seconds media came and nothing of it reached a file: the file was ended and a new one begun (R40)."""


@dataclass(frozen=True, slots=True)
class RecordingTroubled:
    """Something is wrong with what is recorded, or was and has been mended."""

    trouble: Trouble
    since: datetime
    """UTC."""


@dataclass(frozen=True, slots=True)
class ForwardChanged:
    """A target of forwarding came to another state; several changes within seconds are told as one (rule R38)."""

    url: str
    """Masked: without its stream key."""
    state: ForwardState
    retries: int = 0
    error: str = ""
    """Its last failure; empty if there was none."""
    target_id: str = ""
    since_ms: int = 0
    """Which of those with one masked address, and since when it is in this state: no other change has both."""


@dataclass(frozen=True, slots=True)
class JobEnded:
    """The job is over and all its files are published; nothing follows."""

    reason: StopReason
    description: str = ""


Event = JobAccepted | JobTaken | FileStarted | FileCompleted | ForwardChanged | RecordingTroubled | JobEnded
