"""Datagrams in a publisher's name, from its own address and port, while it is recorded: every frame is in the file.

A relay stands between publisher and recorder, so that what is forged comes from where the publisher's packets come
from. It forges from the first packet of the session on: before, amid and after the handshake.
"""

import itertools
import random
import struct
import threading
from collections.abc import Iterator

import pytest
from interop import pion
from support.instance import Instance

from attack.forgeries import dtls_records, rtp_packets, shortest_record
from attack.relay import Relay, relay
from attack.victim import Victim
from attack.watch import Watch
from fidelity.service import Service

SECONDS = 3.0
PER_S = 1_000
STUN_WITHOUT_PASSWORD = bytes.fromhex("000100002112a442") + bytes(12)


def forged_dtls(_relay: Relay) -> Iterator[bytes]:
    """S1a: records shorter than their tag, of other epochs and types, and alerts in plain text."""
    records = dtls_records(random.Random(5))
    while True:
        yield shortest_record()
        yield bytes.fromhex("15fefd0000000000000009 0002 0228")
        yield STUN_WITHOUT_PASSWORD
        yield from (next(records) for _ in range(7))


def forged_media(between: Relay) -> Iterator[bytes]:
    """S1b: RTP and RTCP like the publisher's, with foreign SSRCs, numbers, times and types, and old ones again."""
    chance = random.Random(5)
    packets = rtp_packets(between, chance)
    while True:
        yield from (next(packets) for _ in range(5))
        yield between.seen_control or STUN_WITHOUT_PASSWORD
        for payload_type, mid in itertools.product(tuple(between.seen) or (96,), (b"0", b"1")):
            yield new_stream(chance, payload_type, mid)


def new_stream(chance: random.Random, payload_type: int, mid: bytes) -> bytes:
    """Return the first packet of a new stream of a section, with its mid as one of the possible extensions."""
    head = struct.pack("!BBHII", 0x90, payload_type, chance.getrandbits(16), 1, chance.getrandbits(32))
    element = bytes((chance.randrange(1, 15) << 4,)) + mid + bytes(2)
    return head + b"\xbe\xde\0\1" + element + bytes(40)


class Flood(threading.Thread):
    """Sends in a thread of its own, as a `with` block."""

    def __init__(self, between: Relay, forged: Iterator[bytes]) -> None:
        super().__init__(name="forger")
        self._between, self._forged = between, forged
        self._is_over = threading.Event()

    def run(self) -> None:
        while not self._is_over.wait(0.005):
            for _ in range(PER_S * 5 // 1_000):
                self._between.inject(next(self._forged))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self.join()


@pytest.fixture(scope="module")
def recorded(service: Instance) -> Service:
    pion.build()
    return Service(service)


@pytest.mark.parametrize("forged", [forged_dtls, forged_media])
def test_forged_datagrams_cost_no_frame_and_are_counted(recorded: Service, forged) -> None:
    with (
        relay(recorded.instance.media_port) as between,
        Watch(recorded.instance) as watch,
        Flood(between, forged(between)),
    ):
        victim = Victim(recorded, forged.__name__, SECONDS, via=between.address)
        victim.begin()
        harm = victim.end()
    assert harm.complaints == []
    assert harm.recorded == harm.sent > 0
    assert watch.grown("soloist_media_datagrams_forged") > 1_000
