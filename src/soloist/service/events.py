"""What the operator's commands do about callbacks: look through what was told, tell it again, hold it back."""

from soloist.jobs.callbacks import Callbacks
from soloist.jobs.events import EventFilter, Events
from soloist.model.callback import DeliveryState
from soloist.model.errors import InvalidValueError
from soloist.model.ids import AppId, JobId
from soloist.service.admin import Office, new_table
from soloist.wire.addresses import OutgoingGuard


async def events_listed(office: Office, app_id: str | None, job_id: str | None, state: str | None, limit: int) -> None:  # noqa: PLR0917 - the command's options
    """Print a table of events, newest first."""
    if state is not None and state not in list(DeliveryState):
        raise InvalidValueError(f"--state is one of {', '.join(DeliveryState)}")
    wanted = EventFilter(
        app_id=AppId(app_id) if app_id else None,
        job_id=JobId(job_id) if job_id else None,
        state=DeliveryState(state) if state else None,
    )
    async with office.database() as database:
        found = await Events(database).list_events(wanted, limit=limit)
    table = new_table("event id", "event", "app", "happened", "state", "attempts", "last error")
    for delivery in found:
        notice = delivery.notice
        table.add_row(
            notice.event_id,
            type(notice.event).__name__,
            notice.job.app_id,
            notice.happened_at.strftime("%Y-%m-%d %H:%M:%S"),
            delivery.state,
            str(delivery.attempts),
            delivery.last_error,
        )
    office.out.print(table)


async def events_replayed(office: Office, event_id: str | None, app_id: str | None) -> None:
    """Queue one event again, or all of an app that were given up, and print how many."""
    if (event_id is None) == (app_id is None):
        raise InvalidValueError("Give one event id, or --app for everything of an app that was given up")
    async with office.database() as database:
        events = Events(database)
        count = await (events.replay(None, event_id) if event_id else events.replay_dead(None, AppId(app_id or "")))
    office.out.print(f"{count} queued; what becomes of them: soloist events list")


async def events_paused(office: Office, app_id: str, *, paused: bool) -> None:
    """Hold back an app's events, or send them again."""
    async with office.database() as database:
        await Callbacks(database, OutgoingGuard()).pause(None, AppId(app_id), paused=paused)
    kept = "its events are kept and none is sent" if paused else "what was kept is being sent"
    office.out.print(f"{app_id}: {kept}")
