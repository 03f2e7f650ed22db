"""Statements on what is to be told: queued with the event itself, taken in each job's order, settled one by one.

Each takes the caller's transaction; none commits. All times are the database's, so that several machines agree. A job's
events are told strictly in order: one is due only while none before it is waiting. Rules R49 to R51.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, case, delete, exists, func, insert, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from soloist.jobs import schema
from soloist.jobs.codec import job_of_row, parse_event
from soloist.model.callback import TOLD, DeliveryState, Notice, RecordCallback
from soloist.model.event import Event
from soloist.model.ids import AppId, JobId

CHANNEL = "soloist_deliveries"
"""What whoever delivers listens to."""

ERROR_LENGTH_MAX = 256

callbacks = schema.record_callbacks
deliveries = schema.deliveries


@dataclass(frozen=True, slots=True)
class Due:
    """A notice to be sent now, and where."""

    notice: Notice
    callback: RecordCallback
    attempts: int


async def queue(connection: AsyncConnection, job_id: JobId, seq: int, event: Event) -> None:
    """Queue an event for its app's callback, if it is one that is told and the app has a callback now.

    A callback configured later is told of later events only.
    """
    if not isinstance(event, TOLD):
        return
    waiting = select(func.max(deliveries.c.next_at)).where(_waiting(job_id)).scalar_subquery()
    values: dict[str, ColumnElement[Any]] = {
        "job_id": literal(job_id),
        "seq": literal(seq),
        "app_id": callbacks.c.app_id,
        "state": literal(DeliveryState.WAITING.value),
        "created_at": func.now(),
        # Behind one that waits for its next attempt it waits as well: what is not due costs no look.
        "next_at": func.coalesce(waiting, func.now()),
    }
    source = select(*list(values.values())).join_from(
        callbacks, schema.jobs, (schema.jobs.c.app_id == callbacks.c.app_id) & (schema.jobs.c.job_id == job_id)
    )
    queued = insert(deliveries).from_select(list(values), source.where(callbacks.c.url != ""))
    if (await connection.execute(queued.returning(deliveries.c.seq))).first() is not None:
        await announce(connection)


async def announce(connection: AsyncConnection) -> None:
    """Wake whoever delivers, when this transaction commits."""
    await connection.execute(select(func.pg_notify(CHANNEL, "")))


async def due(connection: AsyncConnection, *, limit: int, busy: Collection[str], full: Collection[str]) -> list[Due]:
    """Return what is to be sent now, the longest due first; nothing of jobs that are `busy` or apps that are `full`."""
    paused = (await connection.scalars(select(callbacks.c.app_id).where(callbacks.c.paused))).all()
    earlier = deliveries.alias()
    is_first = ~exists().where(
        earlier.c.job_id == deliveries.c.job_id,
        earlier.c.seq < deliveries.c.seq,
        earlier.c.state == DeliveryState.WAITING,
    )
    query = (
        select_notices(callbacks.c.url, callbacks.c.auth_key, callbacks.c.updated_at.label("told_since"))
        .join(callbacks, callbacks.c.app_id == deliveries.c.app_id)
        .where(deliveries.c.state == DeliveryState.WAITING, deliveries.c.next_at <= func.now(), is_first)
        # Named one by one, a long queue that is held back costs a glance; found by the join it cost 0.3 s for 100,000.
        .where(deliveries.c.job_id.not_in(busy), deliveries.c.app_id.not_in([*full, *paused]), callbacks.c.url != "")
        .order_by(deliveries.c.next_at)
        .limit(limit)
    )
    return [
        Due(notice_of_row(row), RecordCallback(row.url, row.auth_key, row.told_since), row.delivery_attempts)
        for row in await connection.execute(query)
    ]


async def settle(connection: AsyncConnection, notice: Notice, state: DeliveryState) -> None:
    """Note that a notice is DELIVERED or SKIPPED; one that somebody else has settled meanwhile stays as it is."""
    values = {"state": state, "settled_at": func.now(), "last_error": "", "attempts": deliveries.c.attempts + 1}
    await connection.execute(update(deliveries).where(_waiting(notice.job.job_id, notice.seq)).values(values))


async def postpone(
    connection: AsyncConnection, notice: Notice, error: str, *, delay: timedelta, give_up: timedelta
) -> DeliveryState:
    """Note a failed attempt and return what becomes of the notice: WAITING again for `delay`, with all behind it.

    DEAD if that would be later than `give_up` after it was queued, or after its callback was last changed or resumed;
    those behind it are then due.
    """
    changed_at = select(callbacks.c.updated_at).where(callbacks.c.app_id == deliveries.c.app_id).scalar_subquery()
    next_at = func.now() + delay
    is_over = next_at > func.greatest(deliveries.c.created_at, changed_at) + give_up
    values = {
        "attempts": deliveries.c.attempts + 1,
        "last_error": error[:ERROR_LENGTH_MAX],
        "next_at": next_at,
        "state": case((is_over, DeliveryState.DEAD.value), else_=deliveries.c.state),
        "settled_at": case((is_over, func.now())),
    }
    failed = update(deliveries).where(_waiting(notice.job.job_id, notice.seq)).values(values)
    state = await connection.scalar(failed.returning(deliveries.c.state))
    if state == DeliveryState.WAITING:
        behind = update(deliveries).where(_waiting(notice.job.job_id), deliveries.c.next_at < next_at)
        await connection.execute(behind.values(next_at=next_at))
    return DeliveryState(state or DeliveryState.DELIVERED)


async def bring_forward(connection: AsyncConnection, app_id: AppId) -> None:
    """Let everything that waits for an app be due now: its callback has changed."""
    of_app = (deliveries.c.app_id == app_id, deliveries.c.state == DeliveryState.WAITING)
    await connection.execute(update(deliveries).where(*of_app).values(next_at=func.now()))
    await announce(connection)


async def bury(connection: AsyncConnection, app_id: AppId, error: str) -> None:
    """Give up everything that waits for an app: nobody is to be told any more."""
    of_app = (deliveries.c.app_id == app_id, deliveries.c.state == DeliveryState.WAITING)
    values = {"state": DeliveryState.DEAD, "settled_at": func.now(), "last_error": error}
    await connection.execute(update(deliveries).where(*of_app).values(values))


async def retire(connection: AsyncConnection, app_id: AppId) -> None:
    """Let an app go that is being deleted: what waits is told for its time from now, and its callback is kept for that.

    Without an address what waits is given up; without anything that waits the callback goes at once.
    """
    await connection.execute(delete(callbacks).where(callbacks.c.app_id == app_id, callbacks.c.url == ""))
    kept = {"retired": True, "paused": False, "updated_at": func.now()}
    found = await connection.execute(update(callbacks).where(callbacks.c.app_id == app_id).values(kept))
    if found.rowcount:
        await bring_forward(connection, app_id)
        await forget_retired(connection)
    else:
        await bury(connection, app_id, "the app was deleted")


async def forget_retired(connection: AsyncConnection) -> None:
    """Forget callbacks of deleted apps, and the keys they were signed with, once nothing waits for them."""
    await connection.execute(delete(callbacks).where(callbacks.c.retired, ~_is_awaited()))


def _is_awaited() -> ColumnElement[bool]:
    return exists().where(deliveries.c.app_id == callbacks.c.app_id, deliveries.c.state == DeliveryState.WAITING)


def select_notices(*columns: Any) -> Select[Any]:
    """Return a query of deliveries with their events and jobs, for `notice_of_row`, and `columns` besides."""
    events = schema.job_events
    return (
        select(
            schema.jobs,
            events.c.seq,
            events.c.type.label("event_type"),
            events.c.body.label("event_body"),
            events.c.at.label("event_at"),
            deliveries.c.state.label("delivery_state"),
            deliveries.c.attempts.label("delivery_attempts"),
            *columns,
        )
        .select_from(events)
        .join(schema.jobs, schema.jobs.c.job_id == events.c.job_id)
        .outerjoin(deliveries, (deliveries.c.job_id == events.c.job_id) & (deliveries.c.seq == events.c.seq))
    )


def notice_of_row(row: Row[Any]) -> Notice:
    """Return the notice of a row of `select_notices`."""
    return Notice(job_of_row(row), row.seq, parse_event(row.event_type, row.event_body), row.event_at)


def _waiting(job_id: JobId, seq: int | None = None) -> ColumnElement[bool]:
    """Return the condition that finds what waits of a job, or one of it."""
    found = (deliveries.c.job_id == job_id) & (deliveries.c.state == DeliveryState.WAITING)
    return found if seq is None else found & (deliveries.c.seq == seq)
