"""Serving an ASGI application on a socket we opened ourselves, inside a loop whose signals are ours."""

import contextlib
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn

from soloist.service.errors import StartError


class Server(uvicorn.Server):
    """uvicorn without its signal handlers; `should_exit = True` ends `serve`."""

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
