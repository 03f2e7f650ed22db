"""Asks now and then whether a session is still there: a recorder that died ends it without a word.

FFmpeg's muxer goes on sending into the void for half a minute. A WHIP session answers GET with 2xx while it lives, with
404 once it is gone (RFC 9725 §4.1); servers that answer otherwise from the start are left alone.
"""

import threading
from collections.abc import Callable
from http import HTTPStatus

from soloist.publisher.inquiry import status_of

INTERVAL_S = 2.0
GONE = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)


class Vigil:
    """Calls `on_gone` once, from a thread of its own, when a session that was there is there no more."""

    def __init__(
        self, url: str, token: str | None, on_gone: Callable[[], object], *, interval_s: float = INTERVAL_S
    ) -> None:
        """`url` is the session's; `on_gone` must not block."""
        self._url, self._token, self._on_gone, self._interval_s = url, token, on_gone, interval_s
        self._is_over = threading.Event()
        threading.Thread(target=self._keep, name="publish-vigil", daemon=True).start()

    def end(self) -> None:
        """Ask no more."""
        self._is_over.set()

    def _keep(self) -> None:
        has_been_there = False
        while not self._is_over.wait(self._interval_s):
            status = status_of(self._url, self._token)
            if status in GONE and has_been_there:
                self._on_gone()
                return
            has_been_there |= status is not None and 200 <= status < 300
