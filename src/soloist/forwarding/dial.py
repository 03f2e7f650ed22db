"""A connection to an RTMP server a customer named: resolved, checked and connected to as checked, by TLS if asked for.

What it tells of itself is how much the far end has acknowledged, which no handshake and no full buffer can feign.
Spec: design section 8 (outgoing addresses); tcp(7) for the socket's options.
"""

import array
import asyncio
import fcntl
import socket
import ssl
import termios
from collections.abc import Callable

from soloist.model.errors import DestinationError
from soloist.wire.addresses import AddressRefusedError, OutgoingGuard
from soloist.wire.rtmp import RtmpUrl

UNSENT_BYTES_MAX = 128 * 1024
"""How much the kernel takes beyond what it has sent: what waits longer waits in our queue, which knows keyframes."""
READ_BYTES = 65_536
TCP_NOTSENT_LOWAT = 25
"""Spec: linux/tcp.h; Python 3.11 has no name for it."""


class Connection:
    """One open connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._written_bytes = 0

    async def read(self) -> bytes:
        """Return what arrived next.

        Raises:
            ConnectionResetError: nothing more will.
        """
        data = await self._reader.read(READ_BYTES)
        if not data:
            raise ConnectionResetError
        return data

    async def write(self, data: bytes) -> None:
        """Send; return when there is room for more."""
        self._written_bytes += len(data)
        self._writer.write(data)
        await self._writer.drain()

    @property
    def written_bytes(self) -> int:
        """What was handed over so far."""
        return self._written_bytes

    @property
    def pending_bytes(self) -> int:
        """What of it the far end has not acknowledged. Spec: tcp(7), SIOCOUTQ."""
        in_kernel = array.array("i", [0])
        fcntl.ioctl(self._writer.get_extra_info("socket").fileno(), termios.TIOCOUTQ, in_kernel)
        return int(in_kernel[0]) + self._writer.transport.get_write_buffer_size()

    def close(self) -> None:
        """End it at once; what is not sent is lost."""
        self._writer.transport.abort()


async def dial(url: RtmpUrl, guard: OutgoingGuard, tls: Callable[[], ssl.SSLContext], within_s: float) -> Connection:
    """Return a connection to a server.

    Addresses its name has are tried one after the other, each for its share of the time, until one proves to be the
    server. If none does, the first one's fault is told: resolvers put what can be reached at the front.

    Raises:
        AddressRefusedError: no address it has is permitted.
        OSError: none answers (`ssl.SSLError` among them: it cannot prove to be the one it is named).
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    async with asyncio.timeout_at(deadline):
        found = await loop.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
    faults: list[Exception] = []
    for left_count, (family, _, _, _, address) in zip(range(len(found), 0, -1), found, strict=True):
        try:
            guard.check(str(address[0]))
            async with asyncio.timeout((deadline - loop.time()) / left_count):
                connected = await _connect(family, address)
                if url.scheme == "rtmp":
                    return Connection(*await asyncio.open_connection(sock=connected))
                return Connection(*await asyncio.open_connection(sock=connected, ssl=tls(), server_hostname=url.host))
        except AddressRefusedError:
            faults.append(AddressRefusedError())
        except OSError as error:
            faults.append(error)
    raise faults[0] if faults else DestinationError("its name has no address")


def strict_tls() -> ssl.SSLContext:
    """Return what holds a server against the system's authorities and its own name. Spec: RFC 9525 §1.2 (no CN)."""
    context = ssl.create_default_context()
    context.hostname_checks_common_name = False
    return context


async def _connect(family: int, address: tuple[object, ...]) -> socket.socket:
    """Return a socket connected to one address."""
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setblocking(False)  # noqa: FBT003 - the socket's own
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_BYTES_MAX)
        await asyncio.get_running_loop().sock_connect(made, address)
    except BaseException:
        made.close()
        raise
    return made


def told_fault(error: BaseException) -> str:
    """Return what to say of a failed connection, with its remedy; never an address."""
    if isinstance(error, DestinationError):
        return str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    for kind, text in _FAULTS.items():
        if isinstance(error, kind):
            return text
    if isinstance(error, OSError) and error.strerror:
        return f"it cannot be reached: {error.strerror}"
    return "forwarding failed; the log line with this job id says where"


_FAULTS: dict[type[Exception], str] = {
    TimeoutError: "the RTMP server did not answer in time; check host, port and whether it is reachable from here",
    ssl.SSLError: "the TLS handshake failed; check that rtmps:// and this port belong together",
    socket.gaierror: "its name cannot be resolved; check the host",
    ConnectionRefusedError: "nobody accepts connections there; check host and port",
    ConnectionError: "the RTMP server closed the connection",
}
"""The more special ones first."""
