"""A bad network as a process: a UDP port that stands for the recorder's media port and passes on what `Link` lets pass.

Run as a program it reads one JSON object on stdin (`target` host and port, `epoch_ns`, `seed`, `schedule`), prints its
port, and works until its stdin closes; then it prints what it did to how many packets. It rewrites nothing: publishers
are given its address in place of the recorder's.
"""

import heapq
import itertools
import json
import selectors
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fidelity.link import Conditions, Link

HOST = "127.0.0.1"
ROOT = Path(__file__).parents[1]


class Proxy:
    """One publisher's network: any number of sessions, each with a port of its own towards the recorder."""

    def __init__(self, target: tuple[str, int], epoch_ns: int, seed: int, schedule: tuple[Conditions, ...]) -> None:
        self.front = _socket()
        self.did: Counter[str] = Counter()
        self._target = target
        self._epoch_ns = epoch_ns
        self._there, self._back = Link(seed, schedule), Link(seed + 1, schedule)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.front, selectors.EVENT_READ, None)
        self._sessions: dict[tuple[str, int], socket.socket] = {}
        self._waiting: list[tuple[float, int, socket.socket, tuple[str, int], bytes]] = []
        self._numbers = itertools.count()

    def run(self, until: socket.socket | int) -> None:
        """Pass packets until `until` can be read."""
        self._selector.register(until, selectors.EVENT_READ, "end")
        while True:
            for key, _ in self._selector.select(self._pause_s()):
                if key.data == "end":
                    return
                self._read(key.fileobj, key.data)
            self._send_due()

    def _now_ms(self) -> float:
        return (time.time_ns() - self._epoch_ns) / 1e6

    def _pause_s(self) -> float | None:
        return max(0.0, (self._waiting[0][0] - self._now_ms()) / 1000) if self._waiting else None

    def _read(self, readable: socket.socket, client: tuple[str, int] | None) -> None:
        """Take everything a socket holds: from publishers, or what the recorder tells `client`."""
        while True:
            try:
                packet, sender = readable.recvfrom(65_536)
            except OSError:  # Nothing left, or an ICMP of a recorder that is gone.
                return
            if client is None:
                out, to, link = self._session(sender), self._target, self._there
            else:
                out, to, link = self.front, client, self._back
            due = link.take(self._now_ms(), len(packet))
            self.did[("dropped", "passed", "doubled")[len(due)]] += 1
            for at_ms in due:
                heapq.heappush(self._waiting, (at_ms, next(self._numbers), out, to, packet))

    def _session(self, client: tuple[str, int]) -> socket.socket:
        if client not in self._sessions:
            self._sessions[client] = _socket()
            self._selector.register(self._sessions[client], selectors.EVENT_READ, client)
        return self._sessions[client]

    def _send_due(self) -> None:
        now_ms = self._now_ms()
        while self._waiting and self._waiting[0][0] <= now_ms:
            _, _, out, to, packet = heapq.heappop(self._waiting)
            try:
                out.sendto(packet, to)
            except OSError:
                self.did["refused"] += 1


def _socket() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    made.bind((HOST, 0))
    made.setblocking(False)  # noqa: FBT003 - its only parameter
    return made


@dataclass
class Running:
    """A proxy process."""

    address: str
    did: dict[str, int] = field(default_factory=dict)
    """What it did to how many packets; known once it has ended."""


@contextmanager
def proxy(port: int, epoch_ns: int, seed: int, schedule: tuple[Conditions, ...]) -> Iterator[Running]:
    """Run a proxy of the media port `port` in a process of its own."""
    command = [sys.executable, "-m", "fidelity.proxy"]
    plan = {"target": [HOST, port], "epoch_ns": epoch_ns, "seed": seed}
    plan["schedule"] = [conditions.as_json() for conditions in schedule]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None  # noqa: S101 - for the type checker
        assert process.stdout is not None  # noqa: S101 - likewise
        process.stdin.write(json.dumps(plan) + "\n")
        process.stdin.flush()
        running = Running(f"{HOST}:{int(process.stdout.readline())}")
        try:
            yield running
        finally:
            process.stdin.close()
            running.did = json.loads(process.stdout.readline() or "{}")


def main() -> None:
    """Serve what stdin asks for."""
    plan = json.loads(sys.stdin.buffer.raw.readline())
    schedule = tuple(Conditions(**conditions) for conditions in plan["schedule"])
    host, port = plan["target"]
    serving = Proxy((host, port), plan["epoch_ns"], plan["seed"], schedule)
    print(serving.front.getsockname()[1], flush=True)
    serving.run(sys.stdin.fileno())
    print(json.dumps(serving.did), flush=True)


if __name__ == "__main__":
    main()
