"""Serving an ASGI application on a socket we opened ourselves, inside a loop whose signals are ours.

What a connection may cost before anybody has asked who is there: how many there are, how long a request's head may take
and how large it may be, how many requests may wait on one, and how long one that reads nothing is kept. Bodies have
their own limits, where they are read. Every refusal is counted by its reason.
"""

import asyncio
import contextlib
import functools
import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from soloist.service.connections import Connections, unbounded
from soloist.service.errors import StartError
from soloist.service.tls_door import TlsDoor

HEAD_TIMEOUT_S = 10.0
"""From the connection, or from the first byte of a further request, to the end of its header fields."""
HEAD_BYTES_MAX = 64 * 1024
"""Request line and header fields; also of what frames a chunked body's last pieces."""
PIPELINE_MAX = 16
"""Requests that may wait on one connection for the answer to an earlier one."""
PIECE_BYTES = 64 * 1024
FRAMING_SHARE = 8
"""Bytes of chunk sizes that may come for each byte of body: chunks of one byte have five."""
LINGER_S = 1.0
LINGER_BYTES_MAX = 1 << 20
"""How long and how much is still read, and thrown away, after a refusal that ends the connection."""
DROP = "soloist.drop"
"""The ASGI extension by which the application ends a connection at once."""
STUCK_S = 20.0
"""How long a connection may take none of what was written to it, or go on after its answer with a body nobody reads."""
STUCK_BYTES = 128 * 1024
"""What it must have taken in that time of the rest of an answer that is complete."""

BACKLOG = 512

TICK_S = 1.0
"""Between two renewals of the Date header and two looks at connections that are stuck."""


