"""A real PostgreSQL for tests: one server per session on a unix socket, one fresh database per test.

Migrations run once, into a template that each test's database is copied from (about 50 ms).
"""

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
from sqlalchemy.ext.asyncio import AsyncEngine

from soloist.jobs.database import open_database
from soloist.jobs.migrate import migrate
from soloist.service.postgres import Postgres, running

TEMPLATE = "template_soloist"


@contextlib.contextmanager
def private_folder(prefix: str = "soloist-test-") -> Iterator[Path]:
    """Yield a short folder that PostgreSQL's user may pass through; remove it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def database_server() -> Iterator[str]:
    """Run a server with a migrated template; yield the URL of its administrative database."""
    with private_folder() as folder, running(Postgres(folder, folder)) as url:
        admin = url.replace("/soloist?", "/postgres?")
        _execute(admin, f"CREATE DATABASE {TEMPLATE}")
        migrate(url.replace("/soloist?", f"/{TEMPLATE}?"))
        yield admin


@contextlib.contextmanager
def fresh_database(admin: str) -> Iterator[str]:
    """Yield the URL of a new migrated database; drop it afterwards, whoever is still connected."""
    name = f"test_{os.urandom(4).hex()}"
    _execute(admin, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    try:
        yield admin.replace("/postgres?", f"/{name}?")
    finally:
        _execute(admin, f"DROP DATABASE {name} WITH (FORCE)")


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[AsyncEngine]:
    """Yield an engine on `url` and dispose of it."""
    engine = open_database(url)
    try:
        yield engine
    finally:
        await engine.dispose()


def _execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


class RestartableServer:
    """A server of a test's own that can be taken away and brought back."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._process = None
        postgres.prepare()
        self.start()
        postgres.create_database()
        migrate(self.url)

    @property
    def url(self) -> str:
        return self._postgres.url

    def start(self) -> None:
        """Bring it up and wait until it answers."""
        self._process = self._postgres.spawn()
        deadline = time.monotonic() + 30
        while not self._postgres.is_answering:
            assert time.monotonic() < deadline, self._postgres.why_not()
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Take it away: SIGINT in order, SIGKILL as a crash would."""
        self._process.send_signal(how)
        self._process.wait(30)


@contextlib.contextmanager
def restartable_server() -> Iterator[RestartableServer]:
    """Yield a migrated server that may be stopped and started."""
    with private_folder() as folder:
        server = RestartableServer(Postgres(folder, folder))
        try:
            yield server
        finally:
            server.stop()
