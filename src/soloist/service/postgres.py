"""A private PostgreSQL: made once, started as a child, reached by a unix socket only.

States of its data folder, in order: absent, drafted (`postgres.new`, removed at the next try), ready. A server that an
earlier run left behind is stopped before ours starts. Nothing here watches it; the supervisor does.
"""

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

from soloist.service.binaries import find_binaries, launcher, major_of, postgres_account
from soloist.service.errors import StartError
from soloist.service.parent import die_with_parent

DATABASE = "soloist"
ROLE = "soloist"

SERVER_OPTIONS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "jit": "off",
    "log_checkpoints": "off",
    "log_error_verbosity": "terse",
    "cluster_name": "soloist",
}
"""No TCP port, no replication; small, since a thousand jobs are a few megabytes. Terse errors leave out the row that
was refused, which may hold a secret."""

ORPHAN_STOP_S = 20.0
"""How long a server of an earlier run may take for an orderly stop before it is made to."""


class Postgres:
    """The private server of one data folder."""

    def __init__(self, data: Path, runtime: Path) -> None:
        self._account = postgres_account()
        self._cluster = data / "postgres"
        self._sockets = runtime / "pg"
        self._log = data / "postgres.log"
        self._binaries = find_binaries()

    @property
    def url(self) -> str:
        """Where our database is, for libpq and SQLAlchemy alike."""
        return f"postgresql://{ROLE}@/{DATABASE}?host={self._sockets}"

    @property
    def is_answering(self) -> bool:
        """Whether a server accepts connections on our socket right now."""
        try:
            psycopg.connect(self.url.replace(f"/{DATABASE}?", "/postgres?"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def prepare(self) -> None:
        """Make the data folder if there is none, and stop what an earlier run left running.

        Raises:
            StartError: the folder is of another major version, or cannot be made.
        """
        self._own(self._sockets)
        if self._cluster.exists():
            self._check_major()
            self._stop_orphan()
        else:
            self._initialise()

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the server as our child; it stops in order when we die. Call it in the main thread.

        Its session is its own: a Ctrl-C meant for us must not take the database away from draining recorders.
        """
        options = [f"--{name}={value}" for name, value in SERVER_OPTIONS.items()]
        with self._log.open("wb") as log:
            return subprocess.Popen(  # noqa: S603 - a program we located
                [*self._launcher, self._binaries / "postgres", "-D", self._cluster, "-k", self._sockets, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, and the caller is single-threaded
                cwd="/",
            )

    def create_database(self) -> None:
        """Create our database if it is not there; the server must be answering."""
        with psycopg.connect(self.url.replace(f"/{DATABASE}?", "/postgres?"), autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                connection.execute(f"CREATE DATABASE {DATABASE}")

    def why_not(self) -> str:
        """Return the last lines the server logged, for an error message."""
        with contextlib.suppress(OSError):
            return "\n".join(self._log.read_text(errors="replace").splitlines()[-5:])
        return "it logged nothing"

    def _initialise(self) -> None:
        draft = self._cluster.with_name("postgres.new")
        shutil.rmtree(draft, ignore_errors=True)
        self._own(draft)
        options = ["-U", ROLE, "--auth=trust", "--encoding=UTF8", "--no-locale"]
        done = subprocess.run(  # noqa: S603 - a program we located
            [*self._launcher, self._binaries / "initdb", "-D", draft, *options],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            start_new_session=True,
        )
        if done.returncode:
            raise StartError(f"PostgreSQL could not make its data folder {draft}:\n{done.stderr.strip()}")
        draft.rename(self._cluster)

    def _check_major(self) -> None:
        made_by = int((self._cluster / "PG_VERSION").read_text(encoding="ascii"))
        ours = major_of(self._binaries)
        if made_by != ours:
            raise StartError(
                f"{self._cluster} was made by PostgreSQL {made_by}, but {self._binaries} is PostgreSQL {ours}. "
                f"Install PostgreSQL {made_by}, or dump there and restore into an empty folder given by --data."
            )

    def _stop_orphan(self) -> None:
        pid = _postmaster_pid(self._cluster)
        if pid is None:
            return
        os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + ORPHAN_STOP_S
        while _postmaster_pid(self._cluster) is not None:
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGQUIT)
                deadline += ORPHAN_STOP_S
            time.sleep(0.05)

    @functools.cached_property
    def _launcher(self) -> list[str]:
        return launcher(self._account, self._cluster, self._sockets, self._binaries / "postgres")

    def _own(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._account:
            os.chown(folder, self._account.uid, self._account.gid)


@contextlib.contextmanager
def running(postgres: Postgres, *, patience_s: float = 30.0) -> Iterator[str]:
    """Run a private server for the length of a `with`; yield its URL. For commands and tests, not for `serve`.

    Raises:
        StartError: it did not answer in time.
    """
    postgres.prepare()
    process = postgres.spawn()
    try:
        deadline = time.monotonic() + patience_s
        while not postgres.is_answering:
            if process.poll() is not None or time.monotonic() > deadline:
                raise StartError(f"PostgreSQL did not start:\n{postgres.why_not()}")
            time.sleep(0.05)
        postgres.create_database()
        yield postgres.url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=patience_s)


def _postmaster_pid(cluster: Path) -> int | None:
    """Return the process that serves this folder, if one does; a number that another process got since is not it."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        pid = int((cluster / "postmaster.pid").read_text(encoding="ascii").splitlines()[0])
        if Path(f"/proc/{pid}/cwd").resolve() == cluster.resolve():
            return pid
    return None
