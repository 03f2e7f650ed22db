"""Ours: what customers were told, what they still wait for, and telling it again. Rules R49, R51."""

from typing import Annotated, Any, Literal, Protocol

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from soloist.api.body import parse_object
from soloist.api.fields import APP_ID_PATTERN, JOB_ID_PATTERN, Body, parse_body, render_time
from soloist.api.notices import EVENT_TYPES, Notices
from soloist.api.routing import PageNumber, PageSize, answers, body_of, new_router, project_of
from soloist.jobs.events import EventFilter
from soloist.model.callback import Delivery, DeliveryState, RecordCallback
from soloist.model.errors import InvalidCombinationError, MissingFieldError
from soloist.model.ids import AppId, JobId, ProjectId

PATH = "/soloist/v1/events"
EVENT_ID_PATTERN = "^[A-Za-z0-9_-]{1,64}-[0-9]{1,9}$"

State = Literal["WAITING", "DELIVERED", "DEAD", "SKIPPED", "UNTOLD"]
AppIdField = Annotated[str, Field(pattern=APP_ID_PATTERN)]


class ReplayBody(Body):
    """Which events to tell again: one, or all of an app that were given up."""

    event_id: Annotated[str, Field(pattern=EVENT_ID_PATTERN)] | None = None
    app_id: AppIdField | None = None


class PauseBody(Body):
    """Whose events to keep, or to send again."""

    app_id: AppIdField
    paused: bool


class EventView(BaseModel):
    """One event of a job and how far its telling got; fields without a value are left out."""

    event_id: str
    event_type: str
    app_id: str
    job_id: str
    happen_time: str
    state: State
    attempts: int
    next_time: str | None = None
    settle_time: str | None = None
    last_error: str | None = None
    body: dict[str, Any]
    """What is told, field by field as it is sent."""


class EventsView(BaseModel):
    """A page of events, newest first."""

    events: list[EventView]


class ReplayView(BaseModel):
    """How many events are queued again."""

    replayed_count: int


class PauseView(BaseModel):
    """How an app's callback stands."""

    app_id: str
    paused: bool


class EventCommands(Protocol):
    """What the edge asks of events; every call is within one project."""

    async def list_events(self, wanted: EventFilter, *, offset: int, limit: int) -> list[Delivery]:
        """Return events, newest first."""

    async def replay(self, project_id: ProjectId, event_id: str) -> int:
        """Tell one event again."""

    async def replay_dead(self, project_id: ProjectId, app_id: AppId) -> int:
        """Tell again what was given up."""


class Pausing(Protocol):
    """Keeps an app's events."""

    async def pause(self, project_id: ProjectId, app_id: AppId, *, paused: bool) -> RecordCallback:
        """Stop or go on sending them."""


def event_routes(events: EventCommands, callbacks: Pausing, notices: Notices) -> APIRouter:
    """Return listing, replay and pause."""
    router = new_router("events")

    @router.get(PATH, response_model_exclude_none=True, responses=answers(400))
    async def list_events(
        request: Request,
        app_id: Annotated[str | None, Query(pattern=APP_ID_PATTERN)] = None,
        job_id: Annotated[str | None, Query(pattern=JOB_ID_PATTERN)] = None,
        state: Annotated[State | None, Query(description="How far the telling got")] = None,
        *,
        offset: PageNumber = 0,
        limit: PageSize = 100,
    ) -> EventsView:
        """List what the project's apps were told, or are to be told, newest first."""
        wanted = EventFilter(
            project_of(request),
            AppId(app_id) if app_id else None,
            JobId(job_id) if job_id else None,
            DeliveryState(state) if state else None,
        )
        found = await events.list_events(wanted, offset=offset * limit, limit=limit)
        return EventsView(events=[_view(delivery, notices) for delivery in found])

    @router.post(PATH + "/replay", responses=answers(400, 404), openapi_extra=body_of(ReplayBody))
    async def replay_events(request: Request) -> ReplayView:
        """Tell one event again, or every event of an app that was given up."""
        body = parse_body(ReplayBody, parse_object(await request.body()))
        if body.event_id and body.app_id:
            raise InvalidCombinationError("give event_id for one event or app_id for all that were given up, not both")
        if body.event_id:
            return ReplayView(replayed_count=await events.replay(project_of(request), body.event_id))
        if body.app_id:
            return ReplayView(replayed_count=await events.replay_dead(project_of(request), AppId(body.app_id)))
        raise MissingFieldError("event_id or app_id")

    @router.post(PATH + "/pause", responses=answers(400, 404), openapi_extra=body_of(PauseBody))
    async def pause_events(request: Request) -> PauseView:
        """Keep an app's events and send none, or send them again: nothing is lost meanwhile."""
        body = parse_body(PauseBody, parse_object(await request.body()))
        callback = await callbacks.pause(project_of(request), AppId(body.app_id), paused=body.paused)
        return PauseView(app_id=body.app_id, paused=callback.paused)

    return router


def _view(delivery: Delivery, notices: Notices) -> EventView:
    notice = delivery.notice
    return EventView(
        event_id=notice.event_id,
        event_type=EVENT_TYPES[type(notice.event)],
        app_id=notice.job.app_id,
        job_id=notice.job.job_id,
        happen_time=render_time(notice.happened_at),
        state=delivery.state.value,
        attempts=delivery.attempts,
        next_time=render_time(delivery.next_at) if delivery.next_at else None,
        settle_time=render_time(delivery.settled_at) if delivery.settled_at else None,
        last_error=delivery.last_error or None,
        body=notices.fields(notice),
    )
