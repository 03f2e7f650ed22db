"""One POST to a customer's address: checked, timed, never redirected, its answer hardly read.

What went wrong is told in words a customer can act on; addresses that names lead to are not among them, for they are
the operator's network. Spec: API section 7.4.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from soloist.callbacks.guarded import RefusedConnectionError, ThreadedResolver, guarded_connector
from soloist.model.errors import DestinationError
from soloist.wire.addresses import OutgoingGuard

ANSWER_BYTES_MAX = 64 * 1024
"""What is read of an answer, so that a short one is taken whole; its content is of no interest."""
ANSWER_S = 1.0


class NotDeliveredError(DestinationError):
    """The receiver did not confirm the notice; see the message."""


@dataclass(frozen=True, slots=True)
class PostLimits:
    """How long a receiver may take."""

    connect_s: float = 3.0
    total_s: float = 10.0
    connections_max: int = 256


class Poster:
    """Sends; open it in the loop that uses it, and close it."""

    def __init__(self, guard: OutgoingGuard, limits: PostLimits = PostLimits()) -> None:
        self._limits = limits
        self._resolver = ThreadedResolver()
        self._session = aiohttp.ClientSession(
            connector=guarded_connector(guard, self._resolver, connections_max=limits.connections_max),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=limits.connect_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"User-Agent": "Soloist"},
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()
        await self._resolver.close()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Send `body` and return once it is answered with any 2xx.

        Raises:
            NotDeliveredError: it is not; the receiver may have got it nevertheless.
        """
        try:
            async with asyncio.timeout(self._limits.total_s):
                answer = await self._session.post(url, data=body, headers=headers, allow_redirects=False)
        except TimeoutError as error:
            raise NotDeliveredError(self._slowness(error)) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NotDeliveredError(_told(error)) from error
        await _read_out(answer)
        if 300 <= answer.status < 400:
            raise NotDeliveredError(f"answered {answer.status}: redirects are not followed, name the address itself")
        if not 200 <= answer.status < 300:
            raise NotDeliveredError(f"answered {answer.status}, expected is any 2xx")

    def _slowness(self, error: TimeoutError) -> str:
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return f"no connection within {self._limits.connect_s:g} s"
        return f"no answer within {self._limits.total_s:g} s"


async def _read_out(answer: aiohttp.ClientResponse) -> None:
    """Take a short answer whole, so that its sender sees no broken connection; its status has said all."""
    with contextlib.suppress(TimeoutError, aiohttp.ClientError, OSError):
        async with asyncio.timeout(ANSWER_S):
            await answer.content.read(ANSWER_BYTES_MAX)
    answer.close()


def _told(error: Exception) -> str:
    """Return what a customer is told of a failure."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, RefusedConnectionError) or "not a public address" in str(cause):
        return "the address leads to a network that callbacks may not reach (SOLOIST_OUTGOING_ALLOWED)"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the host's name cannot be resolved"
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return "TLS failed: the certificate is not trusted, not the host's, or expired, or it speaks no TLS"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "no connection: the host refuses it or is not reachable"
    if isinstance(error, aiohttp.ServerDisconnectedError | ConnectionError):
        return "the connection was closed before an answer came"
    return "the answer is not HTTP, or the address is not one"
