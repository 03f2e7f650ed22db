"""A job, its states and the table of moves between them.

States in order: INIT (accepted, no recorder yet), RUNNING (a recorder holds it and watches the room), STOPPED (final).
Only `jobs/` moves them, and only along TRANSITIONS. Spec: API section 5.1.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from soloist.model.forward import TargetStatus
from soloist.model.ids import AppId, JobId, ParticipantId, ProjectId, RoomId
from soloist.model.media import Kind, Tier, TrackSource
from soloist.model.rule import RecordRule, Vp8Mode


class JobState(StrEnum):
    """Where a job stands."""

    INIT = "INIT"
    RUNNING = "RUNNING"
    STOPPED = "STOPPED"


class StopReason(StrEnum):
    """Why a job stopped."""

    TENANT_STOP = "TENANT_STOP"
    EXCEED_MAX_IDLE_TIME = "EXCEED_MAX_IDLE_TIME"
    INTERNAL_ERROR = "INTERNAL_ERROR"


class JobEvent(StrEnum):
    """What moves a job."""

    TAKEN = "taken"
    STOP_REQUESTED = "stop_requested"
    IDLE_TOO_LONG = "idle_too_long"
    FAILED = "failed"


TRANSITIONS: dict[tuple[JobState, JobEvent], tuple[JobState, StopReason | None]] = {
    (JobState.INIT, JobEvent.TAKEN): (JobState.RUNNING, None),
    (JobState.RUNNING, JobEvent.TAKEN): (JobState.RUNNING, None),
    (JobState.INIT, JobEvent.STOP_REQUESTED): (JobState.STOPPED, StopReason.TENANT_STOP),
    (JobState.RUNNING, JobEvent.STOP_REQUESTED): (JobState.STOPPED, StopReason.TENANT_STOP),
    (JobState.INIT, JobEvent.IDLE_TOO_LONG): (JobState.STOPPED, StopReason.EXCEED_MAX_IDLE_TIME),
    (JobState.RUNNING, JobEvent.IDLE_TOO_LONG): (JobState.STOPPED, StopReason.EXCEED_MAX_IDLE_TIME),
    (JobState.INIT, JobEvent.FAILED): (JobState.STOPPED, StopReason.INTERNAL_ERROR),
    (JobState.RUNNING, JobEvent.FAILED): (JobState.STOPPED, StopReason.INTERNAL_ERROR),
}
"""The whole table: a pair that is not in it changes nothing (a STOPPED job stays as it is)."""


@dataclass(frozen=True, slots=True)
class StartJob:
    """A parsed start command: it cannot be wrong in itself, only in what it refers to."""

    app_id: AppId
    room_id: RoomId
    participant_id: ParticipantId
    with_audio: bool
    video: TrackSource | None
    """Which picture is recorded; None for audio only."""
    tier: Tier
    idle_timeout: timedelta
    rule_id: str | None
    """None if nothing is to be kept, only forwarded."""
    forward_urls: tuple[str, ...] = field(default=(), repr=False)
    """Where to forward to; they hold stream keys."""
    automatic: bool = False
    """True if nobody asked: the app records whatever is published."""


@dataclass(frozen=True, slots=True)
class UpdateJob:
    """A parsed update command; None leaves a thing as it is. Spec: API sections 2.3, 5.4."""

    rule_id: str | None = None
    forward_urls: tuple[str, ...] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Job:
    """One recording assignment, as persisted."""

    job_id: JobId
    project_id: ProjectId
    app_id: AppId
    room_id: RoomId
    participant_id: ParticipantId
    with_audio: bool
    video: TrackSource | None
    tier: Tier
    idle_timeout: timedelta
    rule: RecordRule | None
    """Snapshot of the rule at start or at the last update; None while nothing is kept, only forwarded."""
    state: JobState
    created_at: datetime
    updated_at: datetime
    started_at: datetime
    stopped_at: datetime | None = None
    stop_reason: StopReason | None = None
    description: str = ""
    epoch: int = 0
    """Raised by one each time a recorder takes the job; every later write carries it."""
    automatic: bool = False
    """True if the app's automatic recording started it."""
    suspended: bool = False
    """True while nothing is recorded on the customer's order; the job stays live. Spec: API section 2.3."""
    vp8: Vp8Mode = Vp8Mode.WEBM
    """Snapshot at start of what the app wants of VP8."""
    transcoded: Mapping[Kind, bool] | None = None
    """For each track of the file opened last, whether it is not the sender's own coding (rule R48); None before any."""
    forward_urls: tuple[str, ...] = field(default=(), repr=False)
    """RTMP servers its media is forwarded to, as given: they hold stream keys. Spec: API section 4.3."""
    forwarding: tuple[TargetStatus, ...] = ()
    """Where those stand, in their order, as last told; empty until a recorder has taken the job."""

    @property
    def stream_name(self) -> str:
        """The vendor's name of the recorded stream. Spec: API sections 2.6, 6.2."""
        if self.automatic:
            media = "av" if self.with_audio else "v"
            which = "a" if self.video is TrackSource.SCREEN else "m"
            return f"{self.app_id}_{self.room_id}_{self.participant_id}_{media}_{which}"
        return f"s_{self.job_id}_{self.room_id}_{self.participant_id}"

    @property
    def is_live(self) -> bool:
        """True until the job is STOPPED."""
        return self.state is not JobState.STOPPED

    def after(self, event: JobEvent, now: datetime) -> "Job":
        """Return the job as `event` leaves it; the same object if the table has no such move."""
        move = TRANSITIONS.get((self.state, event))
        if move is None:
            return self
        state, reason = move
        stopped_at = now if state is JobState.STOPPED else None
        # Another process may have changed it between this one's look at the clock and now.
        updated_at = max(now, self.updated_at)
        return replace(self, state=state, stop_reason=reason, stopped_at=stopped_at, updated_at=updated_at)
