"""Downloads of which nothing is read: they end, are counted, and leave room for others (S13)."""

import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from support.instance import Instance, instance

from soloist.clock import utc_now
from soloist.storage.object_urls import ObjectUrls

HELD = 8
PER_ADDRESS = "4"
SIZE = 30_000_000
CUT_WITHIN_S = 23


@pytest.fixture(scope="module")
def service() -> Iterator[Instance]:
    with instance(environment={"SOLOIST_DOWNLOADS_PER_ADDRESS_MAX": PER_ADDRESS}) as running:
        yield running


def address_of_a_large_object(service: Instance) -> str:
    service.bucket.mkdir(parents=True, exist_ok=True)
    (service.bucket / "large.mp4").write_bytes(bytes(SIZE))
    secret = (service.data / "object_key").read_text().strip()
    urls = ObjectUrls({"cn-north-4": service.bucket.parent}, service.url, secret, timedelta(days=1))
    return urls.download_url("cn-north-4", "recordings", "large.mp4", now=utc_now())


def hold(service: Instance, path: str, source: str) -> socket.socket:
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    held.bind((source, 0))
    held.connect(("127.0.0.1", service.port))
    held.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    return held


def shown(service: Instance, name: str) -> float:
    with urllib.request.urlopen(f"{service.url}/metrics", timeout=5) as answer:  # noqa: S310 - our own
        lines = answer.read().decode().splitlines()
    return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} "))


def test_downloads_that_are_not_read_are_bounded_and_end_and_others_get_theirs(service: Instance) -> None:
    url = address_of_a_large_object(service)
    path = urlsplit(url).path
    held = [hold(service, path, "127.0.0.2") for _ in range(HELD)]
    began = time.monotonic()
    time.sleep(1)
    assert shown(service, "soloist_downloads") == int(PER_ADDRESS)
    assert shown(service, 'soloist_downloads_refused_total{reason="source"}') == HELD - int(PER_ADDRESS)

    with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310 - our own, from another address
        assert len(answer.read()) == SIZE

    while shown(service, "soloist_downloads") and time.monotonic() - began < CUT_WITHIN_S + 5:
        time.sleep(0.5)
    assert time.monotonic() - began < CUT_WITHIN_S
    assert shown(service, 'soloist_downloads_refused_total{reason="slow"}') == int(PER_ADDRESS)
    for each in held:
        each.close()
