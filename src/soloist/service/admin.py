"""What the operator's commands do, on the database of a running server or of one started for the moment."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from soloist.clock import utc_now
from soloist.jobs import store
from soloist.jobs.accounts import Accounts, App
from soloist.jobs.apps import AppService
from soloist.jobs.database import open_database
from soloist.jobs.migrate import migrate
from soloist.model.errors import InvalidValueError, NotFoundError
from soloist.model.ids import AppId, JobId, ParticipantId, ProjectId, RoomId, parse_id
from soloist.model.job import JobState
from soloist.model.rule import Vp8Mode
from soloist.service.folders import hold_data, prepare_folders, remove_runtime
from soloist.service.postgres import Postgres, running
from soloist.service.settings import Settings
from soloist.wire.join_token import JoinRole, mint_join_token


@dataclass(frozen=True, slots=True)
class Office:
    """Where an operator's command works and what it writes on."""

    url: str
    out: Console
    locations: frozenset[str] = frozenset()
    """Storage region ids that this command's own settings know."""
    data: Path = Path()
    """The data folder."""

    @contextlib.asynccontextmanager
    async def database(self) -> AsyncIterator[AsyncEngine]:
        """Yield the database."""
        database = open_database(self.url)
        try:
            yield database
        finally:
            await database.dispose()

    @contextlib.asynccontextmanager
    async def accounts(self) -> AsyncIterator[Accounts]:
        """Yield the accounts."""
        async with self.database() as database:
            yield Accounts(database)

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection for reading."""
        async with self.database() as database, database.connect() as connection:
            yield connection


@contextlib.contextmanager
def open_office(settings: Settings, out: Console | None = None) -> Iterator[Office]:
    """Yield an office on the configured database; a private one that is not running is started meanwhile.

    Raises:
        StartError: the private database cannot be started.
    """
    out = out or Console(highlight=False, soft_wrap=True)
    locations = frozenset(settings.storage_locations)
    if settings.database_url is not None:
        url = settings.database_url.get_secret_value()
        migrate(url)
        yield Office(url, out, locations, settings.data)
        return
    prepare_folders(settings)
    postgres = Postgres(settings.data, settings.runtime_dir)
    if postgres.is_answering:
        yield Office(postgres.url, out, locations, settings.data)
        return
    with hold_data(settings.data):
        try:
            with running(postgres) as url:
                migrate(url)
                yield Office(url, out, locations, settings.data)
        finally:
            remove_runtime(settings.runtime_dir)


async def jobs_listed(office: Office, state: str | None, limit: int) -> None:
    """Print a table of jobs, newest first."""
    if state is not None and state not in list(JobState):
        raise InvalidValueError(f"--state is one of {', '.join(JobState)}")
    scope = [store.jobs.c.state == state] if state else []
    async with office.connection() as connection:
        found = await store.list_jobs(connection, scope, offset=0, limit=limit)
    table = new_table("job", "app", "room", "user", "state", "reason", "created")
    for job in found:
        reason = job.stop_reason or ""
        table.add_row(job.job_id, job.app_id, job.room_id, job.participant_id, job.state, reason, _time(job.created_at))
    office.out.print(table)


async def job_shown(office: Office, job_id: str) -> None:
    """Print a job with its files and events."""
    async with office.connection() as connection:
        found = await store.find_job(connection, store.jobs.c.job_id == JobId(job_id))
        if found is None:
            raise NotFoundError(f"job {job_id} does not exist")
        files = await store.list_files(connection, JobId(job_id))
        events = await store.list_events(connection, JobId(job_id))
    job, row = found
    facts = new_table("", "")
    for name in ("project_id", "app_id", "room_id", "participant_id", "state", "stop_reason", "description", "epoch"):
        facts.add_row(name, str(getattr(job, name) or ""))
    facts.add_row("rule", job.rule.rule_id if job.rule else "none: it only forwards")
    facts.add_row("owner", row.owner or "")
    office.out.print(facts)
    written = new_table("file", "state", "bytes", "seconds", "sha256")
    for file in files:
        seconds = "" if file.duration_ms is None else f"{file.duration_ms / 1000:.3f}"
        written.add_row(file.key, file.state, str(file.size_bytes or ""), seconds, (file.sha256 or "")[:16])
    office.out.print(written)
    told = new_table("seq", "epoch", "event", "at")
    for event in events:
        told.add_row(str(event.seq), str(event.epoch), event.type, _time(event.at))
    office.out.print(told)


async def app_created(office: Office, app_name: str, project: str, vp8: str) -> None:
    """Make and print an app; no quota holds for the operator.

    Raises:
        InvalidValueError: the name cannot be one, or is another app's; or `vp8` is none of the choices.
    """
    project_id = ProjectId(parse_id(project, "project", 128))
    async with office.database() as database:
        _print_app(office, await AppService(database).create(project_id, app_name, _vp8_mode(vp8)))


async def app_changed(office: Office, app_id: str, vp8: str) -> None:
    """Change and print an app.

    Raises:
        NotFoundError: there is none of that id.
        InvalidValueError: `vp8` is none of the choices, or cannot be done here.
    """
    found = await find_app(office, app_id)
    async with office.database() as database:
        _print_app(office, await AppService(database).change_vp8(found.project_id, found.app_id, _vp8_mode(vp8)))


async def app_shown(office: Office, app_id: str) -> None:
    """Print an app."""
    _print_app(office, await find_app(office, app_id))


async def join_token_created(office: Office, app_id: str, room: str, user: str, minutes: int) -> None:  # noqa: PLR0917 - the command's options
    """Make and print a token for one user of one room."""
    found = await find_app(office, app_id)
    now = utc_now()
    token = mint_join_token(
        found.join_key,
        app_id=found.app_id,
        room_id=RoomId(parse_id(room, "room")),
        participant_id=ParticipantId(parse_id(user, "user")),
        role=JoinRole.PUBLISHER,
        expires_at=now + timedelta(minutes=minutes),
        issued_at=now,
    )
    office.out.print(token)


async def find_app(office: Office, app_id: str) -> App:
    """Return an app.

    Raises:
        NotFoundError: there is none of that id.
    """
    async with office.accounts() as accounts:
        found = await accounts.app_anywhere(AppId(app_id))
    if found is None:
        raise NotFoundError(f"app {app_id} does not exist; make one with: soloist app create NAME")
    return found


def _vp8_mode(name: str) -> Vp8Mode:
    if name not in list(Vp8Mode):
        raise InvalidValueError(f"--vp8 is one of {', '.join(Vp8Mode)}")
    return Vp8Mode(name)


def _print_app(office: Office, app: App) -> None:
    office.out.print(
        f"app       {app.app_id}\nname      {app.app_name}\nproject   {app.project_id}\n"
        f"enabled   {'yes' if app.enabled else 'no'}\nvp8       {app.vp8}\njoin key  {app.join_key}"
    )


def new_table(*columns: str) -> Table:
    """Return a table whose long cells are folded and not cut."""
    table = Table(*columns, box=None, pad_edge=False)
    for column in table.columns:
        column.overflow = "fold"
    return table


def _time(at: Any) -> str:
    return str(at.strftime("%Y-%m-%d %H:%M:%S"))
