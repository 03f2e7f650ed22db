"""Serving an ASGI application on a socket we opened ourselves, inside a loop whose signals are ours.

A connection that does not bring a request's whole head in time is closed, so that strangers cannot hold connections by
sending a byte now and then; bodies have their own limit, where they are read.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from soloist.service.errors import StartError

HEAD_TIMEOUT_S = 10.0
"""From the connection, or from the first byte of a further request, to the end of its header fields."""

TICK_S = 1.0
"""Between two renewals of the Date header."""


class ImpatientProtocol(HttpToolsProtocol):
    """uvicorn's HTTP with a time limit on request heads."""

    head_timeout_s = HEAD_TIMEOUT_S
    _head_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._await_head()

    def on_message_begin(self) -> None:
        """Wait for the rest of a request's head."""
        super().on_message_begin()
        if self._head_due is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        """Stop waiting: the head is here."""
        self._forget_head()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting: nobody is there."""
        self._forget_head()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._head_due = self.loop.call_later(self.head_timeout_s, self.transport.close)

    def _forget_head(self) -> None:
        if self._head_due is not None:
            self._head_due.cancel()
            self._head_due = None


class Server(uvicorn.Server):
    """uvicorn without its signal handlers and without its ten looks a second; `should_exit = True` ends `serve`."""

    def __init__(self, config: uvicorn.Config) -> None:
        self._exit = asyncio.Event()
        super().__init__(config)

    @property
    def should_exit(self) -> bool:
        """Whether `serve` is to end."""
        return self._exit.is_set()

    @should_exit.setter
    def should_exit(self, value: bool) -> None:
        if value:
            self._exit.set()
        else:
            self._exit.clear()

    async def main_loop(self) -> None:
        """Renew the Date header once a second, and return as soon as `should_exit` is set."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._exit.wait(), TICK_S)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process."""
        yield


def http_server(app: Callable[..., Any], *, tls_cert: Path | None = None, tls_key: Path | None = None) -> Server:
    """Return a server for `app`: no access log, no proxy headers, two seconds for requests under way at the end.

    Raises:
        StartError: the certificate and its key cannot be used.
    """
    config = uvicorn.Config(
        app,
        http=ImpatientProtocol,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=2,
        lifespan="auto",
        ssl_certfile=tls_cert,
        ssl_keyfile=tls_key,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise StartError(f"The TLS certificate {tls_cert} with key {tls_key} cannot be used: {error}.") from error
    return Server(config)
