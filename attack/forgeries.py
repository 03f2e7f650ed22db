"""Datagrams that nobody who lacks a session's keys could send, from a publisher's own address: S1."""

import os
import random
import struct
import time
from collections.abc import Callable, Iterator

from attack.relay import Relay

PER_S = 1_000


def dtls_records(chance: random.Random) -> Iterator[bytes]:
    """Yield records of every type, epoch and length up to 64 bytes that no holder of the keys made."""
    while True:
        kind = chance.choice((20, 21, 22, 23, 24, 25, 26, chance.randrange(256)))
        epoch, length = chance.choice((0, 1, 1, 1, 2, 65_535)), chance.randrange(65)
        number = chance.choice((0, 9, 1 << 20, (1 << 48) - 1))
        yield struct.pack("!BHHHIH", kind, 0xFEFD, epoch, number >> 32, number & 0xFFFFFFFF, length) + os.urandom(
            length
        )


def shortest_record() -> bytes:
    """Return the record of S1a: of epoch 1 and two bytes long, shorter than its authentication tag."""
    return bytes.fromhex("15fefd00010000000000090002 0200".replace(" ", ""))


def rtp_packets(relay: Relay, chance: random.Random) -> Iterator[bytes]:
    """Yield packets with the header of a genuine one, changed here and there, and no valid tag."""
    while True:
        for genuine in tuple(relay.seen.values()):
            head = bytearray(genuine)
            which = chance.randrange(6)
            if which in (0, 1):
                struct.pack_into("!I", head, 8, chance.getrandbits(32))
            if which in (1, 2):
                struct.pack_into("!H", head, 2, chance.getrandbits(16))
            if which == 3:
                struct.pack_into("!I", head, 4, chance.getrandbits(32))
            if which == 4:
                head[1] = (head[1] & 0x80) | chance.choice(tuple(relay.seen))
            yield bytes(head[:-20]) + os.urandom(20)
        if relay.seen_control:
            yield from _control(relay.seen_control, chance)
        if not relay.seen:
            yield b"\x80\x60" + os.urandom(40)


def _control(genuine: bytes, chance: random.Random) -> Iterator[bytes]:
    """Yield a report, a goodbye and a request with the sender's SSRC and no valid tag."""
    for kind in (200, 203, 205, 206):
        yield bytes((0x81, kind)) + genuine[2:8] + os.urandom(chance.randrange(20, 60))


def flood(relay: Relay, packets: Iterator[bytes], seconds: float, per_s: int = PER_S) -> int:
    """Inject packets at a rate; return how many."""
    return paced(lambda: relay.inject(next(packets)), seconds, per_s)


def paced(send: Callable[[], object], seconds: float, per_s: float) -> int:
    """Call `send` so many times a second in real time; return how often."""
    began, count = time.monotonic(), 0
    while (elapsed := time.monotonic() - began) < seconds:
        while count < elapsed * per_s:
            send()
            count += 1
        time.sleep(0.002)
    return count