class ImpatientProtocol(HttpToolsProtocol):
    """uvicorn's HTTP with limits; see the module."""

    head_timeout_s = HEAD_TIMEOUT_S
    stuck_s = STUCK_S

    def __init__(self, *arguments: Any, connections: Connections, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._connections = connections
        self._source: str | None = None
        self._socket: socket.socket | None = None
        """Of a connection of TLS before its handshake is done."""
        self._head_due: asyncio.TimerHandle | None = None
        self._head_bytes: int | None = 0
        """Of the head that is coming; None while a body is."""
        self._framing_bytes = 0
        self._discarded: int | None = None
        """What came after a refusal; None while nothing is refused."""
        self._stuck_since: tuple[int, float] | None = None
        """How much is left to be written, and since when."""

    def enter(self, client: socket.socket, address: str) -> bool:
        """Take a place for a connection whose TLS handshake is to come; False if there is none."""
        self._socket = client
        self._source = self._connections.admit(self, address)
        return self._source is not None

    def give_up(self) -> None:
        """Give the place back: the handshake came to nothing."""
        if self._source is not None and self.transport is None:
            self._connections.refusals["tls_handshake"] += 1
            self._connections.leave(self, self._source)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request, if there is room for another connection."""
        super().connection_made(transport)
        if self.client and self._source is None:
            self._source = self._connections.admit(self, self.client[0])
            if self._source is None:
                self.transport.write(TOO_MANY)
                self.transport.close()
                return
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Feed the parser piece by piece, so that it never holds more of a head than one may have."""
        if self._discarded is not None:
            self._discarded += len(data)
            if self._discarded > LINGER_BYTES_MAX:
                self.drop()
            return
        while data and not self.transport.is_closing():
            room = PIECE_BYTES if self._head_bytes is None else HEAD_BYTES_MAX - self._head_bytes
            if room <= 0:
                self._refuse("long_head", 431, f"the request's head has more than {HEAD_BYTES_MAX} bytes")
                return
            piece, data = data[:room], data[room:]
            if self._head_bytes is None:
                self._framing_bytes += len(piece)
            else:
                self._head_bytes += len(piece)
            super().data_received(piece)
            if self._framing_bytes > HEAD_BYTES_MAX or len(self.pipeline) > PIPELINE_MAX:
                self._connections.refusals["bad_request"] += 1
                self.drop()

    def on_message_begin(self) -> None:
        """Wait for the rest of a request's head."""
        super().on_message_begin()
        self.scope["extensions"] = {DROP: self.drop}  # type: ignore[dict-item]  # one of ours
        if self._head_due is None:
            self._await_head()

    def on_url(self, url: bytes) -> None:
        """Take the request's target; a fragment is none of it, and a proxy may read it otherwise than we do."""
        super().on_url(url)
        if b"#" in url:
            raise ValueError("a request target has no fragment")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of the head; those that trail a body would change what has been checked."""
        if self._head_bytes is not None:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stop waiting: the head is here."""
        self._forget_head()
        self._head_bytes, self._framing_bytes = None, 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take some of a body, which pays for what frames it."""
        self._framing_bytes = max(0, self._framing_bytes - (1 + FRAMING_SHARE) * len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Begin to count the next head, and to wait for it if this request was answered before its body was there."""
        self._head_bytes = 0
        if self.cycle.response_complete:
            self._await_head()
        elif self._source is not None:
            self._connections.works(self, self._source)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request, unless it is here already."""
        super().on_response_complete()
        if self._source is not None and not self.pipeline and (self.cycle is None or self.cycle.response_complete):
            self._connections.waits(self, self._source)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting: nobody is there."""
        self._forget_head()
        if self._source is not None:
            self._connections.leave(self, self._source)
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP."""
        self._connections.refusals["bad_request"] += 1
        super().send_400_response(msg)

    def drop(self) -> None:
        """End the connection at once; what was not written yet is not written."""
        if self.transport is not None:
            self.transport.abort()
        elif self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def look(self, now: float) -> None:
        """Drop the connection if what was written to it, or what it still sends, has led nowhere for too long."""
        unwritten = self.transport.get_write_buffer_size()
        is_answered = self.cycle is not None and self.cycle.response_complete and self._head_bytes is None
        if not unwritten and not is_answered:
            self._stuck_since = None
        elif self._stuck_since is None or self._has_moved(unwritten, self._stuck_since[0], now - self._stuck_since[1]):
            self._stuck_since = (unwritten, now)
        elif now - self._stuck_since[1] >= self.stuck_s:
            self._connections.refusals["stuck"] += 1
            self.drop()

    def _has_moved(self, unwritten: int, before: int, seconds: float) -> bool:
        """Tell whether what is to be written has become less, and at the end of an answer by how much in its time."""
        if self.cycle is None or not self.cycle.response_complete:
            return unwritten < before
        return seconds >= self.stuck_s and before - unwritten >= min(before, STUCK_BYTES) > 0

    def _await_head(self) -> None:
        self._head_due = self.loop.call_later(self.head_timeout_s, self._end_slow_head)

    def _end_slow_head(self) -> None:
        self._connections.refusals["slow_head"] += bool(self._head_bytes)
        self.transport.close()

    def _forget_head(self) -> None:
        if self._head_due is not None:
            self._head_due.cancel()
            self._head_due = None

    def _refuse(self, reason: str, status: int, text: str) -> None:
        self._connections.refusals[reason] += 1
        if self.cycle is None or self.cycle.response_complete:
            self._answer_and_end(status, text)
        else:
            self.drop()

    def _answer_and_end(self, status: int, text: str) -> None:
        """Answer, and read on for a moment: closing at once would reset the connection and the answer with it."""
        self._forget_head()
        self.transport.write(_last_answer(status, text))
        if self.transport.can_write_eof():
            self._discarded = 0
            self.transport.write_eof()
            self.loop.call_later(LINGER_S, self.drop)
        else:
            self.transport.close()


def _last_answer(status: int, text: str, fields: bytes = b"") -> bytes:
    head = STATUS_LINE[status] + b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\n" + fields
    body = text.encode()
    return head + b"content-length: %d\r\n\r\n" % len(body) + body


TOO_MANY = _last_answer(503, "too many connections", b"retry-after: 1\r\n")


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

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then serve on `sockets`; with TLS, through a door that counts before it opens."""
        await super().startup(sockets=[])
        config = self.config

        def create_protocol() -> ImpatientProtocol:
            return config.http_protocol_class(  # type: ignore[call-arg,return-value]  # as uvicorn itself makes it
                config=config, server_state=self.server_state, app_state=self.lifespan.state
            )

        for listener in sockets or []:
            if config.ssl:
                door = TlsDoor(listener, config.ssl, create_protocol, handshake_s=HEAD_TIMEOUT_S)
                door.open(config.backlog)
                self.servers.append(door)  # type: ignore[arg-type]  # closed like one of asyncio's
            else:
                create = asyncio.get_running_loop().create_server
                self.servers.append(await create(create_protocol, sock=listener, backlog=config.backlog))

    async def main_loop(self) -> None:
        """Renew the Date header and look after connections once a second; return as soon as `should_exit` is set."""
        while not await self.on_tick(0):
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, ImpatientProtocol):
                    connection.look(now)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._exit.wait(), TICK_S)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process."""
        yield


def http_server(
    app: Callable[..., Any],
    *,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
    connections: Connections | None = None,
) -> Server:
    """Return a server for `app`: no access log, no proxy headers, two seconds for requests under way at the end.

    `connections` bounds those of TCP; those of a unix socket, which our own processes make, are not counted.

    Raises:
        StartError: the certificate and its key cannot be used.
    """
    # It warns of each request that is none, as often as strangers like; those are counted instead.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    protocol = functools.partial(ImpatientProtocol, connections=unbounded() if connections is None else connections)
    config = uvicorn.Config(
        app,
        http=protocol,  # type: ignore[arg-type]  # called, never asked for its class
        ws="none",
        backlog=BACKLOG,
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
