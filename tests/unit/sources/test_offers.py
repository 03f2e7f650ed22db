"""Offers are answered off the event loop, in turn, within their time."""

import asyncio
import threading
import time
from collections.abc import Sequence

import pytest

from soloist.core import OfferError
from soloist.model.ids import AppId, ParticipantId, RoomId
from soloist.model.media import Codec
from soloist.sources.offers import Answered, Offers, OffersBusyError, Participant

pytestmark = pytest.mark.anyio


def participant(name: str) -> Participant:
    return (AppId("demo"), RoomId("r"), ParticipantId(name))


class Core:
    """Answers as slowly as told; "dear" uses the processor, "slow" only waits."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.most_at_once = self.at_once = 0
        self.closed: list[int] = []
        self.has_closed = threading.Event()

    def answer(self, offer: str, _codecs: Sequence[Codec]) -> Answered:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if offer == "dear":
                while not self.gate.is_set():
                    pass
            elif offer == "slow":
                self.gate.wait(10)
            elif offer == "bad":
                raise OfferError("it is bad")
            return 7, "answer", ()
        finally:
            self.at_once -= 1

    def close(self, session: int) -> None:
        self.closed.append(session)
        self.has_closed.set()


@pytest.fixture
def core() -> Core:
    return Core()


@pytest.fixture
def offers(core: Core) -> Offers:
    return Offers(core.answer, core.close)


async def test_an_offer_is_answered_and_a_bad_one_refused(offers: Offers) -> None:
    assert await offers.answer(participant("a"), "good", []) == (7, "answer", ())
    with pytest.raises(OfferError, match="it is bad"):
        await offers.answer(participant("a"), "bad", [])
    assert (offers.waiting_count, offers.late_count, offers.refused_count) == (0, 0, 0)


async def test_a_dear_offer_is_refused_in_time_the_loop_goes_on_and_its_session_is_closed(
    offers: Offers, core: Core
) -> None:
    turns, began = 0, time.monotonic()
    answering = asyncio.ensure_future(offers.answer(participant("a"), "dear", []))
    while not answering.done():
        turns += 1
        await asyncio.sleep(0.005)

    with pytest.raises(OfferError, match="too long"):
        await answering
    assert time.monotonic() - began < 3
    assert turns > 10
    assert offers.late_count == 1
    core.gate.set()
    await asyncio.to_thread(core.has_closed.wait, 5)
    assert core.closed == [7]


async def test_a_participants_offers_are_answered_one_at_a_time_and_few_may_wait(offers: Offers, core: Core) -> None:
    waiting = [asyncio.ensure_future(offers.answer(participant("a"), "slow", [])) for _ in range(4)]
    await asyncio.sleep(0.05)

    with pytest.raises(OffersBusyError, match="4 offers of this participant"):
        await offers.answer(participant("a"), "good", [])
    assert await offers.answer(participant("b"), "good", []) == (7, "answer", ())
    core.gate.set()
    await asyncio.gather(*waiting)
    assert core.most_at_once <= 2
    assert (offers.refused_count, offers.waiting_count) == (1, 0)


async def test_offers_that_wait_are_bounded_in_all(offers: Offers, core: Core) -> None:
    waiting = [asyncio.ensure_future(offers.answer(participant(f"u{n}"), "slow", [])) for n in range(128)]
    await asyncio.sleep(0.05)

    with pytest.raises(OffersBusyError, match="128 offers of this recorder"):
        await offers.answer(participant("late"), "good", [])
    core.gate.set()
    await asyncio.gather(*waiting)


async def test_who_lets_many_wait_takes_no_other_projects_place(offers: Offers, core: Core) -> None:
    slow = [offers.answer(participant(f"u{n}"), "slow", [], project="greedy") for n in range(128)]
    waiting = [asyncio.ensure_future(one) for one in slow]
    await asyncio.sleep(0.05)

    other = asyncio.ensure_future(offers.answer(participant("other"), "good", [], project="other"))
    with pytest.raises(OffersBusyError):
        await offers.answer(participant("late"), "good", [], project="greedy")
    core.gate.set()
    assert await other == (7, "answer", ())
    await asyncio.gather(*waiting)
    assert (offers.waiting_count, offers.refused_count) == (0, 1)


async def test_whoever_hangs_up_leaves_no_session(offers: Offers, core: Core) -> None:
    answering = asyncio.ensure_future(offers.answer(participant("a"), "slow", []))
    await asyncio.sleep(0.05)
    answering.cancel()
    await asyncio.sleep(0)
    core.gate.set()
    await asyncio.to_thread(core.has_closed.wait, 5)
    assert (core.closed, offers.waiting_count) == ([7], 0)
