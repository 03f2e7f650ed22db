"""Jobs with their files, a page at a time: what people look at, as opposed to what clients drive jobs by.

Newest first. Reads only; one transaction a page.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from soloist.jobs import schema, store
from soloist.jobs.grants import reach_of
from soloist.model.ids import AppId, JobId, ProjectId, RoomId
from soloist.model.job import Job, JobState
from soloist.model.rule import RecordFormat
from soloist.wire.granted import Reach

UrlOf = Callable[[str, str, str], str]
"""Makes the address an object can be read at, from its location, bucket and key."""


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs of a project are asked for; None asks for any."""

    app_id: AppId | None = None
    room_id: RoomId | None = None
    state: JobState | None = None


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """One file of a job."""

    key: str
    """Object key in the bucket its rule named when it was recorded."""
    record_format: str
    """A `RecordFormat` value."""
    is_complete: bool
    """Whether it stands in its bucket, whole."""
    started_at: datetime
    ended_at: datetime | None = None
    size_bytes: int | None = None
    duration: timedelta | None = None
    width: int | None = None
    height: int | None = None
    download_url: str = ""
    """Where a complete one, or a playlist that still grows, can be read for some days; empty if there is no place,
    or it is not granted to the project any more."""


@dataclass(frozen=True, slots=True)
class ListedJob:
    """A job and its files, oldest first."""

    job: Job
    files: tuple[RecordedFile, ...]


@dataclass(frozen=True, slots=True)
class JobPage:
    """Some jobs, and whether there are older ones."""

    entries: tuple[ListedJob, ...]
    has_more: bool


async def page_of_jobs(
    database: AsyncEngine, project_id: ProjectId, wanted: JobFilter, *, number: int, size: int, url_of: UrlOf
) -> JobPage:
    """Return the page of this number, counted from 0, of `size` jobs of a project; `url_of` makes addresses."""
    values = {
        schema.jobs.c.project_id: project_id,
        schema.jobs.c.app_id: wanted.app_id,
        schema.jobs.c.room_id: wanted.room_id,
        schema.jobs.c.state: wanted.state,
    }
    scope = [column == value for column, value in values.items() if value is not None]
    async with database.connect() as connection:
        # One more than asked for tells whether there are others, without counting a month of jobs.
        found = await store.list_jobs(connection, scope, offset=number * size, limit=size + 1)
        shown = found[:size]
        rows = await _rows_of_files(connection, [job.job_id for job in shown])
        reach = await reach_of(connection, project_id) if rows else Reach()
    entries = [ListedJob(job, tuple(_file(row, url_of, reach) for row in rows[job.job_id])) for job in shown]
    return JobPage(tuple(entries), len(found) > size)


async def _rows_of_files(connection: AsyncConnection, job_ids: Sequence[JobId]) -> defaultdict[str, list[Row[Any]]]:
    table = schema.files
    query = select(table).where(table.c.job_id.in_(job_ids)).order_by(table.c.started_at, table.c.key)
    rows = defaultdict(list)
    for row in await connection.execute(query) if job_ids else ():
        rows[row.job_id].append(row)
    return rows


def _file(row: Row[Any], url_of: UrlOf, reach: Reach) -> RecordedFile:
    is_complete = row.state == "COMPLETED"
    is_granted = reach.holds(row.location, row.bucket, row.key)
    is_readable = is_granted and (is_complete or row.format == RecordFormat.HLS)
    return RecordedFile(
        key=row.key,
        record_format=row.format,
        is_complete=is_complete,
        started_at=row.started_at,
        ended_at=row.ended_at,
        size_bytes=row.size_bytes,
        duration=None if row.duration_ms is None else timedelta(milliseconds=row.duration_ms),
        width=row.width,
        height=row.height,
        download_url=url_of(row.location, row.bucket, row.key) if is_readable else "",
    )
