"""`soloist serve`: starts PostgreSQL, recorders and the api, watches them, stops them in the order that loses nothing.

Start: folders, lock, database, migrations, `prepare` (the caller's), recorders and api. Stop: recorders drain, then the
api, then PostgreSQL; then sockets go and the lock with them. It keeps no state and opens no connection while running.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from soloist.service.child import Child, ChildProcess, Manner, Report, spawn_soloist
from soloist.service.errors import StartError
from soloist.service.folders import hold_data, prepare_folders, remove_runtime
from soloist.service.postgres import Postgres
from soloist.service.privileges import child_launcher, leave_no_dumps
from soloist.service.settings import Settings, node_id_of, object_key_of

log = structlog.get_logger("soloist.supervisor")

START_S_MAX = 60.0
"""A child that is not ready by then will not be; PostgreSQL may have to replay a log."""

Prepare = Callable[[str, str], Awaitable[None]]
"""Takes the database's URL and the node id; brings the database to the state the children expect."""


class Supervisor:
    """One run of `soloist serve`."""

    def __init__(self, settings: Settings, prepare: Prepare) -> None:
        self._settings = settings
        self._prepare = prepare
        self._postgres: Child | None = None
        self._api: Child | None = None
        self._recorders: list[Child] = []
        self._launcher: list[str] = []
        self._stop = asyncio.Event()
        self._watches: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Serve until SIGINT or SIGTERM.

        Raises:
            StartError: something keeps it from starting; what had been started is stopped again.
        """
        loop = asyncio.get_running_loop()
        for which in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(which, self._on_signal)
        leave_no_dumps()
        prepare_folders(self._settings)
        with hold_data(self._settings.data):
            try:
                if await self._start():
                    await self._stop.wait()
            finally:
                await self._stop_all()

    def _on_signal(self) -> None:
        """The first asks, the second insists."""
        if self._stop.is_set():
            for child in (*self._recorders, self._api, self._postgres):
                if child is not None:
                    child.kill()
        self._stop.set()

    async def _start(self) -> bool:
        """Start everything; False if a signal came meanwhile."""
        starting = asyncio.ensure_future(self._start_all())
        stopping = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                return False
            print(ready_line(self._settings, *starting.result()), flush=True)
            return True
        finally:
            for task in (starting, stopping):
                task.cancel()
            await asyncio.gather(starting, stopping, return_exceptions=True)

    async def _start_all(self) -> tuple[Report, list[Report]]:
        settings = self._settings
        node_id = node_id_of(settings.data)
        url = settings.database_url.get_secret_value() if settings.database_url else await self._start_postgres()
        await self._prepare(url, node_id)
        object_key_of(settings.data)  # Made here, so that the children find the same one.
        self._launcher = child_launcher(settings)
        environment = settings.environment() | {"SOLOIST_DATABASE_URL": url, "SOLOIST_NODE_ID": node_id}
        environment |= {"SOLOIST_RUNTIME": str(settings.runtime_dir.parent)}  # Its default is another for another user.
        self._recorders = [
            self._child(f"recorder-{index}", ["recorder", "--slot", str(index)], environment, settings.drain_s + 3)
            for index in range(settings.recorders)
        ]
        self._api = self._child("api", ["api"], environment, 5.0)
        reports = await asyncio.gather(*(self._started(child) for child in (self._api, *self._recorders)))
        return reports[0], reports[1:]

    async def _start_postgres(self) -> str:
        postgres = Postgres(self._settings.data, self._settings.runtime_dir)
        postgres.prepare()
        manner = Manner(signal.SIGINT, 20.0, signal.SIGQUIT)
        self._postgres = Child("postgres", lambda: PostgresStarted(postgres.spawn(), postgres), manner)
        await self._started(self._postgres)
        postgres.create_database()
        return postgres.url

    def _child(self, name: str, arguments: list[str], environment: dict[str, str], patience_s: float) -> Child:
        return Child(name, lambda: spawn_soloist(arguments, environment, self._launcher), Manner(patience_s=patience_s))

    async def _started(self, child: Child) -> Report:
        try:
            report = await asyncio.wait_for(child.start(), START_S_MAX)
        except TimeoutError:
            report = None
        if report is None:
            raise StartError(f"{child.name} did not start; its log lines above say why.")
        self._watches.append(asyncio.create_task(child.watch(), name=f"watch {child.name}"))
        return report

    async def _stop_all(self) -> None:
        log.info("stopping")
        await asyncio.gather(*(child.stop() for child in self._recorders))
        for child in (self._api, self._postgres):
            if child is not None:
                await child.stop()
        await asyncio.gather(*self._watches, return_exceptions=True)
        remove_runtime(self._settings.runtime_dir)
        log.info("stopped")


@dataclass(frozen=True, slots=True)
class PostgresStarted:
    """PostgreSQL just started; it reports nothing and is ready when it answers."""

    process: ChildProcess
    postgres: Postgres

    async def ready(self) -> Report | None:
        """Return once connections are accepted; None if it ended first."""
        while self.process.poll() is None:
            if await asyncio.to_thread(lambda: self.postgres.is_answering):
                return {}
            await asyncio.sleep(0.05)
        log.error("postgres_failed", output=self.postgres.why_not())
        return None


def ready_line(settings: Settings, api: Report, recorders: list[Report]) -> str:
    """Return the one line that says where everything is."""
    media = ", ".join(f"udp {report['media']}" for report in recorders)
    line = f"Soloist is ready: API {api['http']}, media {media}, data {settings.data}"
    if settings.dev:
        line += ", project dev, AK devkey, SK devsecret, token devtoken, app demo, rule demo"
    return line
