"""Strangers flood the media port with garbage while a participant is recorded: every picture is in the file."""

import os
import random
import socket
import threading
import time
from pathlib import Path

from support.crash_verdict import lost_pictures
from support.instance import Instance
from support.takes import take

SECONDS = 5
PACKETS_PER_S = 20_000
STRANGERS = 50


def test_a_flood_of_garbage_costs_no_picture(service: Instance, clip: Path) -> None:
    with take(service, clip, "r") as taken:
        taken.await_recording()
        strangers = threading.Thread(target=_flood, args=(service.media_port,))
        strangers.start()
        strangers.join()
        time.sleep(1)
        taken.publisher.process.terminate()
        taken.publisher.process.wait(10)
        time.sleep(0.5)
        taken.stop()
        (file,) = taken.finished()
    assert file.complaints == ()
    assert lost_pictures(file) == []
    assert file.pictures >= taken.publisher.frames_count


def _flood(port: int) -> None:
    """Send noise, and noise that begins like STUN, DTLS and RTP, from many ports, in bursts of a millisecond."""
    chance = random.Random(42)
    firsts = [b"\x00\x01\x00\x50\x21\x12\xa4\x42", b"\x16\xfe\xfd", b"\x80\x60", b"\x80\xc8", b"\xff"]
    packets = [chance.choice(firsts) + os.urandom(chance.randrange(1, 1200)) for _ in range(500)]
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(STRANGERS)]
    end, sent = time.monotonic() + SECONDS, 0
    began = time.monotonic()
    while (now := time.monotonic()) < end:
        while sent < (now - began) * PACKETS_PER_S:
            sockets[sent % STRANGERS].sendto(packets[sent % len(packets)], ("127.0.0.1", port))
            sent += 1
        time.sleep(0.001)
    for stranger in sockets:
        stranger.close()
