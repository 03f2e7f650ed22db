"""A real `soloist serve --dev` that can be killed part by part and brought back at the same place.

Unlike `server.py`, whose instance lives once, this one keeps its data, its HTTP port and its media port over restarts.
Says what the database holds of a job, and which process plays which part.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psycopg

from soloist.clock import utc_now
from soloist.jobs.accounts import Accounts
from soloist.jobs.database import open_database
from soloist.model.ids import AppId, RuleId
from soloist.model.rule import Mp4Config, RecordFormat, RecordRule, StorageAddress
from support.database import private_folder
from support.server import START_S, Server, _is_healthy, free_port

PARTS = {
    "recorder": "soloist recorder",
    "recorder 0": "soloist recorder --slot 0",
    "api": "soloist api",
    "postgres": "bin/postgres",
}
"""What the command line of each part contains."""


@dataclass
class Instance:
    """A private service. `start` it, harm it, `stop` it."""

    folder: Path
    options: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    media_port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None
    database_url: str = ""
    """Where its database is, if not below its own folder."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def runtime(self) -> Path:
        return self.folder / "run"

    @property
    def bucket(self) -> Path:
        return self.data / "storage" / "recordings"

    @property
    def spool(self) -> Path:
        return self.data / "spool"

    @property
    def log(self) -> Path:
        return self.folder / "serve.log"

    def whip_url(self, room: str, user: str) -> str:
        return f"{self.url}/whip/demo/{room}/{user}"

    def start(self) -> None:
        """Start it and return once it is healthy."""
        command = [sys.executable, "-m", "soloist", "serve", "--dev", "--port", str(self.port)]
        command += ["--media-port", str(self.media_port), "--data", str(self.data), *self.options]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SOLOIST_")}
        variables = inherited | {"SOLOIST_RUNTIME": str(self.runtime)} | self.environment
        with self.log.open("ab") as stream:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=variables
            )
        self.wait_healthy()

    def wait_healthy(self, within_s: float = 2 * START_S) -> None:
        """Return once every part has answered that was asked from now on."""
        began = time.monotonic()
        as_server = Server(self.url, self.data, self.runtime, self.log, self.process)
        until(lambda: _is_healthy(as_server, began) or self._has_ended(), within_s, "the instance does not come up")

    def _has_ended(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text(errors="replace")[-4000:]
        return False

    def stop(self, how: signal.Signals = signal.SIGINT, within_s: float = 30.0) -> float:
        """Ask it to stop; return how many seconds that took."""
        assert self.process is not None
        began = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"it did not stop: {self.log.read_text(errors='replace')[-4000:]}") from None
        return time.monotonic() - began

    def kill(self) -> None:
        """Kill the supervisor as a crash would, and wait until everything it had started is gone."""
        assert self.process is not None
        children = descendants(self.process.pid)
        self.process.kill()
        self.process.wait()
        until(lambda: not any(is_running(pid) for pid in children), 30, "children outlive their supervisor")

    def pid(self, part: str) -> int | None:
        """Return the process that plays a part at this moment."""
        assert self.process is not None
        for pid in children_of(self.process.pid):
            with contextlib.suppress(OSError):
                if PARTS[part] in Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode():
                    return pid
        return None

    def signal(self, part: str, which: signal.Signals) -> int:
        """Send a signal to a part; return its process id."""
        pid = until(lambda: self.pid(part), 20, f"there is no {part}")
        os.kill(pid, which)
        return int(pid)

    def ask_recorder(self, path: str) -> dict[str, Any]:
        """Return what recorder 0 answers on its own socket: `/health`, `/streams`."""
        connection = HTTPConnection("recorder")
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as connection.sock:
            connection.sock.connect(str(next(self.runtime.rglob("recorder-0.sock"))))
            connection.request("GET", path)
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
        return answer

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Return rows of the instance's database."""
        with psycopg.connect(self._database_url, connect_timeout=2) as connection:
            return connection.execute(statement, values).fetchall()

    @property
    def _sockets(self) -> Path:
        return Server(self.url, self.data, self.runtime, self.log, self.process).sockets

    @property
    def _database_url(self) -> str:
        return self.database_url or f"postgresql://soloist@/soloist?host={self._sockets / 'pg'}"

    def job(self, job_id: str) -> tuple[str, int, str | None, str]:
        """Return a job's state, epoch, stop reason and description."""
        (row,) = self.query("SELECT state, epoch, stop_reason, description FROM jobs WHERE job_id = %s", job_id)
        return row

    def events(self, job_id: str) -> list[str]:
        """Return the types of a job's events, in order; their numbers must count from one."""
        rows = self.query("SELECT seq, type FROM job_events WHERE job_id = %s ORDER BY seq", job_id)
        assert [seq for seq, _ in rows] == list(range(1, len(rows) + 1))
        return [kind for _, kind in rows]

    def cut_every(self, seconds: int) -> None:
        """Give the demo rule a cycle as short as a test likes, for jobs that start from now on."""
        address = StorageAddress("cn-north-4", "dev", "recordings")
        rule = RecordRule(RuleId("demo"), AppId("demo"), address, (RecordFormat.MP4,), Mp4Config(seconds))

        async def save() -> None:
            database = open_database(self._database_url)
            await Accounts(database).save_rule(rule, utc_now())
            await database.dispose()

        asyncio.run(save())


@contextlib.contextmanager
def instance(*options: str, environment: dict[str, str] | None = None) -> Iterator[Instance]:
    """Yield a running instance; stop it afterwards if it still runs."""
    with private_folder() as folder:
        running = Instance(folder, options, environment or {})
        try:
            running.start()
            yield running
        finally:
            if running.process is not None and running.process.poll() is None:
                running.stop()


def until(condition: Callable[[], Any], within_s: float, complaint: str) -> Any:
    """Wait until `condition()` is true and return what it was; a database that is away makes it false."""
    deadline = time.monotonic() + within_s
    while True:
        with contextlib.suppress(psycopg.OperationalError):
            if found := condition():
                return found
        assert time.monotonic() < deadline, complaint
        time.sleep(0.03)


def parents() -> dict[int, int]:
    """Return every process and its parent."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                found[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    return found


def children_of(pid: int) -> list[int]:
    """Return the processes that `pid` started."""
    return [child for child, parent in parents().items() if parent == pid]


def descendants(pid: int) -> set[int]:
    """Return the processes that `pid` started, and theirs."""
    tree = parents()
    found = {pid}
    while more := {child for child, parent in tree.items() if parent in found} - found:
        found |= more
    return found - {pid}


def is_running(pid: int) -> bool:
    """Return whether a process exists and is no mere exit status."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
