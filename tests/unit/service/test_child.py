"""A child is started again, also when the system refuses a process at first."""

import asyncio
import subprocess
import sys

import pytest

from soloist.service import child as child_module
from soloist.service.child import Child, Manner

pytestmark = pytest.mark.anyio


class Sleeper:
    """A real process that is ready at once."""

    def __init__(self, seconds):
        self.process = subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({seconds})"])

    async def ready(self):
        return {}


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


def refuse():
    raise OSError(11, "Resource temporarily unavailable")
