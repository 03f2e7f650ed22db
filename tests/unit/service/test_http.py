"""The HTTP server itself: what a connection may do before a request has arrived, how much and how long."""

import asyncio
import contextlib
import socket

import pytest

from soloist.api.gate import read_body
from soloist.service.connections import Connections
from soloist.service.http import HEAD_BYTES_MAX, PIPELINE_MAX, ImpatientProtocol, http_server

pytestmark = pytest.mark.anyio


async def answer(scope, receive, send):
    if scope["type"] != "http":
        return
    body = await read_body(scope, receive, 100, timeout_s=60)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"%02d" % len(body)})


@contextlib.asynccontextmanager
async def serving(connections=None, app=answer):
    server = http_server(app, connections=connections)
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


PLAIN = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def bounded(total=100, per_source=100, **options):
    return Connections(total_max=total, per_source_max=per_source, **options)


async def said(address, sent):
    """Return all that is answered to `sent` before the connection ends, also if it is reset."""
    loop, answer = asyncio.get_running_loop(), b""
    with socket.socket() as client:
        client.setblocking(False)
        await loop.sock_connect(client, address)
        with contextlib.suppress(ConnectionError):
            await loop.sock_sendall(client, sent)
        with contextlib.suppress(ConnectionError):
            while piece := await asyncio.wait_for(loop.sock_recv(client, 65536), 5):
                answer += piece
    return answer


def head_of(size):
    start, end = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Long: ", b"\r\n\r\n"
    return start + b"a" * (size - len(start) - len(end)) + end


@pytest.mark.parametrize(
    ("size", "status"), [(HEAD_BYTES_MAX, b"200"), (HEAD_BYTES_MAX + 1, b"431"), (1 << 20, b"431")]
)
async def test_a_head_has_64_kib_and_no_more(size, status):
    connections = bounded()
    async with serving(connections) as address:
        answer = await said(address, head_of(size))

    assert answer.startswith(b"HTTP/1.1 " + status)
    assert connections.refusals["long_head"] == (status == b"431")
    assert len(connections) == 0


@pytest.mark.parametrize("unit", [b"X-%d: a\r\n", b"X: %d", b"\r\nX-%d: b"])
async def test_a_head_that_never_ends_is_refused_however_it_is_made(unit):
    async with serving() as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n")
        with contextlib.suppress(ConnectionError):
            for number in range(200):
                writer.write(b"".join(unit % number for _ in range(200)))
                await writer.drain()
        refused = b""
        with contextlib.suppress(ConnectionError):
            refused = await asyncio.wait_for(reader.read(), 5)
        assert b" 200 " not in refused
        await left(writer)


async def test_a_target_that_never_ends_is_refused():
    async with serving() as address:
        assert (await said(address, b"GET /" + b"a" * 100_000)).startswith(b"HTTP/1.1 431")


async def test_a_large_body_in_small_chunks_passes_and_a_frame_or_trailer_without_end_does_not():
    async with serving() as address:
        start = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        small = await said(address, start + b"1\r\nx\r\n" * 99 + b"0\r\n\r\n")
        trailer = await said(address, start + b"1\r\nx\r\n0\r\nX-Trailer: " + b"a" * 200_000)
        extension = await said(address, start + b"1;" + b"a" * 200_000)

    assert small.endswith(b"99")
    assert b" 200 " not in trailer + extension


async def test_what_trails_a_body_does_not_change_the_head():
    seen = []

    async def look(scope, receive, send):
        await answer(scope, receive, send)
        if scope["type"] == "http":
            seen.extend(name for name, _ in scope["headers"])

    server = http_server(look)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:  # noqa: ASYNC110 - uvicorn offers no event
            await asyncio.sleep(0.001)
        request = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        await said(listener.getsockname(), request + b"1\r\nx\r\n0\r\nX-Project-Id: other\r\n\r\n")
        server.should_exit = True
        await task

    assert b"x-project-id" not in seen
    assert b"host" in seen


async def test_a_fragment_is_no_part_of_a_target():
    async with serving() as address:
        assert (await said(address, b"GET /metrics#x HTTP/1.1\r\nHost: x\r\n\r\n")).startswith(b"HTTP/1.1 400")


async def test_thousands_of_requests_in_one_packet_are_not_held():
    connections = bounded()
    async with serving(connections) as address:
        answered = await said(address, PLAIN * 2000)

    assert answered.count(b"HTTP/1.1 200") <= 1
    assert connections.refusals["bad_request"] == 1


async def test_a_few_requests_in_one_packet_are_answered_in_turn():
    async with serving(bounded()) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(PLAIN * PIPELINE_MAX)
        answered = b""
        while answered.count(b" 200 ") < PIPELINE_MAX:
            answered += await asyncio.wait_for(reader.read(65536), 5)
        await left(writer)


