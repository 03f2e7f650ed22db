"""What a recorder carries, measured once a second: CPU of its two media threads, the media thread's lag, memory, files.

CPU is read from the threads' own clocks and smoothed over some seconds: a burst is no load. The lag is how long a
function posted to the media thread waits, behind the media that came before it. What becomes of the numbers is
`model/admission.py`'s.
"""

import asyncio
import os
import resource
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

import structlog

from soloist.model.admission import Condition, Load, LoadLimits, LoadState, condition_after
from soloist.model.errors import InternalError
from soloist.service.shedding import Sheddable, Shedding
from soloist.service.usage import resident_bytes
from soloist.sources.forgeries import Forgeries

log = structlog.get_logger("soloist.load")

INTERVAL_S = 1.0
CPU_WEIGHT = 0.3
"""Of the latest second in what is told of CPU: ten seconds at a full core are needed to say so."""
LAG_WEIGHT = 0.5
QUEUE_BYTES_MAX = 256 << 20
"""The core's limit of frames between its I/O thread and the media thread."""
IO_THREAD = "soloist-io"
"""What the core calls its thread."""
_PER_THREAD, _CPU_USED = 4, 2
"""What makes of a thread's id the id of its CPU clock."""


class Media(Protocol):
    """The media thread, as far as it is measured."""

    @property
    def thread_id(self) -> int | None:
        """The system's id of the thread; None before it runs."""

    def call(self, work: Callable[[], float]) -> "Future[float]":
        """Run `work` on it, behind what came before."""

    def stats(self) -> Mapping[str, int]:
        """Return the core's counters."""


class LoadMeter:
    """Measures this process. `run` it in a task."""

    def __init__(self, media: Media, limits: LoadLimits, outputs: Sheddable) -> None:
        """`outputs` are what is given up under load."""
        self._media = media
        self._shedding = Shedding(outputs)
        self.limits = limits
        self.load = Load()
        self.condition = Condition()
        self._changes = dict.fromkeys(LoadState, 0)
        self._io = ThreadCpu(lambda: _thread_named(IO_THREAD))
        self._media_cpu = ThreadCpu(lambda: media.thread_id)
        self._lag = Lag(media)
        self._forgeries = Forgeries()

    async def run(self) -> None:
        """Measure for ever; a failure costs a turn."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            try:
                self.measure()
            except Exception:
                log.exception("load_not_measured")

    def measure(self) -> None:
        """Take one measurement, and tell if it changes the recorder's state."""
        counters = self._media.stats()
        self._forgeries.look(counters.get("datagrams_forged", 0), time.monotonic())
        self.load = Load(
            cpu_io=self._io.share(),
            cpu_media=self._media_cpu.share(),
            queue_age_ms=max(self._lag.smoothed_ms(), float(counters.get("queue_age_ms", 0))),
            queue_bytes=counters.get("queue_bytes", 0),
            memory_bytes=resident_bytes(),
            descriptors=len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - once a second, without a thousand Paths
        )
        before, self.condition = self.condition, condition_after(self.condition.state, self.load, self.limits)
        if self.condition.state is not before.state:
            self._changes[self.condition.state] += 1
            tell = log.info if self.condition.state is LoadState.OK else log.warning
            tell("recorder_load", state=self.condition.state.value, reason=self.condition.reason)
        self._shedding.step(self.condition.state)

    def health(self) -> dict[str, object]:
        """Return what the recorder's health answer says of its load; it names the limits beside what is used."""
        state = self.condition.state
        return {
            **{name: round(value, 3) for name, value in asdict(self.load).items()},
            "limits": asdict(self.limits),
            "state": state.value,
            "reason": self.condition.reason,
            "shedding": int(state is not LoadState.OK),
            "full": int(state is LoadState.FULL),
            "became_full": self._changes[LoadState.FULL],
            "outputs_shed": self._shedding.shed_count,
            "outputs_restored": self._shedding.restored_count,
        }


@dataclass(slots=True)
class ThreadCpu:
    """The share of one core a thread of this process uses, smoothed."""

    find: Callable[[], int | None]
    """Returns the system's id of the thread, once it runs."""
    _thread_id: int | None = None
    _cpu_s: float = 0.0
    _at_s: float = 0.0
    _share: float = 0.0

    def share(self) -> float:
        """Return the share, with the time since the last call taken in; 0 of a thread that is not there."""
        self._thread_id = self._thread_id or self.find()
        now_s, cpu_s = time.monotonic(), _cpu_s(self._thread_id)
        if self._at_s and now_s > self._at_s:
            latest = max(0.0, cpu_s - self._cpu_s) / (now_s - self._at_s)
            self._share += CPU_WEIGHT * (latest - self._share)
        self._at_s, self._cpu_s = now_s, cpu_s
        return self._share


@dataclass(slots=True)
class Lag:
    """How long what is posted to the media thread waits there."""

    media: Media
    _asked_s: float = 0.0
    _answer: "Future[float] | None" = field(default=None)
    _smoothed_ms: float = 0.0

    def smoothed_ms(self) -> float:
        """Return the wait of the last question, or how long it has waited so far, smoothed; and ask anew."""
        now_s = time.monotonic()
        if self._answer is not None:
            done = self._answer.done() and self._answer.exception() is None
            waited_s = (self._answer.result() if done else now_s) - self._asked_s
            self._smoothed_ms += LAG_WEIGHT * (waited_s * 1000 - self._smoothed_ms)
        if self._answer is None or self._answer.done():
            self._asked_s = now_s
            try:
                self._answer = self.media.call(time.monotonic)
            except InternalError:  # Its queue of work is full: what was asked last goes on ageing.
                log.debug("media_thread_busy")
        return self._smoothed_ms


def limits_of(memory_bytes: int, recorders_count: int) -> LoadLimits:
    """Return this process's limits; without `memory_bytes`, its part of four fifths of the machine's or container's."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    memory_bytes = memory_bytes or int(0.8 * _machine_bytes() / recorders_count)
    return LoadLimits(QUEUE_BYTES_MAX, memory_bytes, descriptors)


def _machine_bytes() -> int:
    """Return the memory of the machine, or less if a control group bounds it."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    bounds = [installed]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            bounds.append(int(Path(path).read_text(encoding="ascii")))
        except (OSError, ValueError):  # Not there, or "max".
            continue
    return min(bounds)


def _cpu_s(thread_id: int | None) -> float:
    """Return the CPU a thread of this process has used, by its own clock (Linux: include/linux/posix-timers.h)."""
    if thread_id is None:
        return 0.0
    try:
        return time.clock_gettime((~thread_id << 3) | _PER_THREAD | _CPU_USED)
    except OSError:  # It has ended.
        return 0.0


def _thread_named(name: str) -> int | None:
    for task in Path("/proc/self/task").iterdir():
        try:
            if (task / "comm").read_text(encoding="ascii").strip() == name:
                return int(task.name)
        except OSError:
            continue
    return None
