"""How many jobs and files there are by state: what `/metrics` shows of the database."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import case, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from soloist.jobs.schema import files, jobs

_FILE_STATE = case(
    (files.c.state == "COMPLETED", "published"),
    (jobs.c.state != "STOPPED", "open"),
    (jobs.c.ended_at.is_(None), "pending"),
    else_="unpublished",
)
"""pending: its job has stopped and is still being settled; unpublished: the job has ended without it."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts at one moment; jobs that were forgotten (`keep_jobs_days`) are not among them."""

    jobs: Mapping[tuple[str, str], int]
    """By state and stop reason, "" while there is none."""
    files: Mapping[str, int]
    """By open, pending, published and unpublished."""


async def tally(database: AsyncEngine) -> Tally:
    """Count; one pass over each table."""
    by_state = select(jobs.c.state, func.coalesce(jobs.c.stop_reason, ""), func.count()).group_by(
        jobs.c.state, jobs.c.stop_reason
    )
    by_progress = select(_FILE_STATE, func.count()).select_from(files.join(jobs)).group_by(_FILE_STATE)
    async with database.connect() as connection:
        job_rows = (await connection.execute(by_state)).all()
        file_rows = (await connection.execute(by_progress)).all()
    return Tally({(state, reason): count for state, reason, count in job_rows}, dict(tuple(row) for row in file_rows))
