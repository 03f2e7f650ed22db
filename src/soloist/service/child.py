"""A child process of ours: started, waited for, watched with a restart back-off, and stopped.

States in order: starting, ready, gone; from gone back to starting after a pause, unless it is being stopped.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from soloist.service.parent import READY_FD, SUPERVISOR_PID

log = structlog.get_logger("soloist.supervisor")

PAUSE_S_MIN = 0.2
PAUSE_S_MAX = 10.0
STEADY_S = 30.0
"""A child that lived this long is restarted at once."""
MALLOC = {"MALLOC_ARENA_MAX": "2", "MALLOC_TRIM_THRESHOLD_": "131072"}
"""For glibc, unless the operator says otherwise: else each of a recorder's threads keeps what its largest file once
took, 70 MB after the first ten files that end together (`make soak`)."""

ChildProcess = subprocess.Popen[bytes]


Report = dict[str, Any]
"""What a child says of itself when ready."""


class Started(Protocol):
    """A process just started."""

    @property
    def process(self) -> ChildProcess:
        """The process."""

    async def ready(self) -> Report | None:
        """Return its report once it serves; None if it ended first."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How one kind of child is asked to stop."""

    polite: signal.Signals = signal.SIGTERM
    patience_s: float = 5.0
    harsh: signal.Signals = signal.SIGKILL


class Child:
    """One process that should always run."""

    def __init__(self, name: str, spawn: Callable[[], Started], manner: Manner) -> None:
        self.name = name
        self._spawn = spawn
        self._manner = manner
        self._process: ChildProcess | None = None
        self._is_stopping = False

    async def start(self) -> Report | None:
        """Start it and return what it says of itself when ready; None if it ended instead."""
        started = self._spawn()
        self._process = started.process
        log.info("child_started", child=self.name, pid=self._process.pid)
        return await started.ready()

    async def watch(self) -> None:
        """Start it again whenever it ends; return when it was stopped."""
        pause_s = PAUSE_S_MIN
        while self._process is not None:
            began = time.monotonic()
            status = await self.wait()
            if self._is_stopping:
                return
            pause_s = PAUSE_S_MIN if time.monotonic() - began > STEADY_S else min(pause_s * 2, PAUSE_S_MAX)
            log.error("child_ended", child=self.name, status=status, restarting_in_s=pause_s)
            await asyncio.sleep(pause_s)
            if not self._is_stopping:
                pause_s = await self._start_again(pause_s)

    async def _start_again(self, pause_s: float) -> float:
        """Start it, however often the system refuses a process; return the pause reached meanwhile."""
        while not self._is_stopping:
            try:
                await self.start()
                break
            except (OSError, ValueError, subprocess.SubprocessError) as error:
                pause_s = min(pause_s * 2, PAUSE_S_MAX)
                log.error("child_not_started", child=self.name, error=str(error), again_in_s=pause_s)  # noqa: TRY400
                await asyncio.sleep(pause_s)
        return pause_s

    async def wait(self) -> int:
        """Return the exit status once it has ended."""
        return await asyncio.to_thread(self._process.wait) if self._process else 0

    async def stop(self) -> None:
        """Ask it to end, then make it; return when it has."""
        self._is_stopping = True
        if self._process is None:
            return
        self._signal(self._manner.polite)
        try:
            await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(self.wait())), self._manner.patience_s)
        except TimeoutError:
            log.error("child_killed", child=self.name, patience_s=self._manner.patience_s)  # noqa: TRY400 - no traceback
            self._signal(self._manner.harsh)
            await self.wait()

    def kill(self) -> None:
        """End it now."""
        self._is_stopping = True
        self._signal(self._manner.harsh)

    def _signal(self, which: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(which)


@dataclass(frozen=True, slots=True)
class SoloistStarted:
    """One of our own commands and the pipe it reports on."""

    process: ChildProcess
    ready_fd: int

    async def ready(self) -> Report | None:
        """Return what it reports; None if it ended without a report."""
        with os.fdopen(self.ready_fd, "rb") as pipe:
            text = await asyncio.to_thread(pipe.read)
        report: Report | None = json.loads(text) if text else None
        return report


def spawn_soloist(
    arguments: Sequence[str], environment: Mapping[str, str], launcher: Sequence[str] = ()
) -> SoloistStarted:
    """Start one of our own commands as a child that ends with us; settings and secrets go by the environment.

    Its session is its own, so that a Ctrl-C reaches the supervisor alone. `launcher` is a command that gives privileges
    up and then becomes the child, under the same process id.
    """
    reading, writing = os.pipe()
    variables = {**MALLOC, **os.environ, **environment, SUPERVISOR_PID: str(os.getpid()), READY_FD: str(writing)}
    try:
        process = subprocess.Popen(  # noqa: S603 - our own module
            [*launcher, sys.executable, "-m", "soloist", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            env=variables,
            pass_fds=[writing],
            start_new_session=True,
        )
    finally:
        os.close(writing)
    return SoloistStarted(process, reading)
