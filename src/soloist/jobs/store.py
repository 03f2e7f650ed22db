"""Statements on jobs and their events. Each takes the caller's transaction; none commits.

A recorder's statement carries the epoch under which it took the job, and changes nothing once another has taken it:
such a write raises EpochLostError. The row lock of the `jobs` row orders everything that happens to one job (R42).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from soloist.jobs import outbox, schema
from soloist.jobs.codec import job_of_row, job_values, render_event_body, render_rule_body
from soloist.keeping.port import EpochLostError
from soloist.model.errors import JobRunningError
from soloist.model.event import Event, JobEnded, JobTaken
from soloist.model.forward import TargetStatus
from soloist.model.ids import AppId, JobId, ProjectId
from soloist.model.job import Job, JobEvent, JobState
from soloist.model.media import Kind
from soloist.model.rule import RecordRule

jobs = schema.jobs


@dataclass(frozen=True, slots=True)
class Claim:
    """A job and the epoch under which someone writes for it."""

    job_id: JobId
    epoch: int

    @property
    def holds(self) -> ColumnElement[bool]:
        """The condition every fenced statement carries."""
        return and_(jobs.c.job_id == self.job_id, jobs.c.epoch == self.epoch)


async def insert_job(connection: AsyncConnection, job: Job, slot: str) -> None:
    """Insert a new job.

    Raises:
        JobRunningError: the stream has a live job. Spec: API section 5.3.
    """
    try:
        await connection.execute(insert(jobs).values(**job_values(job), slot=slot))
    except IntegrityError as error:
        if schema.UNIQUE_LIVE_JOB in str(error.orig):
            raise JobRunningError("JobRunning: job exists and is not over") from error
        raise


async def set_engine_id(connection: AsyncConnection, job_id: JobId, engine_id: int) -> None:
    """Remember under which id the engine queues this job."""
    await connection.execute(update(jobs).where(jobs.c.job_id == job_id).values(engine_id=engine_id))


async def find_job(
    connection: AsyncConnection, scope: ColumnElement[bool], *, lock: bool = False
) -> tuple[Job, Row[Any]] | None:
    """Return one job and its row, locked against everyone else's changes if asked; None if there is none."""
    query = select(jobs).where(scope)
    row = (await connection.execute(query.with_for_update() if lock else query)).one_or_none()
    return (job_of_row(row), row) if row else None


def in_app(project_id: ProjectId, app_id: AppId, job_id: JobId) -> ColumnElement[bool]:
    """Return the condition that finds a job only for its own project and app."""
    return and_(jobs.c.project_id == project_id, jobs.c.app_id == app_id, jobs.c.job_id == job_id)


async def save_move(connection: AsyncConnection, job: Job) -> None:
    """Write what `Job.after` changed; the caller holds the row's lock."""
    await connection.execute(
        update(jobs)
        .where(Claim(job.job_id, job.epoch).holds)
        .values(
            state=job.state,
            stop_reason=job.stop_reason,
            stopped_at=job.stopped_at,
            updated_at=job.updated_at,
            description=job.description,
        )
    )


async def save_rule(connection: AsyncConnection, job_id: JobId, rule: RecordRule, now: datetime) -> None:
    """Give a live job another rule; the recorder's fence delivers it. Spec: API section 5.4."""
    values = {"rule_id": rule.rule_id, "rule": render_rule_body(rule), "updated_at": now}
    await connection.execute(update(jobs).where(jobs.c.job_id == job_id).values(values))


async def save_forward_urls(connection: AsyncConnection, job_id: JobId, urls: Sequence[str], now: datetime) -> None:
    """Let a live job forward elsewhere; the recorder's fence delivers it. Spec: API section 6.3."""
    values = {"forward_urls": list(urls), "updated_at": now}
    await connection.execute(update(jobs).where(jobs.c.job_id == job_id).values(values))


async def save_forwarding(connection: AsyncConnection, claim: Claim, statuses: Sequence[TargetStatus]) -> None:
    """Note where the targets of a job this recorder owns stand.

    Raises:
        EpochLostError: it is no longer ours.
    """
    values = {"forwarding": [asdict(status) for status in statuses]}
    if not (await connection.execute(update(jobs).where(claim.holds).values(values))).rowcount:
        raise EpochLostError


async def save_suspended(connection: AsyncConnection, job_id: JobId, *, suspended: bool, now: datetime) -> None:
    """Suspend a live job or let it go on; the recorder's fence delivers it. Spec: API section 2.3."""
    values = {"suspended": suspended, "updated_at": now}
    await connection.execute(update(jobs).where(jobs.c.job_id == job_id).values(values))


