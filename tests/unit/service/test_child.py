"""A child is started again, also when the system refuses a process at first."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from soloist.service import child as child_module
from soloist.service.child import MALLOC, Child, Manner, spawn_soloist

pytestmark = pytest.mark.anyio


class Sleeper:
    """A real process that is ready at once."""

    def __init__(self, seconds):
        self.process = subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({seconds})"])

    async def ready(self):
        return {}


class Mayfly:
    """A process that is ready and says nothing of its end; `Child.wait` is the test's."""

    process = SimpleNamespace(pid=1)

    async def ready(self):
        return {}


def environment_of(pid):
    while not (text := Path(f"/proc/{pid}/environ").read_text()):
        time.sleep(0.001)  # The kernel is still loading it.
    return text.split("\0")


async def test_a_failed_respawn_does_not_end_the_watch(monkeypatch):
    monkeypatch.setattr(child_module, "PAUSE_S_MIN", 0.005)
    monkeypatch.setattr(child_module, "PAUSE_S_MAX", 0.01)
    starts = iter([lambda: Sleeper(0), refuse, refuse, lambda: Sleeper(60)])
    again = asyncio.Event()

    def spawn():
        started = next(starts)()
        if started.process.args[-1].endswith("(60)"):
            again.set()
        return started

    child = Child("recorder-0", spawn, Manner())
    await child.start()
    watching = asyncio.create_task(child.watch())
    await asyncio.wait_for(again.wait(), 10)
    await child.stop()
    await asyncio.wait_for(watching, 10)


async def test_a_child_that_keeps_dying_is_restarted_after_twice_as_long_each_time_up_to_10_s(monkeypatch):
    pauses, lives_s = [], iter([0, 0, 0, 0, 0, 0, 0, 31, 0, 0])
    clock = [0.0]

    async def no_sleep(seconds):
        pauses.append(seconds)

    async def live(_self):
        clock[0] += next(lives_s)
        if len(pauses) == 9:
            child._is_stopping = True
        return 1

    monkeypatch.setattr(child_module.asyncio, "sleep", no_sleep)
    monkeypatch.setattr(child_module.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(Child, "wait", live)
    child = Child("recorder-0", Mayfly, Manner())
    await child.start()
    await child.watch()

    assert pauses == [0.4, 0.8, 1.6, 3.2, 6.4, 10, 10, 0.2, 0.4]


def refuse():
    raise OSError(11, "Resource temporarily unavailable")


async def test_a_child_of_ours_gives_memory_back_unless_the_operator_chose_otherwise(monkeypatch):
    monkeypatch.setenv("MALLOC_ARENA_MAX", "7")
    started = spawn_soloist(["--help"], {})
    told = environment_of(started.process.pid)
    await started.ready()
    await asyncio.to_thread(started.process.wait)

    assert {line for line in told if line.startswith("MALLOC")} == {
        "MALLOC_ARENA_MAX=7",
        f"MALLOC_TRIM_THRESHOLD_={MALLOC['MALLOC_TRIM_THRESHOLD_']}",
    }
