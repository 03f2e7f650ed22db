"""A publisher's vigil over its session: told of its end once, silent about servers that answer in their own way."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from soloist.publisher.vigil import Vigil


@contextmanager
def answering(*statuses: int) -> Iterator[tuple[str, threading.Event]]:
    """Serve these answers one after another, the last for ever; yield a URL and what is set once all were given."""
    left, all_given = list(statuses), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(left[0] if len(left) == 1 else left.pop(0))
            self.end_headers()
            if len(left) == 1:
                all_given.set()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/whip/demo/r/u/id", all_given
        server.shutdown()


@pytest.mark.parametrize("gone", [404, 410])
def test_a_session_that_was_there_and_is_there_no_more_is_told(gone: int) -> None:
    told = threading.Event()
    with answering(204, 503, gone) as (url, _):
        vigil = Vigil(url, None, told.set, interval_s=0.01)

        assert told.wait(5)
        vigil.end()


@pytest.mark.parametrize("statuses", [(404, 404, 404), (405, 404), (204, 503, 503)])
def test_a_server_that_never_knew_get_or_is_only_away_ends_nothing(statuses: tuple[int, ...]) -> None:
    told = threading.Event()
    with answering(*statuses) as (url, all_given):
        vigil = Vigil(url, None, told.set, interval_s=0.01)

        assert all_given.wait(5)
        assert not told.wait(0.2)
        vigil.end()