async def take(connection: AsyncConnection, job_id: JobId, owner: str, now: datetime) -> Job | None:
    """Make this recorder the job's owner under a new epoch; None if the job is over and told, or unknown.

    A STOPPED job whose end is not told yet is taken too: what earlier epochs left must be settled by someone.
    """
    found = await find_job(connection, jobs.c.job_id == job_id, lock=True)
    if found is None or found[1].ended_at is not None:
        return None
    job = found[0].after(JobEvent.TAKEN, now) if found[0].state is JobState.INIT else found[0]
    epoch = job.epoch + 1
    await connection.execute(
        update(jobs)
        .where(jobs.c.job_id == job_id)
        .values(epoch=epoch, owner=owner, state=job.state, updated_at=job.updated_at)
    )
    await append_event(connection, Claim(job_id, epoch), JobTaken(owner), now)
    return replace(job, epoch=epoch)


async def move(connection: AsyncConnection, claim: Claim, event: JobEvent, now: datetime) -> Job:
    """Move a job this recorder owns; return it as it then stands (a STOPPED job stays as it is).

    Raises:
        EpochLostError: it is no longer ours.
    """
    found = await find_job(connection, claim.holds, lock=True)
    if found is None:
        raise EpochLostError
    job = found[0].after(event, now)
    if job is not found[0]:
        await save_move(connection, job)
    return job


async def describe(connection: AsyncConnection, claim: Claim, text: str) -> None:
    """Replace the description of a job this recorder owns, cut to 128 characters.

    Raises:
        EpochLostError: it is no longer ours.
    """
    if not (await connection.execute(update(jobs).where(claim.holds).values(description=text[:128]))).rowcount:
        raise EpochLostError


async def save_transcoded(connection: AsyncConnection, claim: Claim, transcoded: Mapping[Kind, bool]) -> None:
    """Note which tracks of a job this recorder owns are transcoded.

    Raises:
        EpochLostError: it is no longer ours.
    """
    if not (await connection.execute(update(jobs).where(claim.holds).values(transcoded=transcoded))).rowcount:
        raise EpochLostError


async def has_ended(connection: AsyncConnection, claim: Claim) -> bool:
    """Return whether the job's end is told, with its row locked.

    Raises:
        EpochLostError: it is no longer ours.
    """
    found = await find_job(connection, claim.holds, lock=True)
    if found is None:
        raise EpochLostError
    return found[1].ended_at is not None


async def append_event(connection: AsyncConnection, claim: Claim, event: Event, now: datetime) -> int:
    """Append an event under the job's next sequence number, and queue it for the app's callback; return the number.

    Spec: recording rules R49, R50.

    Raises:
        EpochLostError: the epoch is no longer the job's.
    """
    values: dict[Any, Any] = {"event_seq": jobs.c.event_seq + 1}
    if isinstance(event, JobEnded):
        values["ended_at"] = now
    seq = await connection.scalar(update(jobs).where(claim.holds).values(values).returning(jobs.c.event_seq))
    if seq is None:
        raise EpochLostError
    row = {"type": type(event).__name__, "body": render_event_body(event), "at": now}
    await connection.execute(insert(schema.job_events).values(job_id=claim.job_id, epoch=claim.epoch, seq=seq, **row))
    await outbox.queue(connection, claim.job_id, seq, event)
    return int(seq)


async def list_jobs(
    connection: AsyncConnection, scope: Sequence[ColumnElement[bool]], *, offset: int, limit: int
) -> list[Job]:
    """Return jobs, newest first."""
    query = select(jobs).where(*scope).order_by(jobs.c.created_at.desc(), jobs.c.job_id).offset(offset).limit(limit)
    return [job_of_row(row) for row in await connection.execute(query)]


async def list_files(connection: AsyncConnection, job_id: JobId) -> list[Row[Any]]:
    """Return a job's files, oldest first."""
    table = schema.files
    query = select(table).where(table.c.job_id == job_id).order_by(table.c.started_at, table.c.key)
    return list(await connection.execute(query))


async def list_events(connection: AsyncConnection, job_id: JobId) -> list[Row[Any]]:
    """Return a job's events in order."""
    table = schema.job_events
    return list(await connection.execute(select(table).where(table.c.job_id == job_id).order_by(table.c.seq)))
