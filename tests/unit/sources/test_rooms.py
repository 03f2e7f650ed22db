"""Rooms live from first join to last leave, and the idle clock watches the room, not the recorded participant."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from support.ear import Ear
from support.frames import audio_frame
from support.scripted_receiver import ScriptedReceiver
from support.session_items import ClosedValue, ConnectedValue

from soloist.model.ids import AppId, ParticipantId, RoomId
from soloist.model.media import TrackSource
from soloist.sources.ingest import StreamKey
from soloist.sources.receiver import MediaThread
from soloist.sources.rooms import Publisher, RoomLimits, Rooms, RoomsFullError

pytestmark = pytest.mark.anyio
APP, ROOM = AppId("demo"), RoomId("r")


class ManualClock:
    """Monotonic seconds that pass only by `advance`."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._moved = asyncio.Event()

    def now(self) -> float:
        return self._now

    async def wait(self, event: asyncio.Event, timeout_s: float | None) -> None:
        deadline = None if timeout_s is None else self._now + timeout_s
        while not event.is_set() and (deadline is None or self._now < deadline):
            waits = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(self._moved.wait())]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for one in waits:
                    one.cancel()

    async def advance(self, seconds: float) -> None:
        self._now += seconds
        self._moved.set()
        self._moved = asyncio.Event()
        await settle()


async def settle() -> None:
    """Let everything that can run, run."""
    for _ in range(20):
        await asyncio.sleep(0)


class House:
    """Rooms over a scripted receiver and a clock of our own."""

    def __init__(self, limits: RoomLimits | None = None) -> None:
        self.core = ScriptedReceiver()
        self.media = MediaThread(self.core)  # type: ignore[arg-type]
        self.media.start()
        self.clock = ManualClock()
        self.rooms = Rooms(self.media, clock=self.clock, limits=limits, linger_s=0)
        self.left: list[str] = []

    def join(self, user: str = "alice", source: TrackSource = TrackSource.CAMERA, room: str = ROOM) -> Publisher:
        key = StreamKey(APP, RoomId(room), ParticipantId(user), source)
        return self.rooms.publish(key, "v=0", [], self.left.append)[0]

    async def emit(self, publisher: Publisher, *items: object) -> None:
        """Have the session say something; return when it has had its effect."""
        self.core.emit(publisher.session, *items)
        await asyncio.wrap_future(self.media.call(lambda: None))
        await asyncio.wrap_future(self.media.call(lambda: None))
        await settle()

    async def watch_idle(self, seconds: float, **options: timedelta) -> "asyncio.Task[None]":
        task = asyncio.ensure_future(self.rooms.wait_idle(APP, ROOM, timedelta(seconds=seconds), **options))
        await settle()
        return task


@pytest.fixture
async def house() -> AsyncIterator[House]:
    built = House()
    yield built
    built.media.stop()


async def test_a_room_exists_from_first_join_to_last_leave(house: House) -> None:
    alice, bob = house.join("alice"), house.join("bob")
    assert (house.rooms.rooms_count, house.rooms.publishers_count) == (1, 2)

    house.rooms.leave(alice)
    assert [publisher.key.participant_id for publisher in house.rooms.publishers(APP, ROOM)] == ["bob"]

    house.rooms.leave(bob)
    assert (house.rooms.rooms_count, house.rooms.publishers_count) == (0, 0)
    assert house.left == ["left", "left"]


async def test_users_removed_leave_with_all_they_publish_and_their_sessions_are_closed(house: House) -> None:
    camera, screen = house.join(), house.join(source=TrackSource.SCREEN)
    house.join("bob")

    assert house.rooms.remove(APP, ROOM, [ParticipantId("alice"), ParticipantId("nobody")])

    assert [publisher.key.participant_id for publisher in house.rooms.publishers(APP, ROOM)] == ["bob"]
    assert house.left == ["removed", "removed"]
    assert house.core.sessions_closed == [camera.session, screen.session]


async def test_a_dismissed_room_is_empty_and_its_idle_clock_runs(house: House) -> None:
    house.join("alice")
    house.join("bob")
    task = await house.watch_idle(30)

    assert house.rooms.remove(APP, ROOM)
    assert house.rooms.rooms_count == 0
    assert not house.rooms.remove(APP, ROOM)

    await house.clock.advance(30)
    assert not task.done()
    await house.clock.advance(1)
    await task


async def test_a_publisher_whose_connection_dies_leaves_by_itself(house: House) -> None:
    alice = house.join()

    await house.emit(alice, ConnectedValue(), ClosedValue("timeout"))

    assert house.rooms.publishers(APP, ROOM) == []
    assert house.left == ["timeout"]


