"""Strangers open TCP connections to the media port and say nothing: whoever has TCP only still gets through."""

import contextlib
import socket
import time

from support.instance import Instance, until
from support.stun import Ghost

IDLE_MAX = 1_024
PER_ADDRESS_MAX = 32
PATIENCE_S = 5


def idle(service: Instance, stack: contextlib.ExitStack, address: str, count: int) -> None:
    """Open connections from an address and say nothing."""
    for _ in range(count):
        connection = stack.enter_context(contextlib.closing(socket.socket()))
        connection.bind((address, 0))
        connection.connect(("127.0.0.1", service.media_port))


def tcp(service: Instance) -> tuple[int, int]:
    core = service.ask_recorder("/health")["core"]
    return core["tcp_connections"], core["tcp_refused"]


def test_idle_connections_keep_nobody_out_and_are_gone_after_five_seconds(service: Instance) -> None:
    with contextlib.closing(Ghost(service, "alice")) as ghost, contextlib.ExitStack() as stack:
        for number in range(50):
            idle(service, stack, f"127.0.1.{number + 1}", PER_ADDRESS_MAX + 2)
        until(lambda: tcp(service)[1] > 0, 5, "none was refused")
        assert tcp(service)[0] <= IDLE_MAX
        began = time.monotonic()
        assert ghost.knock_by_tcp()
        assert time.monotonic() - began < 2
        for number in range(10):
            idle(service, stack, f"127.0.3.{number + 1}", PER_ADDRESS_MAX)
        assert ghost.knock_again(), "the one who proved itself made room"
        until(lambda: tcp(service)[0] <= 1, PATIENCE_S + 4, "strangers stay")


def test_one_address_has_few_places_for_strangers(service: Instance) -> None:
    with contextlib.ExitStack() as stack:
        until(lambda: tcp(service)[0] <= 1, PATIENCE_S + 4, "others are there")
        idle(service, stack, "127.0.2.1", 3 * PER_ADDRESS_MAX)
        time.sleep(0.5)
        assert tcp(service)[0] <= PER_ADDRESS_MAX + 1
