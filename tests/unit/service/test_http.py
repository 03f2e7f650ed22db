"""The HTTP server itself: what a connection may do before a request has arrived, and how long."""

import asyncio
import contextlib
import socket

import pytest

from soloist.api.gate import read_body
from soloist.service.http import ImpatientProtocol, http_server

pytestmark = pytest.mark.anyio


async def answer(scope, receive, send):
    if scope["type"] != "http":
        return
    body = await read_body(scope, receive, 100, timeout_s=60)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"%02d" % len(body)})


@contextlib.asynccontextmanager
async def serving():
    server = http_server(answer)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:  # noqa: ASYNC110 - uvicorn offers no event
            await asyncio.sleep(0.001)
        yield listener.getsockname()
        server.should_exit = True
        await task


async def left(writer):
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


@pytest.fixture
def hurried(monkeypatch):
    monkeypatch.setattr(ImpatientProtocol, "head_timeout_s", 0.05)


@pytest.mark.parametrize("head", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "])
@pytest.mark.usefixtures("hurried")
async def test_a_request_head_that_does_not_end_in_time_loses_its_connection(head):
    async with serving() as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(head)

        assert await asyncio.wait_for(reader.read(), 5) == b""
        await left(writer)


@pytest.mark.usefixtures("hurried")
async def test_a_head_in_time_may_be_followed_by_a_body_of_its_own_pace():
    async with serving() as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab")
        await asyncio.sleep(0.1)
        writer.write(b"cd")

        assert (await reader.readuntil(b"\r\n\r\n04")).startswith(b"HTTP/1.1 200")
        await left(writer)


@pytest.mark.usefixtures("hurried")
async def test_the_limit_holds_for_every_request_of_a_connection():
    async with serving() as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n00")
        writer.write(b"GET / HTTP/1.1\r\nHo")

        assert await asyncio.wait_for(reader.read(), 5) == b""
        await left(writer)
