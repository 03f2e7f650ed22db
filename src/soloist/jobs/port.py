"""What the engine asks of a recording; implemented by `jobs/recorder.py`."""

from collections.abc import Sequence
from typing import Protocol

from soloist.keeping.port import Journal
from soloist.model.errors import SoloistError
from soloist.model.forward import TargetStatus
from soloist.model.job import Job, StopReason
from soloist.model.rule import RecordRule


class JobJournal(Journal, Protocol):
    """Where a job's whole progress is written down: its files', and its forwarding's."""

    async def forwarded(self, statuses: Sequence[TargetStatus], changed: Sequence[TargetStatus]) -> None:
        """Persist where the job's targets stand, with an event for each whose change is to be told."""


class OpenRecording(Protocol):
    """One job being recorded by this process."""

    async def idle(self) -> None:
        """Return once the room has had no co-host for longer than `job.idle_timeout`. May be cancelled.

        Spec: API section 5.2.
        """

    async def failed(self) -> SoloistError:
        """Return the error with which the recording cannot go on (a full disk ...). May be cancelled."""

    def update(self, rule: RecordRule) -> None:
        """Close current files at the next cut point and go on under `rule`."""

    def forward(self, urls: Sequence[str]) -> None:
        """Forward to these RTMP servers from now on, and to no other."""

    def suspend(self, *, suspended: bool) -> None:
        """Record nothing until further notice, or go on; the recording stays open."""

    async def finish(self, reason: StopReason | None) -> None:
        """Close all files, commit them to storage, journal them; return when that is done.

        `reason` is None if the job stays live and the next recorder goes on with it (this one is being shut down).
        """

    async def abandon(self) -> None:
        """Close what is open in the spool and publish nothing: the job is another recorder's now."""


class RecordingPort(Protocol):
    """Opens recordings; one per recorder process."""

    async def open(self, job: Job, journal: JobJournal) -> OpenRecording:
        """Begin recording `job`, and publish through `journal` what earlier epochs of it left in the spool.

        A job that is not live only has leftovers to settle: begin nothing new; `finish` follows at once.

        Raises:
            SoloistError: the job cannot be recorded; it ends as INTERNAL_ERROR with this message.
        """
