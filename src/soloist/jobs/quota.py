"""What a project may keep here: bytes and files recorded, hours of them, and rows of jobs; beyond it no job starts.

Counted over jobs that can still be asked about, at most once in `COUNTED_EVERY_S` for a project, however many starts
ask at once: a project may pass its quota by what it records meanwhile. Files are counted only where they are bounded:
there may be millions. Recordings that run go on.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from soloist.jobs import schema
from soloist.model.admission import Quota
from soloist.model.errors import QuotaError
from soloist.model.ids import ProjectId

COUNTED_EVERY_S = 10.0
PROJECTS_MAX = 10_000
"""Projects whose count is remembered."""

BYTES_PER_GB = 1_000_000_000
MS_PER_HOUR = 3_600_000


@dataclass(frozen=True, slots=True)
class Kept:
    """What a project has."""

    jobs: int
    files: int
    gigabytes: float
    hours: float


class QuotaKeeper:
    """Refuses starts of projects that keep as much as they may; safe to share between requests."""

    def __init__(self, database: AsyncEngine, quota: Quota, *, seconds: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._quota = quota
        self._seconds = seconds
        self._counted: OrderedDict[ProjectId, tuple[float, asyncio.Task[Kept]]] = OrderedDict()

    async def check(self, project_id: ProjectId) -> None:
        """Return if the project may keep more.

        Raises:
            QuotaError: it may not; the message names the quota and the remedy.
        """
        if not self._quota.is_set:
            return
        kept, quota = await self._kept(project_id), self._quota
        bounds = (
            ("jobs", kept.jobs, quota.jobs_max, "SOLOIST_PROJECT_JOBS_MAX"),
            ("files", kept.files, quota.files_max, "SOLOIST_PROJECT_FILES_MAX"),
            ("GB of recordings", kept.gigabytes, quota.gigabytes_max, "SOLOIST_PROJECT_GIGABYTES_MAX"),
            ("hours of recordings", kept.hours, quota.hours_max, "SOLOIST_PROJECT_HOURS_MAX"),
        )
        for noun, count, most, setting in bounds:
            if most and count >= most:
                raise QuotaError(
                    f"the project keeps {count:.6g} {noun} of the {most:.6g} it may; wait until jobs are forgotten, "
                    f"or have the operator raise {setting}"
                )

    async def _kept(self, project_id: ProjectId) -> Kept:
        """Return the latest count, which those who ask while it is made wait for together."""
        counted_at, counting = self._counted.get(project_id, (0.0, None))
        now = self._seconds()
        if counting is None or now - counted_at >= COUNTED_EVERY_S:
            counting = asyncio.ensure_future(_count(self._database, project_id, with_files=self._quota.bounds_files))
            self._counted[project_id] = (now, counting)
            self._counted.move_to_end(project_id)
            while len(self._counted) > PROJECTS_MAX:
                self._counted.popitem(last=False)
        try:
            return await asyncio.shield(counting)
        except Exception:
            if self._counted.get(project_id, (0.0, None))[1] is counting:
                del self._counted[project_id]
            raise


async def _count(database: AsyncEngine, project_id: ProjectId, *, with_files: bool) -> Kept:
    jobs, files = schema.jobs, schema.files
    of_jobs = select(func.count()).select_from(jobs).where(jobs.c.project_id == project_id)
    of_files = (
        select(func.count(), func.sum(files.c.size_bytes), func.sum(files.c.duration_ms))
        .join_from(files, jobs, files.c.job_id == jobs.c.job_id)
        .where(jobs.c.project_id == project_id, files.c.state == "COMPLETED")
    )
    async with database.connect() as connection:
        jobs_count = (await connection.execute(of_jobs)).scalar_one()
        if not with_files:
            return Kept(jobs_count, 0, 0.0, 0.0)
        files_count, size_bytes, duration_ms = (await connection.execute(of_files)).one()
    return Kept(jobs_count, files_count, float(size_bytes or 0) / BYTES_PER_GB, float(duration_ms or 0) / MS_PER_HOUR)
