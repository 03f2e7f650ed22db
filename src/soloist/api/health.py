"""Whether the parts work, asked once a second however many want to know.

Each answer says how old it is. So a crowd that asks for health costs the database and the recorders nothing. Looking
has a thread and an event loop of its own: requests that keep this process busy cannot make the parts look ill.
"""

import asyncio
import contextlib
import functools
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace

import structlog

EVERY_S = 1.0
PROBE_TIMEOUT_S = 2.0
STALE_S = 10.0
"""Nobody knows whether the parts work if the latest look is older: looking itself hangs, or has ended."""

Probe = Callable[[], Awaitable[object]]
"""Returns if the part works, raises otherwise. Called in any event loop: it holds nothing that belongs to one."""

log = structlog.get_logger("soloist.api")


@dataclass(frozen=True, slots=True)
class Looked:
    """What one look at all parts found."""

    parts: Mapping[str, str]
    """`ok` or `failing`."""
    at: float
    """When it began, by the monotonic clock in seconds."""

    @property
    def is_well(self) -> bool:
        """Whether every part works."""
        return all(state == "ok" for state in self.parts.values())


class HealthWatch:
    """Looks at the parts; see the module."""

    def __init__(self, probes: Mapping[str, Probe], *, seconds: Callable[[], float] = time.monotonic) -> None:
        self._probes = probes
        self._seconds = seconds
        self._latest: Looked | None = None
        self._looking: asyncio.Task[Looked] | None = None
        self._is_running = False
        self._hanging: dict[str, asyncio.Task[object]] = {}
        """Questions that were given up and have not ended yet; a part is asked one at a time."""

    async def read(self) -> tuple[Looked, float]:
        """Return the latest look and its age in seconds; looks first if nobody has lately."""
        latest = self._latest
        if latest is None or (not self._is_running and self._seconds() - latest.at >= EVERY_S):
            latest = await self._look()
        age_s = max(0.0, self._seconds() - latest.at)
        if age_s > STALE_S:
            latest = replace(latest, parts=dict.fromkeys(latest.parts, "failing"))
        return latest, age_s

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look once a second while this lasts, from a thread that ends with it."""
        await self._look()
        began: Future[Callable[[], object]] = Future()
        thread = threading.Thread(target=lambda: asyncio.run(self._run(began)), name="health", daemon=True)
        thread.start()
        stop = await asyncio.wrap_future(began)
        self._is_running = True
        try:
            yield
        finally:
            self._is_running = False
            stop()
            await asyncio.to_thread(thread.join, PROBE_TIMEOUT_S)

    async def _run(self, began: "Future[Callable[[], object]]") -> None:
        """Look until what `began` is told is called, from whichever thread."""
        stop = asyncio.Event()
        began.set_result(functools.partial(asyncio.get_running_loop().call_soon_threadsafe, stop.set))
        while not stop.is_set():
            due = self._seconds() + EVERY_S
            await self._look_at_all()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), max(0.0, due - self._seconds()))

    async def _look(self) -> Looked:
        """Return what a look finds that begins now or is under way; those who ask meanwhile share it."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_at_all())
        return await asyncio.shield(self._looking)

    async def _look_at_all(self) -> Looked:
        at = self._seconds()
        states = await asyncio.gather(*(self._state(name, probe) for name, probe in self._probes.items()))
        self._latest = Looked(dict(zip(self._probes, states, strict=True)), at)
        return self._latest

    async def _state(self, name: str, probe: Probe) -> str:
        """Ask one part, and wait for its answer only: a question that cannot be called back is left to itself."""
        hanging = self._hanging.get(name)
        if hanging is not None and not hanging.done():
            return "failing"
        asked: asyncio.Task[object] = asyncio.ensure_future(_asked(probe))
        done, _ = await asyncio.wait((asked,), timeout=PROBE_TIMEOUT_S)
        if not done:
            asked.cancel()
            self._hanging[name] = asked
        error = asked.exception() if done and not asked.cancelled() else TimeoutError()
        if error is not None:
            log.warning("part failing", part=name, error=repr(error))
        return "ok" if error is None else "failing"


async def _asked(probe: Probe) -> object:
    return await probe()
