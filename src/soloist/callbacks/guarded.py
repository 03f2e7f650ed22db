"""HTTP connections to addresses that strangers name: each is checked at the moment it is made.

The check stands where a socket is made for one resolved address, so nothing can lie between check and connection: no
second look-up, no literal address past the resolver, no proxy of the environment. Redirects are the caller's to refuse
(`allow_redirects=False`), for each is another address. Names are resolved in threads of our own: a name server that
does not answer holds one for seconds, and must not hold those that others need. Nor does it hold more than one for an
address, however many ask for it and give up waiting, because a thread cannot be called back.
"""

import asyncio
import functools
import socket
from concurrent.futures import ThreadPoolExecutor

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from soloist.wire.addresses import AddressRefusedError, OutgoingGuard

RESOLVERS = 64
"""Names that are looked up at the same time: more than a project usually has apps, hence callbacks."""

AddressInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[object, ...]]

_Question = tuple[str, int, socket.AddressFamily]
"""Host, port and family."""


class RefusedConnectionError(OSError):
    """A connection to this address is not permitted."""


def guarded_connector(
    guard: OutgoingGuard, resolver: AbstractResolver, *, connections_max: int = 256
) -> aiohttp.TCPConnector:
    """Return a connector that connects only where `guard` permits; its session closes it, but not `resolver`.

    Connections are made anew for each request: what a name means is asked, and checked, each time.
    """

    def checked_socket(info: AddressInfo) -> socket.socket:
        family, kind, protocol, _, address = info
        try:
            guard.check(str(address[0]))
        except AddressRefusedError as error:
            raise RefusedConnectionError(str(error)) from error
        return socket.socket(family, kind, protocol)

    return aiohttp.TCPConnector(
        resolver=resolver,
        use_dns_cache=False,
        force_close=True,
        limit=connections_max,
        socket_factory=checked_socket,
    )


class ThreadedResolver(AbstractResolver):
    """Resolves as the system does, in threads of its own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(RESOLVERS, thread_name_prefix="resolver")
        self._pending: dict[_Question, asyncio.Future[list[ResolveResult]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return all addresses of a name, as the system resolves it; who asks meanwhile gets the same answer.

        Raises:
            OSError: it has none.
        """
        question = (host, port, family)
        if question not in self._pending:
            looked_up = asyncio.get_running_loop().run_in_executor(self._threads, _look_up, *question)
            self._pending[question] = looked_up
            looked_up.add_done_callback(functools.partial(self._forget, question))
        return await asyncio.shield(self._pending[question])

    async def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _forget(self, question: _Question, answered: asyncio.Future[list[ResolveResult]]) -> None:
        """Let the next one ask anew; a failure that nobody waits for any more is taken note of by nobody."""
        del self._pending[question]
        if not answered.cancelled():
            answered.exception()


def _look_up(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return [
        ResolveResult(hostname=host, host=str(address[0]), port=port, family=kind, proto=protocol, flags=flags)
        for kind, _, protocol, _, address in socket.getaddrinfo(
            host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
    ]
