"""Strangers and a tenant hold connections, heads and bodies: the owner's requests and recording lose nothing (S10)."""

import resource
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.crash_verdict import lost_pictures
from support.crowd import crowding, read_answer, request
from support.instance import Instance, instance
from support.sdk import Sdk
from support.takes import take

SECONDS = 5
MIB = 1 << 20
SOFT_LIMIT = 1024
RSS_GROWTH_MAX = 300e6


@pytest.fixture(scope="module")
def service() -> Iterator[Instance]:
    """A service that is started as from a shell: 1,024 open files, unless it asks for more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (SOFT_LIMIT, hard))
    try:
        with instance() as running:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            yield running
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def metrics(service: Instance) -> dict[str, float]:
    with urllib.request.urlopen(f"{service.url}/metrics", timeout=5) as answer:  # noqa: S310 - our own
        lines = answer.read().decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


async def idle(reader, _writer, _answers):
    await reader.read()


async def slow_body(reader, writer, answers):
    """Send all but the last byte, with a token that is good."""
    more = "X-Auth-Token: devtoken\r\nContent-Type: application/json\r\n"
    writer.write(request("POST", "/v2/apps", length=MIB, more=more) + b" " * (MIB - 1))
    await read_answer(reader, answers)


async def long_head(reader, writer, answers):
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n")
    for _ in range(1150):
        writer.write(b"X-Long: " + b"a" * 60_000 + b"\r\n")
        await writer.drain()
    await read_answer(reader, answers)


def test_crowds_of_slow_and_silent_connections_cost_the_owner_neither_a_request_nor_a_picture(
    service: Instance, clip: Path
) -> None:
    before = metrics(service)
    api = '{process="api"}'
    owner, refused = Sdk(service.url), []
    with take(service, clip, "r") as taken:
        taken.await_recording()
        with (
            crowding(service.port, 1500, idle),
            crowding(service.port, 150, slow_body, source="127.0.0.3"),
            crowding(service.port, 2, long_head, source="127.0.0.4") as heads,
        ):
            end = time.monotonic() + SECONDS
            held = []
            while time.monotonic() < end:
                try:
                    owner.call("list_apps")
                except Exception as error:  # noqa: BLE001 - whatever it is, the owner was kept out
                    refused.append(str(error)[:200])
                held.append(metrics(service))
        taken.publisher.process.terminate()
        taken.publisher.process.wait(10)
        time.sleep(0.5)
        taken.stop()
        (file,) = taken.finished()

    assert refused == []
    assert lost_pictures(file) == []
    assert file.pictures >= taken.publisher.frames_count
    assert set(heads) <= {431}
    assert max(shown["soloist_http_bodies_bytes"] for shown in held) <= 16 * MIB
    growth = max(shown[f"soloist_process_resident_bytes{api}"] for shown in held)
    assert growth - before[f"soloist_process_resident_bytes{api}"] < RSS_GROWTH_MAX
    assert held[-1][f"soloist_process_descriptors{api}"] < held[-1][f"soloist_process_descriptors_max{api}"]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert before[f"soloist_process_descriptors_max{api}"] == hard
    after = metrics(service)
    for reason in ("bodies", "long_head", "source_connections"):
        assert after[f'soloist_http_refused_total{{reason="{reason}"}}'] > 0, reason
