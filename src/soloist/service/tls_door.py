"""Accepting connections of TLS: each is counted, by its address, before its handshake costs anything.

The event loop's own server would say who is there only after the handshake, so that connections which never begin one
would hold a descriptor and 50 kB for ten seconds each, in any number.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Protocol, cast

import structlog

log = structlog.get_logger("soloist.service")

ACCEPTED_AT_ONCE_MAX = 64
PAUSE_S = 1.0
"""Before it tries again where the system gives no descriptor."""


class Entrant(Protocol):
    """The protocol of one connection, which takes its place before it has a transport."""

    def enter(self, client: socket.socket, address: str) -> bool:
        """Take a place; False if there is none."""

    def give_up(self) -> None:
        """Give the place back: no connection came of it."""


class TlsDoor:
    """A listening socket of TLS; looks to uvicorn like one of asyncio's servers."""

    sockets: tuple[socket.socket, ...] = ()

    def __init__(
        self, listener: socket.socket, context: ssl.SSLContext, create: Callable[[], Entrant], *, handshake_s: float
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._context = context
        self._create = create
        self._handshake_s = handshake_s
        self._is_closed = False
        self._handshakes: set[asyncio.Task[None]] = set()

    def open(self, backlog: int) -> None:
        """Listen, and accept from now on."""
        self._listener.settimeout(0)
        self._listener.listen(backlog)
        self._resume()

    def close(self) -> None:
        """Accept no more."""
        if not self._is_closed:
            self._is_closed = True
            self._loop.remove_reader(self._listener)
            for handshake in self._handshakes:
                handshake.cancel()

    async def wait_closed(self) -> None:
        """Return when nobody is at the door any more."""
        await asyncio.gather(*self._handshakes, return_exceptions=True)

    def _resume(self) -> None:
        if not self._is_closed:
            self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE_MAX):
            try:
                client, address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.warning("connections_not_accepted", error=str(error), again_in_s=PAUSE_S)
                self._loop.remove_reader(self._listener)
                self._loop.call_later(PAUSE_S, self._resume)
                return
            self._let_in(client, address[0])

    def _let_in(self, client: socket.socket, address: str) -> None:
        client.settimeout(0)
        entrant = self._create()
        if not entrant.enter(client, address):
            client.close()
            return
        task = self._loop.create_task(self._shake_hands(client, entrant))
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    async def _shake_hands(self, client: socket.socket, entrant: Entrant) -> None:
        try:
            await self._loop.connect_accepted_socket(
                lambda: cast(asyncio.BaseProtocol, entrant),
                client,
                ssl=self._context,
                ssl_handshake_timeout=self._handshake_s,
            )
        except (OSError, asyncio.CancelledError):
            # Strangers fail as often as they like: nothing is said of it.
            entrant.give_up()
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
