"""One job being recorded from a steady publisher, for tests of what happens to it meanwhile."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.crash_verdict import RecordedFile, read_files
from support.instance import Instance, until
from support.sdk import Sdk
from support.steady import SteadyPublisher, steady_publisher


@dataclass
class Take:
    """A job, the service that records it, and the participant it is about."""

    service: Instance
    job_id: str
    publisher: SteadyPublisher

    @property
    def state(self) -> tuple[str, int]:
        """The job's state and epoch."""
        return self.service.job(self.job_id)[:2]

    def spooled(self, epoch: int = 1) -> list[Path]:
        """Return what lies in the spool of one epoch."""
        return sorted((self.service.spool / self.job_id / str(epoch)).glob("*.mp4"))

    def await_recording(self, epoch: int = 1, *, within_s: float = 30) -> None:
        """Return once a file holds something."""
        until(
            lambda: any(path.stat().st_size > 10_000 for path in self.spooled(epoch)), within_s, "nothing is recorded"
        )

    def stop(self) -> None:
        """Stop the job as a customer does."""
        Sdk(self.service.url).stop(self.job_id)

    def finished(self, *, within_s: float = 40) -> list[RecordedFile]:
        """Return the job's files once its end is told."""
        until(lambda: "JobEnded" in self.events, within_s, f"the end is not told: {self.service.events(self.job_id)}")
        return self.files

    @property
    def events(self) -> list[str]:
        return self.service.events(self.job_id)

    @property
    def files(self) -> list[RecordedFile]:
        """The job's files in the bucket, oldest first."""
        return read_files(self.service.bucket, self.job_id)


@contextlib.contextmanager
def take(service: Instance, clip: Path, room: str, *, idle_s: int = 60) -> Iterator[Take]:
    """Publish `clip` into a room of its own and record it; yield once something is recorded."""
    job = Sdk(service.url).create(room_id=room, user_id="alice", max_idle_time=idle_s)
    with steady_publisher(clip, service.whip_url(room, "alice"), service.folder / f"notes-{room}") as publisher:
        yield Take(service, job.job_id, publisher)
