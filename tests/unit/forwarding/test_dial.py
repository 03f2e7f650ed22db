"""Which of a server's addresses is connected to: each is checked, and has its share of the time."""

import asyncio
import contextlib
import socket
import ssl
import time

import pytest
from interop.certificates import write_certificate
from support.scripted_rtmp import swallow

from soloist.forwarding.dial import dial
from soloist.wire.addresses import AddressRefusedError, OutgoingGuard
from soloist.wire.rtmp import RtmpUrl

pytestmark = pytest.mark.anyio
FIRST, SECOND = "127.0.0.1", "127.0.0.2"
WITHIN_S = 2.0


@pytest.fixture
def named(monkeypatch):
    """Let names lead to FIRST and SECOND, in this order."""

    async def resolve(_loop, _host, port, **_):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in (FIRST, SECOND)]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", resolve)


@contextlib.asynccontextmanager
async def listening(address, port=0, tls=None):
    """Run a server that takes connections; yield its port and the addresses connected to."""
    seen = []

    def accept(_reader, writer):
        seen.append(writer.get_extra_info("sockname")[0])
        writer.close()

    server = await asyncio.start_server(accept, address, port, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1], seen


def serving(folder):
    """Return what proves to be 127.0.0.1 to who trusts its certificate, and the trust."""
    folder.mkdir()
    certificate, key = write_certificate(folder, "p256")
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificate, key)
    return server, lambda: ssl.create_default_context(cafile=certificate)


async def connected(scheme, port, guard, tls):
    """Return which address is connected to."""
    connection = await dial(RtmpUrl(scheme, FIRST, port, "app", "key"), OutgoingGuard(guard), tls, WITHIN_S)
    connection.close()
    return connection._writer.get_extra_info("peername")[0]


def plainly():
    raise AssertionError("rtmp:// needs no TLS")


async def test_an_address_that_swallows_connections_costs_its_share_of_the_time_and_the_next_one_is_tried(named):
    async with listening(SECOND) as (port, _):
        with swallow(FIRST, port):
            began = time.monotonic()
            assert await connected("rtmp", port, [FIRST, SECOND], plainly) == SECOND

    assert 0.4 * WITHIN_S < time.monotonic() - began < 0.9 * WITHIN_S


async def test_an_address_whose_tls_fails_is_followed_by_the_next_one(named, tmp_path):
    (stranger, _), (own, trusting) = serving(tmp_path / "stranger"), serving(tmp_path / "own")
    async with listening(FIRST, tls=stranger) as (port, _), listening(SECOND, port, tls=own):
        assert await connected("rtmps", port, [FIRST, SECOND], trusting) == SECOND


async def test_each_address_must_be_permitted(named):
    async with listening(FIRST) as (port, seen), listening(SECOND, port):
        assert await connected("rtmp", port, [SECOND], plainly) == SECOND
        with pytest.raises(AddressRefusedError):
            await connected("rtmp", port, [], plainly)

    assert seen == []


async def test_of_several_faults_the_first_address_s_is_told(named):
    async with listening(SECOND) as (port, _):
        with pytest.raises(ConnectionRefusedError):
            await connected("rtmp", port, [FIRST], plainly)
