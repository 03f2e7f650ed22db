"""Who is told: each app's callback, set and shown by its own project. Spec: API section 2.6; rule R51."""

from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from soloist.jobs import outbox, schema
from soloist.model.callback import RecordCallback
from soloist.model.errors import CallbackUnavailableError, DestinationError, InvalidValueError, NotFoundError
from soloist.model.ids import AppId, ProjectId
from soloist.wire.addresses import AddressRefusedError, OutgoingGuard

Probe = Callable[[str, str], Awaitable[None]]
"""Sends something harmless to a URL, signed with a key. Raises DestinationError if it is not confirmed."""

table = schema.record_callbacks


class Callbacks:
    """The callbacks of all apps."""

    def __init__(self, database: AsyncEngine, guard: OutgoingGuard, *, probe: Probe | None = None) -> None:
        """With a `probe`, only a URL that answers is accepted."""
        self._database = database
        self._guard = guard
        self._probe = probe

    async def show(self, project_id: ProjectId, app_id: AppId) -> RecordCallback | None:
        """Return an app's callback; None if it never had one.

        Raises:
            NotFoundError: the project has no such app.
        """
        async with self._database.connect() as connection:
            await require_app(connection, project_id, app_id)
            return await find_callback(connection, app_id)

    async def set(self, project_id: ProjectId, app_id: AppId, *, url: str, auth_key: str) -> RecordCallback:
        """Tell an app's later events to `url`, and what still waits at once; with an empty one, tell nobody.

        What waited when the callback was taken away is given up (DEAD), and can be replayed to another one.

        Raises:
            NotFoundError: the project has no such app.
            InvalidValueError: the URL names an address that is not permitted.
            CallbackUnavailableError: the URL was probed and did not answer 2xx.
        """
        await self.show(project_id, app_id)
        await self._check(url, auth_key)
        values = {"url": url, "auth_key": auth_key, "updated_at": func.now(), "retired": False}
        statement = insert(table).values(app_id=app_id, **values)
        statement = statement.on_conflict_do_update(index_elements=["app_id"], set_=values)
        async with self._database.begin() as connection:
            await require_app(connection, project_id, app_id, hold=True)
            await connection.execute(statement)
            if url:
                await outbox.bring_forward(connection, app_id)
            else:
                await outbox.bury(connection, app_id, "the app's callback was taken away")
            stored = await find_callback(connection, app_id)
        if stored is None:
            raise NotFoundError(f"app {app_id} does not exist")
        return stored

    async def pause(self, project_id: ProjectId | None, app_id: AppId, *, paused: bool) -> RecordCallback:
        """Keep an app's events and send none, or send them again, with 24 hours' patience anew.

        Raises:
            NotFoundError: the project (any project if None) has no such app, or the app no callback.
        """
        async with self._database.begin() as connection:
            await require_app(connection, project_id, app_id)
            change = update(table).where(table.c.app_id == app_id).values(paused=paused, updated_at=func.now())
            await connection.execute(change)
            if not paused:
                await outbox.bring_forward(connection, app_id)
            found = await find_callback(connection, app_id)
        if found is None:
            raise NotFoundError(f"app {app_id} has no callback; set one first")
        return found

    async def _check(self, url: str, auth_key: str) -> None:
        """Refuse what can be seen to fail: names are judged when they are called, addresses already now."""
        try:
            self._guard.check_host(urlsplit(url).hostname or "")
        except AddressRefusedError as error:
            raise InvalidValueError(f"url: {error}") from error
        if url and self._probe is not None:
            try:
                await self._probe(url, auth_key)
            except DestinationError as error:
                raise CallbackUnavailableError(str(error)) from error


async def require_app(
    connection: AsyncConnection, project_id: ProjectId | None, app_id: AppId, *, hold: bool = False
) -> None:
    """Return if the project, or any project if None, has this app; `hold` keeps it from being deleted meanwhile.

    Raises:
        NotFoundError: it has not.
    """
    query = select(schema.apps.c.project_id).where(schema.apps.c.app_id == app_id)
    owner = await connection.scalar(query.with_for_update(read=True, key_share=True) if hold else query)
    if owner is None or (project_id is not None and owner != project_id):
        raise NotFoundError(f"app {app_id} does not exist")


async def find_callback(connection: AsyncConnection, app_id: AppId) -> RecordCallback | None:
    """Return an app's callback; None if it never had one."""
    return (await find_callbacks(connection, [app_id])).get(app_id)


async def find_callbacks(connection: AsyncConnection, app_ids: Sequence[AppId]) -> dict[AppId, RecordCallback]:
    """Return the callbacks of some apps; one that never had a callback is left out."""
    wanted = select(table).where(table.c.app_id.in_(app_ids), table.c.retired.is_(False))
    rows = await connection.execute(wanted)
    return {AppId(row.app_id): RecordCallback(row.url, row.auth_key, row.updated_at, row.paused) for row in rows}
