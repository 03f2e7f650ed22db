"""A store that fails as told: it stands before a real S3 server, passes everything on, and refuses in several ways."""

import contextlib
import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from support.s3 import S3Server

REFUSALS = {
    "unavailable": (503, "SlowDown"),
    "full": (507, "InsufficientStorage"),
    "denied": (403, "AccessDenied"),
}
HANGING_S = 60.0


class FaultyStore:
    """How it fails right now, and what it was asked."""

    def __init__(self, behind: S3Server) -> None:
        self.behind = behind
        self.server = behind
        self.fault = ""
        """A key of REFUSALS, `hanging`, or empty for none."""
        self.fails: Callable[[str, str], bool] = lambda _method, _path: True
        """Which requests, by method and path, the fault befalls."""
        self.refused: Counter[str] = Counter()
        self.now = self.most = 0
        """Uploads in progress, and the most there ever were."""
        self.lock = threading.Lock()
        self.ended = threading.Event()


class _Proxy(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


@contextlib.contextmanager
def faulty_store(behind: S3Server) -> Iterator[FaultyStore]:
    """Run one in front of `behind`; `server` is how to reach it."""
    store = FaultyStore(behind)
    proxy = _Proxy(("127.0.0.1", 0), _handler(store))
    store.server = behind.at(f"http://127.0.0.1:{proxy.server_port}")
    thread = threading.Thread(target=proxy.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield store
    finally:
        store.ended.set()
        proxy.shutdown()
        thread.join()
        proxy.server_close()


def _handler(store: FaultyStore) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fault = store.fault
            if fault and store.fails(self.command, self.path):
                store.refused[fault] += 1
                self.refuse(fault)
                return
            with counted(store, self.command):
                self.pass_on(body)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any  # noqa: N815 - the library's names

        def refuse(self, fault: str) -> None:
            if fault == "hanging":
                deadline = time.monotonic() + HANGING_S
                while store.fault == fault and time.monotonic() < deadline and not store.ended.wait(0.05):
                    pass
                self.close_connection = True
                return
            status, code = REFUSALS[fault]
            self.answer(status, {}, f"<Error><Code>{code}</Code></Error>".encode())

        def pass_on(self, body: bytes) -> None:
            upstream = http.client.HTTPConnection(urlsplit(store.behind.url).netloc, timeout=30)
            upstream.request(self.command, self.path, body, dict(self.headers.items()))
            answer = upstream.getresponse()
            headers = {name: value for name, value in answer.getheaders() if name.lower() not in HOP}
            self.answer(answer.status, headers, answer.read(), length=answer.getheader("Content-Length"))
            upstream.close()

        def answer(self, status: int, headers: dict[str, str], body: bytes, *, length: str | None = None) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", (length or "0") if self.command == "HEAD" else str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(b"" if self.command == "HEAD" else body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


HOP = frozenset({"connection", "content-length", "transfer-encoding", "date", "server"})


@contextlib.contextmanager
def counted(store: FaultyStore, method: str) -> Iterator[None]:
    """Count an upload while it goes on."""
    amount = int(method in {"PUT", "POST"})
    with store.lock:
        store.now += amount
        store.most = max(store.most, store.now)
    try:
        yield
    finally:
        with store.lock:
            store.now -= amount
