"""What customers were or are to be told, to be looked through and told again. Rules R49, R51."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from soloist.jobs import outbox, schema
from soloist.jobs.callbacks import find_callback, require_app
from soloist.model.callback import LISTED, Delivery, DeliveryState
from soloist.model.errors import InvalidValueError, NotFoundError
from soloist.model.ids import AppId, JobId, ProjectId

deliveries = schema.deliveries
events = schema.job_events


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events are wanted; None for all."""

    project_id: ProjectId | None = None
    app_id: AppId | None = None
    job_id: JobId | None = None
    state: DeliveryState | None = None


class Events:
    """The events of all jobs that are told."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def list_events(self, wanted: EventFilter, *, offset: int = 0, limit: int = 100) -> list[Delivery]:
        """Return events with how far their telling got, newest first; those of one moment in falling order."""
        query = _deliveries().where(*_scope(wanted)).order_by(events.c.at.desc(), events.c.job_id, events.c.seq.desc())
        async with self._database.connect() as connection:
            return [_delivery_of_row(row) for row in await connection.execute(query.offset(offset).limit(limit))]

    async def replay(self, project_id: ProjectId | None, event_id: str) -> int:
        """Tell one event again, whatever became of it, also one that was never told; return 1.

        Raises:
            NotFoundError: the project (any project if None) has no such event.
            InvalidValueError: its app has no callback.
        """
        job_id, _, number = event_id.rpartition("-")
        seq = int(number) if number.isascii() and number.isdigit() and len(number) < 10 else 0
        scope = [*_scope(EventFilter(project_id=project_id, job_id=JobId(job_id))), events.c.seq == seq]
        async with self._database.begin() as connection:
            found = (await connection.execute(_deliveries().where(*scope))).one_or_none()
            if found is None:
                raise NotFoundError(f"event {event_id} does not exist")
            fresh = await _queued_again(connection, AppId(found.app_id))
            again = insert(deliveries).values(job_id=job_id, seq=seq, app_id=found.app_id, **fresh)
            await connection.execute(again.on_conflict_do_update(index_elements=["job_id", "seq"], set_=fresh))
            await outbox.announce(connection)
        return 1

    async def replay_dead(self, project_id: ProjectId | None, app_id: AppId) -> int:
        """Tell again every event of an app that was given up, in each job's order; return how many.

        Raises:
            NotFoundError: the project (any project if None) has no such app.
            InvalidValueError: it has no callback.
        """
        is_dead = (deliveries.c.app_id == app_id, deliveries.c.state == DeliveryState.DEAD)
        async with self._database.begin() as connection:
            await require_app(connection, project_id, app_id)
            fresh = await _queued_again(connection, app_id)
            again = await connection.execute(update(deliveries).where(*is_dead).values(fresh))
            await outbox.announce(connection)
        return again.rowcount


async def _queued_again(connection: AsyncConnection, app_id: AppId) -> dict[str, Any]:
    """Return the columns of a delivery that is due anew, if the app has a callback to tell it to."""
    callback = await find_callback(connection, app_id)
    if callback is None or not callback.url:
        raise InvalidValueError(f"app {app_id} has no callback to tell it to; set one first")
    return {
        "state": DeliveryState.WAITING.value,
        "attempts": 0,
        "created_at": func.now(),
        "next_at": func.now(),
        "settled_at": None,
    }


def _deliveries() -> Select[Any]:
    columns = (deliveries.c.next_at, deliveries.c.settled_at, deliveries.c.last_error)
    return outbox.select_notices(*columns).where(events.c.type.in_([kind.__name__ for kind in LISTED]))


def _scope(wanted: EventFilter) -> list[ColumnElement[bool]]:
    values = {
        schema.jobs.c.project_id: wanted.project_id,
        schema.jobs.c.app_id: wanted.app_id,
        schema.jobs.c.job_id: wanted.job_id,
    }
    conditions = [column == value for column, value in values.items() if value is not None]
    if wanted.state is DeliveryState.UNTOLD:
        conditions.append(deliveries.c.state.is_(None))
    elif wanted.state is not None:
        conditions.append(deliveries.c.state == wanted.state)
    return conditions


def _delivery_of_row(row: Row[Any]) -> Delivery:
    state = DeliveryState(row.delivery_state or DeliveryState.UNTOLD)
    return Delivery(
        notice=outbox.notice_of_row(row),
        state=state,
        attempts=row.delivery_attempts or 0,
        next_at=row.next_at if state is DeliveryState.WAITING else None,
        settled_at=row.settled_at,
        last_error=row.last_error or "",
    )
