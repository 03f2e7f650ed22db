"""Who may upload when many want to."""

import asyncio

import pytest

from soloist.storage.pool import UploadPool

pytestmark = pytest.mark.anyio


class Dock:
    """Jobs that upload through a pool, each for one turn of the loop; keeps their order and how many went at once."""

    def __init__(self, turns):
        self.pool, self.order, self.now, self.most = UploadPool(turns), [], 0, 0

    async def upload(self, job_id):
        async with self.pool.turn(job_id):
            self.order.append(job_id)
            self.now += 1
            self.most = max(self.most, self.now)
            await asyncio.sleep(0.001)
            self.now -= 1


async def test_no_more_go_at_once_than_there_are_turns():
    dock = Dock(3)
    await asyncio.gather(*(dock.upload(f"job{number}") for number in range(200)))

    assert len(dock.order) == 200
    assert dock.most == 3


async def test_a_job_with_many_files_delays_anothers_only_one_by_a_single_upload():
    dock = Dock(1)
    await asyncio.gather(*(dock.upload("busy") for _ in range(50)), dock.upload("late"), dock.upload("later"))

    assert dock.order.index("late") == 2
    assert dock.order.index("later") == 3


async def test_an_upload_that_fails_or_is_cancelled_gives_its_turn_back():
    dock = Dock(1)
    first = asyncio.create_task(dock.upload("a"))
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(dock.upload(name)) for name in "bcd"]
    await asyncio.sleep(0)
    waiting[0].cancel()
    first.cancel()
    await asyncio.gather(first, *waiting, return_exceptions=True)
    with pytest.raises(ZeroDivisionError):
        async with dock.pool.turn("e"):
            raise ZeroDivisionError

    await asyncio.wait_for(dock.upload("f"), 1)
    assert dock.order == ["a", "c", "d", "f"]


async def test_one_that_is_cancelled_as_its_turn_comes_passes_it_on():
    dock = Dock(1)
    first = asyncio.create_task(dock.upload("a"))
    await asyncio.sleep(0)
    second = asyncio.create_task(dock.upload("b"))
    await asyncio.sleep(0)
    dock.pool._give_back()  # b's turn has come, but it has not run yet
    second.cancel()
    await asyncio.gather(first, second, return_exceptions=True)

    await asyncio.wait_for(dock.upload("c"), 1)
    assert dock.order == ["a", "c"]
