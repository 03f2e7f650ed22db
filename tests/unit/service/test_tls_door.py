"""Connections of TLS are counted before their handshake: those that never begin one have bounds like any others."""

import asyncio
import contextlib
import socket
import ssl
import subprocess

import pytest

from soloist.service.connections import Connections
from soloist.service.http import http_server

pytestmark = pytest.mark.anyio

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    key, chain = folder / "key.pem", folder / "cert.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9"]
    subprocess.run([*made, "-subj", "/CN=localhost", "-keyout", key, "-out", chain], check=True, capture_output=True)
    return chain, key


async def answer(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": scope["scheme"].encode()})


@contextlib.asynccontextmanager
async def serving(certificate, connections):
    chain, key = certificate
    server = http_server(answer, tls_cert=chain, tls_key=key, connections=connections)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:  # noqa: ASYNC110 - uvicorn offers no event
            await asyncio.sleep(0.001)
        yield listener.getsockname()
        server.should_exit = True
        await task


def trusting():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def asked_twice(address):
    """Return the answers to two requests on one connection."""
    reader, writer = await asyncio.open_connection(*address, ssl=trusting())
    answers = []
    for _ in range(2):
        writer.write(REQUEST)
        answers.append(await asyncio.wait_for(reader.readuntil(b"https"), 5))
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return answers


async def gone(connections):
    for _ in range(100):
        if not len(connections):
            return True
        await asyncio.sleep(0.02)
    return False


async def test_connections_without_a_handshake_have_the_bounds_of_others_and_keep_nobody_out(certificate):
    connections = Connections(total_max=100, per_source_max=4)
    with contextlib.ExitStack() as crowd:
        async with serving(certificate, connections) as address:
            for _ in range(20):
                client = crowd.enter_context(socket.socket())
                client.setblocking(False)
                await asyncio.get_running_loop().sock_connect(client, address)
            await asyncio.sleep(0.2)
            counted = len(connections)
            answers = await asked_twice(address)

    assert counted == 4
    assert all(b" 200 " in each for each in answers)
    assert connections.refusals["source_connections"] == 17
    assert await gone(connections)


async def test_what_is_no_handshake_is_counted_and_gives_its_place_back(certificate):
    connections = Connections(total_max=100, per_source_max=100)
    async with serving(certificate, connections) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(REQUEST)
        await asyncio.wait_for(reader.read(), 5)
        writer.close()

        assert await gone(connections)
        assert connections.refusals["tls_handshake"] == 1
        assert all(b" 200 " in each for each in await asked_twice(address))