async def is_open(reader):
    try:
        return await asyncio.wait_for(reader.read(1), 0.2) != b""
    except TimeoutError:
        return True
    except ConnectionError:
        return False


async def test_idle_connections_make_room_for_their_own_neighbours():
    connections = bounded(per_source=3)
    async with serving(connections) as address:
        idle = [await asyncio.open_connection(*address) for _ in range(10)]
        answered = await said(address, PLAIN.replace(b"Host", b"Connection: close\r\nHost"))
        open_ones = [await is_open(reader) for reader, _ in idle]
        for _, writer in idle:
            await left(writer)

    assert b" 200 " in answered
    assert open_ones == [False] * 8 + [True] * 2
    assert connections.refusals["source_connections"] == 8


async def test_connections_at_work_are_not_ended_for_new_ones():
    asked, done = asyncio.Event(), asyncio.Event()

    async def at_work(scope, receive, send):
        if scope["type"] == "http" and scope["path"] == "/work":
            asked.set()
            await done.wait()
        await answer(scope, receive, send)

    connections = bounded(per_source=2)
    async with serving(connections, at_work) as address:
        working = [await asyncio.open_connection(*address) for _ in range(2)]
        for _, writer in working:
            writer.write(b"POST /work HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab")
        await asked.wait()
        await asyncio.sleep(0.1)
        refused = await said(address, PLAIN)
        done.set()
        for reader, writer in working:
            assert b" 200 " in await reader.readuntil(b"02")
            await left(writer)

    assert refused.startswith(b"HTTP/1.1 503")
    assert b"retry-after: 1" in refused


async def test_requests_whose_bodies_do_not_come_make_room_like_idle_connections():
    connections = bounded(total=4, per_source=2)
    async with serving(connections) as (host, port):
        slow = [
            await asyncio.open_connection(host, port, local_addr=(f"127.0.0.{number}", 0)) for number in (2, 2, 3, 3)
        ]
        for _, writer in slow:
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na")
        await asyncio.sleep(0.1)
        owner = await said((host, port), PLAIN.replace(b"Host", b"Connection: close\r\nHost"))
        for reader, writer in slow[1:]:
            writer.write(b"b")
            assert b" 200 " in await reader.readuntil(b"02")
        for _, writer in slow:
            await left(writer)

    assert b" 200 " in owner


@pytest.mark.usefixtures("hurried")
async def test_a_connection_whose_body_came_after_its_answer_is_not_kept_for_ever():
    async def hasty(scope, receive, send):
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"no"})

    connections = bounded()
    async with serving(connections, hasty) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na")
        await reader.readuntil(b"no")
        writer.write(b"b")

        assert await asyncio.wait_for(reader.read(), 2) == b""
        await left(writer)


async def test_in_all_the_source_with_the_most_makes_room():
    connections = bounded(total=6, per_source=6)
    async with serving(connections) as (host, port):
        owner, owners = await asyncio.open_connection(host, port, local_addr=("127.0.0.9", 0))
        crowd = [await asyncio.open_connection(host, port) for _ in range(30)]
        assert await is_open(owner)
        assert len(connections) <= 6
        for writer in (owners, *(writer for _, writer in crowd)):
            await left(writer)
    assert len(connections) == 0
    assert connections.refusals["connections"] == 25


async def test_a_trusted_proxy_may_have_as_many_as_there_are():
    async with serving(bounded(per_source=2, proxies=("127.0.0.1",))) as address:
        many = [await asyncio.open_connection(*address) for _ in range(10)]

        assert all([await is_open(reader) for reader, _ in many])
        for _, writer in many:
            await left(writer)


@pytest.mark.parametrize("nothing", ["read", "body"])
async def test_a_connection_that_is_stuck_is_dropped(monkeypatch, nothing):
    monkeypatch.setattr(ImpatientProtocol, "stuck_s", 0.5)
    connections = bounded()

    async def generous(scope, receive, send):
        if scope["type"] != "http":
            return
        body = b"x" * (20_000_000 if nothing == "read" else 1)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    server = http_server(generous, connections=connections)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:  # noqa: ASYNC110 - uvicorn offers no event
            await asyncio.sleep(0.001)
        with socket.create_connection(listener.getsockname()) as stuck:
            stuck.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
            await asyncio.sleep(0.1)
            assert len(connections) == 1
            for _ in range(30):
                await asyncio.sleep(0.1)
                with contextlib.suppress(OSError):
                    stuck.send(b"y")
            assert len(connections) == 0
        server.should_exit = True
        await task
    assert connections.refusals["stuck"] == 1
