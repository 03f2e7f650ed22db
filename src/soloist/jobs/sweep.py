"""Finding what no recorder will come back for: spool files of jobs that have ended or are forgotten.

One recorder of a node looks for all of them, for they share the spool: at its start, and every minute. What can be
published is, as salvage does it; the rest stays where it is and its folder is named once. Rules R25, R29, R33, R36.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from soloist.clock import utc_now
from soloist.jobs import schema, store
from soloist.jobs.journal import DatabaseJournal
from soloist.jobs.outage import Reachability, persist
from soloist.keeping.port import EpochLostError, Journal
from soloist.keeping.salvage import settled
from soloist.keeping.shelf import Shelf
from soloist.model.event import FileCompleted, FileStarted, RecordingTroubled
from soloist.model.ids import JobId
from soloist.model.media import Kind

log = structlog.get_logger("soloist.sweep")

INTERVAL_S = 60.0
"""Between two looks; what a store refuses waits for the next one."""
QUIET_S = 60.0
"""A job without a row counts as forgotten once nothing was written to it for so long: its recorder may not know yet."""


class Sweeper:
    """Looks after one spool."""

    def __init__(
        self, database: AsyncEngine, shelf: Shelf, *, quiet_s: float = QUIET_S, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._database = database
        self._shelf = shelf
        self._quiet_s = quiet_s
        self._clock = clock
        self._kept: dict[JobId, bool] = {}
        """Folders that have been named, and whether trying again can help."""

    async def run(self) -> None:
        """Sweep for ever; a failure costs a turn."""
        while True:
            wait_s = INTERVAL_S
            try:
                if not await self.sweep():
                    wait_s = self._quiet_s
            except Exception:
                log.exception("sweep_failed")
            await asyncio.sleep(wait_s)

    async def sweep(self) -> bool:
        """Settle what lies in the spool for nobody; return False if something was written too recently to be judged."""
        folders = await asyncio.to_thread(self._folders)
        epochs = await persist(lambda: self._epochs(list(folders)), what="look for files nobody comes back for")
        left = [job_id for job_id in folders if self._kept.get(job_id, True) and epochs.get(job_id, 0) is not None]
        quiet = [job_id for job_id in left if job_id in epochs or await self._is_quiet(folders[job_id])]
        # All at once: what waits for one location must not keep the files of another; the pool bounds the uploads.
        await asyncio.gather(*(self._settle(job_id, self._journal(job_id, epochs.get(job_id))) for job_id in quiet))
        return len(quiet) == len(left)

    def _folders(self) -> dict[JobId, list[Path]]:
        files = groupby(self._shelf.spool.files(), key=lambda file: file.job_id)
        return {job_id: [file.path for file in group] for job_id, group in files}

    async def _epochs(self, job_ids: Sequence[JobId]) -> Mapping[JobId, int | None]:
        """Return the last epoch of each job that has a row; None while it is somebody's."""
        table = schema.jobs
        query = select(table.c.job_id, table.c.epoch, table.c.ended_at).where(table.c.job_id.in_(job_ids))
        async with self._database.connect() as connection:
            rows = await connection.execute(query)
            return {JobId(row.job_id): row.epoch if row.ended_at else None for row in rows}

    async def _is_quiet(self, files: Sequence[Path]) -> bool:
        try:
            latest_s = await asyncio.to_thread(lambda: max(path.stat().st_mtime for path in files))
            return self._clock().timestamp() - latest_s > self._quiet_s
        except OSError:
            return False  # Somebody takes them away at this moment.

    def _journal(self, job_id: JobId, epoch: int | None) -> Journal:
        if epoch is None:
            return _Nowhere()
        return _Afterwards(self._database, store.Claim(job_id, epoch), Reachability(), self._clock)

    async def _settle(self, job_id: JobId, journal: Journal) -> None:
        folders = await asyncio.to_thread(self._shelf.spool.earlier_epochs, job_id)
        try:
            leftovers = await settled(folders, journal, self._shelf, patience_s=0)
        except EpochLostError:
            return  # Forgotten at this moment; the next sweep finds it so.
        left = (await asyncio.to_thread(self._folders)).get(job_id)
        if left and job_id not in self._kept:
            folder, names = left[0].parents[1], [path.name for path in left]
            log.warning("spool_folder_kept", job_id=job_id, folder=str(folder), files=names)
        if left:
            self._kept[job_id] = leftovers.refusal is not None


class _Afterwards(DatabaseJournal):
    """Writes into the row of a job that has ended: what became of its files is told late rather than never."""

    async def permit(self) -> None:
        """Return at once: nobody takes over a job that has ended."""


class _Nowhere:
    """A journal for jobs that have no row any more: object and manifest are all that can tell of the file."""

    async def permit(self) -> None:
        """Return at once: nobody takes over a job that is not there."""

    async def file_started(self, fact: FileStarted) -> None:
        """Tell nobody."""

    async def file_completed(self, fact: FileCompleted) -> None:
        """Tell nobody."""

    async def troubled(self, fact: RecordingTroubled) -> None:
        """Tell nobody."""

    async def media_ended_ns(self) -> int | None:
        """Return None: nothing is known."""
        return None

    async def coded(self, transcoded: Mapping[Kind, bool]) -> None:
        """Tell nobody."""

    async def described(self, text: str) -> None:
        """Tell nobody."""
