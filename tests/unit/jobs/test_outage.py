"""What a recorder allows itself while and after the database is away."""

import pytest

from soloist.jobs import outage
from soloist.jobs.outage import PAUSE_S_MAX, SILENCE_S, STALLED_S, Reachability, persist

pytestmark = pytest.mark.anyio


class ManualClock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_nothing_is_published_or_reaped_before_the_database_first_answers():
    reachability = Reachability(ManualClock())
    assert not reachability.may_publish
    assert not reachability.may_reap


def test_publishing_stops_before_anybody_can_take_over():
    clock = ManualClock()
    reachability = Reachability(clock)
    reachability.answered()
    clock.now += SILENCE_S
    assert reachability.may_publish
    clock.now += 0.1
    assert not reachability.may_publish
    assert SILENCE_S < STALLED_S


def test_reaping_waits_until_others_could_show_that_they_live():
    clock = ManualClock()
    reachability = Reachability(clock)
    for _ in range(20):
        reachability.answered()
        clock.now += 1
    assert reachability.may_reap
    clock.now += 60
    reachability.answered()
    assert reachability.may_publish
    assert not reachability.may_reap
    for _ in range(8):
        clock.now += 1
        reachability.answered()
    assert reachability.may_reap


async def test_persisting_goes_on_through_an_outage_with_growing_pauses(monkeypatch):
    answers = [ConnectionRefusedError, ConnectionRefusedError, TimeoutError, ConnectionRefusedError, None]
    pauses = []

    async def no_sleep(seconds):
        pauses.append(seconds)

    async def work():
        failure = answers.pop(0)
        if failure:
            raise failure
        return "done"

    monkeypatch.setattr(outage.asyncio, "sleep", no_sleep)
    assert await persist(work, what="try") == "done"
    assert pauses == sorted(pauses)
    assert max(pauses) <= PAUSE_S_MAX


async def test_an_error_that_is_no_outage_is_the_callers_at_once():
    async def work():
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        await persist(work, what="try")