async def test_a_publisher_of_the_same_stream_replaces_the_earlier_one_once_connected(house: House) -> None:
    first, second = house.join(), house.join()
    await house.emit(first, ConnectedValue())
    assert len(house.rooms.publishers(APP, ROOM)) == 2

    await house.emit(second, ConnectedValue())

    assert house.rooms.publishers(APP, ROOM) == [second]
    assert house.core.sessions_closed == [first.session]


async def test_a_subscription_before_the_room_exists_hears_the_first_frame(house: House) -> None:
    ear = Ear()
    subscription = await house.rooms.subscribe(
        APP, ROOM, ParticipantId("alice"), sources=frozenset({TrackSource.CAMERA}), subscriber=ear
    )

    alice = house.join()
    await house.emit(alice, ConnectedValue(), audio_frame(0))
    await subscription.close()
    await house.emit(alice, audio_frame(1))

    assert [told for told in ear.told if told[0] != "tick"] == [("attached", 1), ("items", 1, 1)]


async def test_the_room_limit_refuses_one_more_room_but_not_one_more_publisher() -> None:
    house = House(RoomLimits(rooms_max=1, publishers_per_room_max=2))
    house.join("alice")
    house.join("bob")

    with pytest.raises(RoomsFullError, match="1 rooms"):
        house.join("carol", room="other")
    with pytest.raises(RoomsFullError, match="2 publishers"):
        house.join("carol")
    house.media.stop()


async def test_a_room_nobody_ever_enters_is_idle_after_the_timeout_and_not_before(house: House) -> None:
    idle = await house.watch_idle(30)

    await house.clock.advance(30)
    assert not idle.done()

    await house.clock.advance(0.001)
    assert idle.done()


async def test_a_co_host_stops_the_clock_and_the_last_to_leave_starts_it_anew(house: House) -> None:
    idle = await house.watch_idle(30)
    await house.clock.advance(29)
    bob = house.join("bob")
    await house.clock.advance(1000)
    assert not idle.done()

    house.rooms.leave(bob)
    await house.clock.advance(30)
    assert not idle.done()

    await house.clock.advance(0.001)
    assert idle.done()


async def test_another_participant_keeps_the_recording_of_one_who_left_alive(house: House) -> None:
    alice, _bob = house.join("alice"), house.join("bob")
    idle = await house.watch_idle(5)

    house.rooms.leave(alice)
    await house.clock.advance(3600)

    assert not idle.done()
    idle.cancel()


async def test_time_before_the_job_began_does_not_count(house: House) -> None:
    other = await house.watch_idle(10_000)
    house.rooms.leave(house.join())
    await house.clock.advance(500)

    idle = await house.watch_idle(30)
    await house.clock.advance(29)
    assert not idle.done()

    await house.clock.advance(2)
    assert idle.done()
    other.cancel()


async def test_after_a_restart_former_publishers_are_presumed_present_for_a_while(house: House) -> None:
    idle = await house.watch_idle(30, presumed_for=timedelta(seconds=45))

    await house.clock.advance(75)
    assert not idle.done()

    await house.clock.advance(1)
    assert idle.done()


async def test_a_given_up_wait_leaves_nothing_behind(house: House) -> None:
    idle = await house.watch_idle(30)
    idle.cancel()
    await settle()

    assert house.rooms._rooms == {}


async def test_published_streams_are_told_with_their_age_and_their_rooms(house: House) -> None:
    house.join("alice")
    await house.clock.advance(5)
    house.join("bob", TrackSource.SCREEN)
    await house.clock.advance(2)

    alice, bob = house.rooms.streams()
    assert (alice.key.participant_id, alice.age_s, alice.room_age_s) == ("alice", 7, 7)
    assert (bob.key.participant_id, bob.age_s, bob.room_age_s) == ("bob", 2, 7)
    assert bob.key.source is TrackSource.SCREEN


async def test_a_room_that_was_left_by_all_begins_anew_although_somebody_waits_on_it(house: House) -> None:
    waiting = await house.watch_idle(30)
    house.rooms.leave(house.join("alice"))
    await house.clock.advance(10)
    house.join("alice")

    (stream,) = house.rooms.streams()
    assert stream.room_age_s == 0
    waiting.cancel()


async def test_a_join_wakes_who_waits_for_one_and_is_not_told_twice(house: House) -> None:
    house.join()
    await asyncio.wait_for(house.rooms.wait_join(60), 1)
    again = asyncio.ensure_future(house.rooms.wait_join(60))
    await settle()
    assert not again.done()

    house.join("bob")
    await asyncio.wait_for(again, 1)
