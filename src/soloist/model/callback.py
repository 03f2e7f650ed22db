"""Telling a customer what happened to a job: to whom, what, and how far the telling got. Spec: API section 7."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from soloist.model.event import Event, FileCompleted, FileStarted, ForwardChanged, JobEnded
from soloist.model.job import Job

TOLD = (FileStarted, FileCompleted, JobEnded)
"""The events customers are told of; the others are ours."""
LISTED = (*TOLD, ForwardChanged)
"""The events that can be looked through."""


@dataclass(frozen=True, slots=True)
class RecordCallback:
    """Where an app's events are told to."""

    url: str
    """http:// or https://; empty while nobody is to be told."""
    auth_key: str = field(repr=False)
    """What requests are signed with; empty for none."""
    updated_at: datetime
    paused: bool = False
    """True while events are kept and not sent (rule R51)."""


class DeliveryState(StrEnum):
    """How far the telling of one event got."""

    WAITING = "WAITING"
    """To be sent, for the first time or again."""
    DELIVERED = "DELIVERED"
    """The receiver answered 2xx."""
    DEAD = "DEAD"
    """Given up; can be replayed as long as the job is kept."""
    SKIPPED = "SKIPPED"
    """Of a kind the operator has switched off."""
    UNTOLD = "UNTOLD"
    """The app had no callback when it happened. Never stored: such an event has no delivery."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One event of one job, as it is told."""

    job: Job
    seq: int
    """Its number among the job's events; grows, but not every number is told."""
    event: Event
    happened_at: datetime

    @property
    def event_id(self) -> str:
        """What a receiver knows repetitions by: the job's id, a hyphen, and the number."""
        return f"{self.job.job_id}-{self.seq}"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A notice and how far its telling got."""

    notice: Notice
    state: DeliveryState
    attempts: int = 0
    """Answered or failed ones since it was last queued."""
    next_at: datetime | None = None
    """When it is sent next at the earliest; None unless WAITING."""
    settled_at: datetime | None = None
    """When it became DELIVERED, DEAD or SKIPPED."""
    last_error: str = ""
    """What the last failed attempt met."""
