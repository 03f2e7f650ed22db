"""A real `soloist serve --dev` of a test's own: free ports, private folders, stopped as an operator would (Ctrl-C).

`with private_server() as server:` gives its address, folders, log and database; nothing of it is left afterwards.
"""

import contextlib
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from soloist.service.settings import Settings
from support.database import private_folder

START_S = 60.0
"""A first start makes a database: 3 s on an idle machine."""
STOP_S = 30.0


@dataclass(frozen=True)
class Server:
    """A running instance."""

    url: str
    data: Path
    runtime: Path
    log: Path
    process: "subprocess.Popen[bytes]"

    @property
    def bucket(self) -> Path:
        """The folder that plays the dev bucket."""
        return self.data / "storage" / "recordings"

    @property
    def sockets(self) -> Path:
        """The instance's own folder below the runtime folder it was given."""
        return Settings(data=self.data, runtime=self.runtime).runtime_dir

    @property
    def database_url(self) -> str:
        """The instance's database, for arranging what no operation arranges yet."""
        return f"postgresql://soloist@/soloist?host={self.sockets / 'pg'}"

    def whip_url(self, room: str, user: str, app: str = "demo") -> str:
        """Return where a participant publishes."""
        return f"{self.url}/whip/{app}/{room}/{user}"


@contextlib.contextmanager
def private_server(*options: str, environment: dict[str, str] | None = None) -> Iterator[Server]:
    """Run `soloist serve --dev` with more `options` and variables; yield it once it is healthy."""
    with private_folder() as folder:
        server = _spawn(folder, options, environment or {})
        try:
            _await_health(server)
            yield server
        finally:
            _stop(server)


def _spawn(folder: Path, options: tuple[str, ...], environment: dict[str, str]) -> Server:
    port = free_port()
    data, runtime, log = folder / "data", folder / "run", folder / "serve.log"
    command = [sys.executable, "-m", "soloist", "serve", "--dev", "--port", str(port), "--data", str(data), *options]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SOLOIST_")}
    variables = {"SOLOIST_RUNTIME": str(runtime), "SOLOIST_MEDIA_PORT": "0", **environment}
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env={**inherited, **variables}
        )
    return Server(f"http://127.0.0.1:{port}", data, runtime, log, process)


def _await_health(server: Server) -> None:
    deadline = time.monotonic() + START_S
    while not _is_healthy(server):
        if server.process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"the server did not start:\n{_tail(server)}")
        time.sleep(0.05)


def _is_healthy(server: Server, since: float = -math.inf) -> bool:
    """Return whether every part answered when it was last asked, and that was after `since` (monotonic seconds)."""
    try:
        with urllib.request.urlopen(f"{server.url}/soloist/v1/health", timeout=5) as answer:  # noqa: S310 - our own
            health = json.load(answer)
            return health["status"] == "ok" and time.monotonic() - health["age_s"] > since
    except OSError:
        return False


def _stop(server: Server) -> None:
    if server.process.poll() is None:
        server.process.send_signal(signal.SIGINT)
    try:
        server.process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        server.process.kill()
        server.process.wait()
        raise AssertionError(f"the server did not stop on Ctrl-C:\n{_tail(server)}") from None


def _tail(server: Server) -> str:
    return "\n".join(server.log.read_text(errors="replace").splitlines()[-40:])


def free_port() -> int:
    """Return a TCP port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
