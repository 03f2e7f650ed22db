"""How the processes are put together: what ends a recorder."""

import asyncio
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from support.scripted_receiver import ScriptedReceiver

from soloist.app import give_back, media_ended
from soloist.sources.receiver import MediaThread

pytestmark = pytest.mark.anyio


class BreakingReceiver(ScriptedReceiver):
    """Fails on its first wait, as the core does when its I/O thread panicked."""

    def wait(self, timeout_ms):
        raise RuntimeError("the I/O thread is gone")


async def test_a_recorder_whose_media_thread_died_does_not_go_on_as_a_zombie():
    media = MediaThread(BreakingReceiver())
    media.start()
    await asyncio.wait_for(media_ended(media), 5)


async def test_a_recorder_whose_media_thread_lives_goes_on():
    media = MediaThread(ScriptedReceiver())
    media.start()
    try:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(media_ended(media), 0.05)
    finally:
        media.stop()


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def test_what_was_taken_for_a_moment_is_given_back_though_something_small_stays_between():
    taken = [bytearray(8_000) for _ in range(20_000)]
    kept, before_bytes = taken[::100], resident_bytes()
    taken.clear()
    giving = asyncio.create_task(give_back(0.01))
    await asyncio.sleep(0.2)
    giving.cancel()

    assert len(kept) == 200
    assert before_bytes - resident_bytes() > 100_000_000


def test_a_recorder_without_media_ends_with_a_status_its_supervisor_restarts():
    program = "from soloist.app import end_like_a_crash; end_like_a_crash()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "media_thread_died" in done.stdout + done.stderr
