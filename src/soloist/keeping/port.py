"""Where keeping writes its progress down; implemented by `jobs/journal.py`."""

from collections.abc import Mapping
from typing import Protocol

from soloist.model.errors import InternalError
from soloist.model.event import FileCompleted, FileStarted, RecordingTroubled
from soloist.model.media import Kind


class EpochLostError(InternalError):
    """Another recorder has taken this job; stop writing for it."""


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

    async def troubled(self, fact: RecordingTroubled) -> None:
        """Persist what an operator should know of a recording that goes on."""

    async def media_ended_ns(self) -> int | None:
        """Return where the media of the job's completed files ends, nanoseconds of Unix time; None without any."""

    async def coded(self, transcoded: Mapping[Kind, bool]) -> None:
        """Note which tracks of the file opened last are not the sender's own coding (rule R48)."""

    async def described(self, text: str) -> None:
        """Replace the job's description; cut to 128 characters. Spec: API section 2.2."""
