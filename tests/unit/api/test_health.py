"""Health is asked of the parts once a second, whoever wants to know it, and says how old it is."""

import asyncio
import contextlib
import time
from types import SimpleNamespace

import anyio
import pytest
from support.asgi import call
from support.book import AccountBook, commands

from soloist.api import health
from soloist.api.app import create_app
from soloist.api.health import STALE_S, HealthWatch
from soloist.api.metrics import MetricSources

pytestmark = pytest.mark.anyio


class Part:
    def __init__(self):
        self.asked = 0
        self.fault = None

    async def probe(self):
        self.asked += 1
        await anyio.sleep(0.01)
        if self.fault:
            raise self.fault


def edge(part, **options):
    accounts = AccountBook()
    probes = {"database": part.probe}
    return create_app(commands=commands(accounts), accounts=accounts, recorders={}, probes=probes, **options)


async def test_a_crowd_that_asks_at_once_costs_one_probe():
    part, answers = Part(), []
    app = edge(part)

    async def ask():
        answers.append(await call(app, "GET", "/soloist/v1/health"))

    async with anyio.create_task_group() as crowd:
        for _ in range(600):
            crowd.start_soon(ask)

    assert part.asked == 1
    assert {answer.status for answer in answers} == {200}


async def test_an_answer_says_how_old_it_is_and_a_second_later_it_is_another():
    part, now = Part(), [100.0]
    watch = HealthWatch({"database": part.probe}, seconds=lambda: now[0])

    assert await watch.read() == (await watch.read())
    now[0] += 0.9
    assert (await watch.read())[1] == pytest.approx(0.9)
    part.fault = OSError("away")
    now[0] += 0.2
    found, age_s = await watch.read()

    assert (found.is_well, age_s, part.asked) == (False, 0, 2)


async def test_while_it_runs_nobody_waits_for_a_part_that_hangs():
    part = Part()
    watch = HealthWatch({"database": part.probe})
    async with watch.running():
        await watch.read()

        async def hang():
            await anyio.sleep_forever()

        watch._probes = {"database": hang}
        await anyio.sleep(1.5)
        with anyio.fail_after(0.05):
            found, age_s = await watch.read()
        assert found.is_well
        assert age_s > 0.4
        await anyio.sleep(2.5)
        assert not (await watch.read())[0].is_well


async def test_a_busy_event_loop_does_not_make_the_parts_look_ill():
    part = Part()
    watch = HealthWatch({"database": part.probe})
    async with watch.running():
        time.sleep(3)  # noqa: ASYNC251 - the very thing that is tried
        found, age_s = await watch.read()

    assert found.is_well
    assert age_s < 2
    assert part.asked >= 3


async def test_a_crowd_that_scrapes_costs_one_reading():
    part = Part()

    counts = SimpleNamespace(
        jobs={}, files={}, notices={}, oldest_notice_s=0, callbacks_paused=0, jobs_untaken=0, oldest_untaken_s=0
    )

    async def tally():
        await part.probe()
        return counts

    app, answers = edge(Part(), metrics=MetricSources(tally=tally)), []

    async def scrape():
        answers.append((await call(app, "GET", "/metrics", client=("127.0.0.1", 1))).status)

    async with anyio.create_task_group() as crowd:
        for _ in range(50):
            crowd.start_soon(scrape)

    assert (part.asked, answers) == (1, [200] * 50)


async def test_a_part_that_cannot_be_called_back_from_its_hanging_fails_and_is_asked_no_more_until_it_ends(monkeypatch):
    monkeypatch.setattr(health, "PROBE_TIMEOUT_S", 0.05)
    asked, end, now = [], asyncio.Event(), [100.0]

    async def frozen():
        asked.append(None)
        while not end.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await end.wait()

    watch = HealthWatch({"database": frozen}, seconds=lambda: now[0])
    states = []
    for _ in range(3):
        found, _ = await asyncio.wait_for(watch.read(), 2)
        states.append(found.parts["database"])
        now[0] += 2
    end.set()
    await asyncio.sleep(0.05)
    found, _ = await watch.read()

    assert states == ["failing"] * 3
    assert len(asked) == 2
    assert found.parts == {"database": "ok"}


async def test_a_look_that_is_too_old_says_that_nobody_knows():
    part, now = Part(), [100.0]
    watch = HealthWatch({"database": part.probe}, seconds=lambda: now[0])
    async with watch.running():
        assert (await watch.read())[0].is_well
        await anyio.to_thread.run_sync(lambda: time.sleep(0.1))
        now[0] += STALE_S + 1
        found, age_s = await watch.read()

    assert (found.is_well, found.parts, age_s) == (False, {"database": "failing"}, pytest.approx(STALE_S + 1, abs=1))
