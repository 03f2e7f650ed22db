"""What the engine asks of a recording, and what it gives a recording to write its progress down.

`RecordingPort` and `OpenRecording` are implemented by `jobs/recorder.py`; `Journal` by `jobs/journal.py`.
"""

from typing import Protocol

from soloist.model.errors import SoloistError
from soloist.model.event import FileCompleted, FileStarted
from soloist.model.job import Job, StopReason
from soloist.model.rule import RecordRule


class Journal(Protocol):
    """Persists what a recording did, under the epoch it was opened with.

    Every method waits while the database is away and writes each fact once, however often it is called with it.

    Raises:
        EpochLostError: another recorder has taken the job since; publish nothing more.
    """

    async def permit(self) -> None:
        """Return once it is certain that nobody has taken the job over; call it before publishing an object."""

    async def file_started(self, fact: FileStarted) -> None:
        """Persist that a file was opened, which gives its name to it.

        Raises:
            KeyTakenError: another file has that name in that bucket, or had it; choose the next one.
        """

    async def file_completed(self, fact: FileCompleted) -> None:
        """Persist that a file stands in the bucket; call it after the object was verified, never before."""

    async def media_ended_ns(self) -> int | None:
        """Return where the media of the job's completed files ends, nanoseconds of Unix time; None without any."""

    async def described(self, text: str) -> None:
        """Replace the job's description; cut to 128 characters. Spec: API section 2.2."""


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

    async def open(self, job: Job, journal: Journal) -> OpenRecording:
        """Begin recording `job`, and publish through `journal` what earlier epochs of it left in the spool.

        A job that is not live only has leftovers to settle: begin nothing new; `finish` follows at once.

        Raises:
            SoloistError: the job cannot be recorded; it ends as INTERNAL_ERROR with this message.
        """
