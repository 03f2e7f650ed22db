"""What an operator sees of the service meanwhile: memory, descriptors, health, and its metrics before and after."""

import contextlib
import os
import threading
import urllib.error
import urllib.request
from pathlib import Path

from support.instance import Instance, descendants

INTERVAL_S = 0.5
HEALTH_TIMEOUT_S = 3.0
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
OWN = ("soloist api", "soloist recorder", "soloist forwarder")
"""Processes whose descriptors are counted: ours, by what their command line holds."""


class Watch:
    """Samples a running instance from a thread of its own, as a `with` block."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch")
        self.rss_before = 0
        self.rss_max = 0
        self.descriptors_max = 0
        self.health: list[bool] = []
        """Whether each look at the health answer found all well."""
        self._before: dict[str, float] = {}
        self._after: dict[str, float] = {}

    def __enter__(self) -> "Watch":
        self._before = read_metrics(self._instance)
        self.rss_before = self.rss_max = self._rss()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._after = read_metrics(self._instance)

    def grown(self, metric: str) -> float:
        """Return by how much a metric grew, over all its labels."""
        return sum(value for name, value in self._after.items() if _is(name, metric)) - sum(
            value for name, value in self._before.items() if _is(name, metric)
        )

    def grew(self) -> list[str]:
        """Return every metric that grew, with its labels."""
        return sorted(name for name, value in self._after.items() if value > self._before.get(name, 0.0))

    @property
    def rss_growth_mb(self) -> float:
        """The most memory beyond what was held at first, 10^6 bytes."""
        return (self.rss_max - self.rss_before) / 1e6

    @property
    def health_share(self) -> float:
        """Share of looks that found all well."""
        return sum(self.health) / max(1, len(self.health))

    def _run(self) -> None:
        while not self._is_over.wait(INTERVAL_S):
            self.rss_max = max(self.rss_max, self._rss())
            self.descriptors_max = max([self.descriptors_max, *map(_descriptors, self._own())])
            self.health.append(self._is_well())

    def _pids(self) -> set[int]:
        assert self._instance.process is not None  # noqa: S101 - it runs
        return {self._instance.process.pid} | descendants(self._instance.process.pid)

    def _rss(self) -> int:
        return sum(map(_resident_bytes, self._pids()))

    def _own(self) -> list[int]:
        return [pid for pid in self._pids() if any(name in command_of(pid) for name in OWN)]

    def _is_well(self) -> bool:
        try:
            with urllib.request.urlopen(  # noqa: S310 - our own server
                f"{self._instance.url}/soloist/v1/health", timeout=HEALTH_TIMEOUT_S
            ) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def read_metrics(instance: Instance) -> dict[str, float]:
    """Return every metric with its labels, as `/metrics` spells them."""
    with urllib.request.urlopen(f"{instance.url}/metrics", timeout=10) as answer:  # noqa: S310 - our own server
        lines = answer.read().decode().splitlines()
    pairs = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


def _is(name: str, metric: str) -> bool:
    return name.partition("{")[0] in (metric, f"{metric}_total") or name == metric


def _resident_bytes(pid: int) -> int:
    """Return memory of a process that is not shared with its kin: PostgreSQL's pages would count many times."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        size, shared = (int(word) for word in Path(f"/proc/{pid}/statm").read_text().split()[1:3])
        return (size - shared) * PAGE_BYTES
    return 0


def _descriptors(pid: int) -> int:
    with contextlib.suppress(OSError):
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return 0


def command_of(pid: int) -> str:
    """Return the command line of a process; empty if it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""
