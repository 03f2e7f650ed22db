"""Serving an ASGI application on a socket we opened ourselves, inside a loop whose signals are ours."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn


class Server(uvicorn.Server):
    """uvicorn without its signal handlers; `should_exit = True` ends `serve`."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process."""
        yield


def http_server(app: Callable[..., Any]) -> Server:
    """Return a server for `app`: no access log, no proxy headers, two seconds for requests under way at the end."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=2,
        lifespan="auto",
    )
    return Server(config)
