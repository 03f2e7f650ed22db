"""A customer's real HTTP server for notices, in a thread of its own: keeps what it gets, answers as it is told to."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Received:
    """One request, as it came."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float
    """Monotonic seconds."""

    @property
    def fields(self) -> dict:
        return json.loads(self.body)

    @property
    def event_id(self) -> str:
        return self.headers["x-rtc-event-id"]

    @property
    def job_id(self) -> str:
        return self.event_id.rpartition("-")[0]

    @property
    def seq(self) -> int:
        return int(self.event_id.rpartition("-")[2])


Answer = Callable[[BaseHTTPRequestHandler, Received], None]


def answers(status: int, *, after_s: float = 0.0, **headers: str) -> Answer:
    """Return an answer of a status, after a while."""

    def answer(handler, _received):
        time.sleep(after_s)
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        body = b"" if status == 204 else b'{"status":1,"result":"success"}'
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def hangs_up(handler, _received) -> None:
    """Close the connection without a word."""
    handler.close_connection = True


@dataclass
class Receiver:
    """What a test sees of the server."""

    url: str
    received: list[Received] = field(default_factory=list)
    answer: Answer = field(default_factory=lambda: answers(200))
    """What every request is answered with; may be changed at any time."""

    def of(self, job) -> list[Received]:
        """Return what came of one job."""
        return [each for each in self.received if each.job_id == job.job_id]


@contextlib.contextmanager
def receiver(port: int = 0) -> Iterator[Receiver]:
    """Run a receiver on loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            received = Received(self.path, headers, body, time.monotonic())
            running.received.append(received)
            with contextlib.suppress(ConnectionError):
                running.answer(self, received)

        def log_message(self, *_):
            """Say nothing."""

    server = _Quiet(("127.0.0.1", port), Handler)
    running = Receiver(f"http://127.0.0.1:{server.server_port}/notices")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, _request, _address):
        """Say nothing: those who hang up are part of the tests."""
