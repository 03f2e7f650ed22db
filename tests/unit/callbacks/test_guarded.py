"""Connections to addresses that strangers name are made only where the guard permits; on real sockets."""

import asyncio
import contextlib
import socket
import threading

import aiohttp
import pytest
from aiohttp import web

from soloist.callbacks.guarded import RefusedConnectionError, ThreadedResolver, guarded_connector
from soloist.wire.addresses import LOOPBACK, OutgoingGuard

pytestmark = pytest.mark.anyio


@pytest.fixture
async def receiver():
    """A real HTTP server on loopback; gives its port and the hosts it was asked by."""
    hosts = []

    async def answer(request):
        hosts.append(request.host)
        return web.Response(text="here")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield runner.addresses[0][1], hosts
    await runner.cleanup()


@pytest.fixture
async def fetch():
    """Fetch a URL where `allowed` permits it; return the answer's text."""
    resolver = ThreadedResolver()

    async def get(url, *, allowed=()):
        connector = guarded_connector(OutgoingGuard(allowed), resolver)
        async with aiohttp.ClientSession(connector=connector) as session, session.get(url) as answer:
            return await answer.text()

    yield get
    await resolver.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
async def test_loopback_is_refused_by_number_by_name_and_in_disguise(fetch, receiver, host):
    port, hosts = receiver

    with pytest.raises(aiohttp.ClientConnectorError) as refused:
        await fetch(f"http://{host}:{port}/")

    assert isinstance(refused.value.os_error, RefusedConnectionError) or "not a public address" in str(refused.value)
    assert hosts == []


async def test_what_the_operator_allows_is_reached(fetch, receiver):
    port, hosts = receiver

    assert await fetch(f"http://localhost:{port}/", allowed=LOOPBACK) == "here"
    assert hosts == [f"localhost:{port}"]


async def test_a_number_that_only_some_systems_read_as_an_address_is_refused(fetch, receiver):
    port, hosts = receiver
    for host in ("2130706433", "127.1", "0x7f.0.0.1"):
        with pytest.raises((aiohttp.ClientError, OSError)):
            await fetch(f"http://{host}:{port}/")
    assert hosts == []


async def test_the_address_that_was_checked_is_the_one_connected_to(fetch, receiver, monkeypatch):
    """A name that means a public address when asked first and loopback when asked again gains nothing."""
    port, hosts = receiver
    answers = iter(["192.0.2.1", "127.0.0.1"])
    asked = []

    def look_up(host, wanted_port, *_arguments, **_named):
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), wanted_port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises((aiohttp.ClientError, TimeoutError)):
        async with asyncio.timeout(1):
            await fetch(f"http://rebinding.example:{port}/", allowed=["192.0.2.0/24"])

    assert asked == ["rebinding.example"]
    assert hosts == []


async def test_of_several_addresses_of_a_name_only_the_permitted_one_is_reached(fetch, receiver, monkeypatch):
    port, hosts = receiver

    def look_up(_host, wanted_port, *_arguments, **_named):
        kinds = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*kinds, ("10.0.0.1", wanted_port)), (*kinds, ("127.0.0.1", wanted_port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)

    assert await fetch(f"http://two.example:{port}/", allowed=["127.0.0.0/8"]) == "here"
    assert hosts == [f"two.example:{port}"]


async def test_names_that_never_resolve_hold_one_thread_each_and_delay_nobody_else(fetch, receiver, monkeypatch):
    port, hosts = receiver
    real, asked, released = socket.getaddrinfo, [], threading.Event()

    def look_up(host, *arguments, **named):
        asked.append(host)
        if host.startswith("tarpit"):
            released.wait(30)
        return real("localhost", *arguments, **named)

    async def give_up(number):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                await fetch(f"http://tarpit{number % 4}.example:{port}/")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    try:
        await asyncio.gather(*(give_up(number) for number in range(100)))
        async with asyncio.timeout(10):
            assert await fetch(f"http://quick.example:{port}/", allowed=LOOPBACK) == "here"
    finally:
        released.set()

    assert sorted(asked) == ["quick.example", *(f"tarpit{number}.example" for number in range(4))]
    assert hosts == [f"quick.example:{port}"]
