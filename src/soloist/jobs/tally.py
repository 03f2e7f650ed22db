"""How many jobs, files and notices there are by state: what `/metrics` shows of the database."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import case, extract, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from soloist.jobs.schema import deliveries, files, jobs, record_callbacks
from soloist.jobs.untaken import Untaken
from soloist.model.callback import DeliveryState

_FILE_STATE = case(
    (files.c.state == "COMPLETED", "published"),
    (jobs.c.state != "STOPPED", "open"),
    (jobs.c.ended_at.is_(None), "pending"),
    else_="unpublished",
)
"""pending: its job has stopped and is still being settled; unpublished: the job has ended without it."""

_OLDEST_NOTICE = (
    select(extract("epoch", func.now() - func.min(deliveries.c.created_at)))
    .join(record_callbacks, record_callbacks.c.app_id == deliveries.c.app_id)
    .where(deliveries.c.state == DeliveryState.WAITING, record_callbacks.c.paused.is_(False))
)

_STORED = [state.value for state in DeliveryState if state is not DeliveryState.UNTOLD]
"""Shown though none is in it, so that an alarm on DEAD has something to look at."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts at one moment; jobs that were forgotten (`keep_jobs_days`) are not among them."""

    jobs: Mapping[tuple[str, str], int]
    """By state and stop reason, "" while there is none."""
    files: Mapping[str, int]
    """By open, pending, published and unpublished."""
    notices: Mapping[str, int]
    """Events that customers are to be told, by `DeliveryState`."""
    oldest_notice_s: float
    """Age of the oldest that waits for a callback which is not paused; 0 without one."""
    callbacks_paused: int
    jobs_untaken: int
    """Jobs that have been INIT for longer than a recorder ever needs."""
    oldest_untaken_s: float
    """How long the oldest of them has been; 0 without one."""


async def tally(database: AsyncEngine, *, untaken: Callable[[], Untaken] = Untaken) -> Tally:
    """Count; one pass over each table. `untaken` says what was seen last of jobs nobody takes."""
    waiting = untaken()
    by_state = select(jobs.c.state, func.coalesce(jobs.c.stop_reason, ""), func.count()).group_by(
        jobs.c.state, jobs.c.stop_reason
    )
    by_progress = select(_FILE_STATE, func.count()).select_from(files.join(jobs)).group_by(_FILE_STATE)
    by_delivery = select(deliveries.c.state, func.count()).group_by(deliveries.c.state)
    async with database.connect() as connection:
        job_rows = (await connection.execute(by_state)).all()
        file_rows = (await connection.execute(by_progress)).all()
        delivery_rows = (await connection.execute(by_delivery)).all()
        oldest = await connection.scalar(_OLDEST_NOTICE)
        paused = await connection.scalar(select(func.count()).where(record_callbacks.c.paused))
    return Tally(
        jobs={(state, reason): count for state, reason, count in job_rows},
        files=dict(tuple(row) for row in file_rows),
        notices=dict.fromkeys(_STORED, 0) | dict(tuple(row) for row in delivery_rows),
        oldest_notice_s=float(oldest or 0),
        callbacks_paused=int(paused or 0),
        jobs_untaken=waiting.count,
        oldest_untaken_s=waiting.oldest_s,
    )
