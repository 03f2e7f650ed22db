"""Rooms live from first join to last leave, and the idle clock watches the room, not the recorded participant."""

import asyncio
import threading
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
from soloist.sources.joining import RoomLimits, RoomsFullError
from soloist.sources.receiver import MediaThread
from soloist.sources.rooms import Publisher, Rooms

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

    def offer(self, user: str = "alice", source: TrackSource = TrackSource.CAMERA, room: str = ROOM) -> Publisher:
        """Have an offer answered."""
        key = StreamKey(APP, RoomId(room), ParticipantId(user), source)
        self.rooms.check_limits(key, "project")
        return self.rooms.publish(key, self.media.accept_offer("v=0", []), self.left.append, project="project")

    async def join(self, user: str = "alice", source: TrackSource = TrackSource.CAMERA, room: str = ROOM) -> Publisher:
        """Have an offer answered, and its publisher connected."""
        publisher = self.offer(user, source, room)
        await self.emit(publisher, ConnectedValue())
        return publisher

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
    alice, bob = await house.join("alice"), await house.join("bob")
    assert (house.rooms.rooms_count, house.rooms.publishers_count) == (1, 2)

    house.rooms.leave(alice)
    assert [publisher.key.participant_id for publisher in house.rooms.publishers(APP, ROOM)] == ["bob"]

    house.rooms.leave(bob)
    assert (house.rooms.rooms_count, house.rooms.publishers_count) == (0, 0)
    assert house.left == ["left", "left"]


async def test_users_removed_leave_with_all_they_publish_and_their_sessions_are_closed(house: House) -> None:
    camera, screen = await house.join(), await house.join(source=TrackSource.SCREEN)
    await house.join("bob")

    assert house.rooms.remove(APP, ROOM, [ParticipantId("alice"), ParticipantId("nobody")])

    assert [publisher.key.participant_id for publisher in house.rooms.publishers(APP, ROOM)] == ["bob"]
    assert house.left == ["removed", "removed"]
    assert house.core.sessions_closed == [camera.session, screen.session]


async def test_a_dismissed_room_is_empty_and_its_idle_clock_runs(house: House) -> None:
    await house.join("alice")
    await house.join("bob")
    task = await house.watch_idle(30)

    assert house.rooms.remove(APP, ROOM)
    assert house.rooms.rooms_count == 0
    assert not house.rooms.remove(APP, ROOM)

    await house.clock.advance(30)
    assert not task.done()
    await house.clock.advance(1)
    await task


async def test_a_publisher_whose_connection_dies_leaves_by_itself(house: House) -> None:
    alice = await house.join()

    await house.emit(alice, ClosedValue("timeout"))

    assert house.rooms.publishers(APP, ROOM) == []
    assert house.left == ["timeout"]


async def test_a_publisher_of_the_same_stream_replaces_the_earlier_one_once_connected(house: House) -> None:
    first, second = await house.join(), house.offer()
    assert house.rooms.publishers(APP, ROOM) == [first]

    await house.emit(second, ConnectedValue())
    await house.emit(second)  # The earlier one's end comes after it.

    assert house.rooms.publishers(APP, ROOM) == [second]
    assert house.core.sessions_closed == [first.session]


async def test_a_subscription_before_the_room_exists_hears_the_first_frame(house: House) -> None:
    ear = Ear()
    subscription = await house.rooms.subscribe(
        APP, ROOM, ParticipantId("alice"), sources=frozenset({TrackSource.CAMERA}), subscriber=ear
    )

    alice = await house.join()
    await house.emit(alice, audio_frame(0))
    await subscription.close()
    await house.emit(alice, audio_frame(1))

    assert [told for told in ear.told if told[0] != "tick"] == [("attached", 1), ("items", 1, 1)]


async def test_the_room_limit_refuses_one_more_room_but_not_one_more_publisher() -> None:
    house = House(RoomLimits(rooms_max=1, publishers_per_room_max=2))
    await house.join("alice")
    await house.join("bob")

    with pytest.raises(RoomsFullError, match="1 rooms"):
        await house.join("carol", room="other")
    with pytest.raises(RoomsFullError, match="2 publishers"):
        await house.join("carol")
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
    bob = await house.join("bob")
    await house.clock.advance(1000)
    assert not idle.done()

    house.rooms.leave(bob)
    await house.clock.advance(30)
    assert not idle.done()

    await house.clock.advance(0.001)
    assert idle.done()


async def test_another_participant_keeps_the_recording_of_one_who_left_alive(house: House) -> None:
    alice, _bob = await house.join("alice"), await house.join("bob")
    idle = await house.watch_idle(5)

    house.rooms.leave(alice)
    await house.clock.advance(3600)

    assert not idle.done()
    idle.cancel()


async def test_time_before_the_job_began_does_not_count(house: House) -> None:
    other = await house.watch_idle(10_000)
    house.rooms.leave(await house.join())
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
    await house.join("alice")
    await house.clock.advance(5)
    await house.join("bob", TrackSource.SCREEN)
    await house.clock.advance(2)

    alice, bob = house.rooms.streams()
    assert (alice.key.participant_id, alice.age_s, alice.room_age_s) == ("alice", 7, 7)
    assert (bob.key.participant_id, bob.age_s, bob.room_age_s) == ("bob", 2, 7)
    assert bob.key.source is TrackSource.SCREEN


async def test_a_room_that_was_left_by_all_begins_anew_although_somebody_waits_on_it(house: House) -> None:
    waiting = await house.watch_idle(30)
    house.rooms.leave(await house.join("alice"))
    await house.clock.advance(10)
    await house.join("alice")

    (stream,) = house.rooms.streams()
    assert stream.room_age_s == 0
    waiting.cancel()


async def test_a_join_wakes_who_waits_for_one_and_is_not_told_twice(house: House) -> None:
    await house.join()
    await asyncio.wait_for(house.rooms.wait_join(60), 1)
    again = asyncio.ensure_future(house.rooms.wait_join(60))
    await settle()
    assert not again.done()

    await house.join("bob")
    await asyncio.wait_for(again, 1)


async def test_who_is_not_connected_counts_for_nothing(house: House) -> None:
    idle = await house.watch_idle(30)
    ghost = house.offer()
    await house.clock.advance(31)

    assert idle.done()
    assert (house.rooms.rooms_count, house.rooms.publishers_count, house.rooms.streams()) == (0, 0, [])
    assert house.rooms.joining.count == 1

    await house.emit(ghost, ClosedValue("timeout"))
    assert (house.left, house.rooms.joining.count, house.rooms._rooms) == (["timeout"], 0, {})


async def test_of_one_stream_two_may_connect_and_a_newer_one_replaces_the_oldest(house: House) -> None:
    connected = await house.join()
    oldest, middle, newest = house.offer(), house.offer(), house.offer()

    assert house.core.sessions_closed == [oldest.session]
    assert house.left == ["replaced"]
    assert house.rooms.publishers(APP, ROOM) == [connected]

    await house.emit(middle, ConnectedValue())
    await house.emit(middle)  # The earlier one's end comes after it.
    assert house.rooms.publishers(APP, ROOM) == [middle]
    assert house.rooms.joining.count == 1
    house.rooms.leave(newest)
    assert house.rooms.joining.count == 0


async def test_ghosts_fill_their_own_projects_places_only() -> None:
    house = House(RoomLimits(pending_max=4, pending_per_project_max=3))
    for index in range(3):
        house.offer(f"ghost-{index}")

    with pytest.raises(RoomsFullError, match="the project has 3 publishers that connect"):
        house.offer("ghost-4")
    other = StreamKey(AppId("other"), ROOM, ParticipantId("bob"), TrackSource.CAMERA)
    house.rooms.check_limits(other, "other")
    assert house.rooms.joining.refused_count == 1
    house.media.stop()


async def test_a_full_room_may_join_at_once_and_keeps_nobody_elses_out() -> None:
    house = House()
    for index in range(500):
        house.offer(f"pupil-{index}")

    with pytest.raises(RoomsFullError, match="the project has 500 publishers that connect"):
        house.offer("late")
    other = StreamKey(AppId("other"), ROOM, ParticipantId("bob"), TrackSource.CAMERA)
    house.rooms.check_limits(other, "other")
    house.media.stop()


async def test_rooms_of_one_project_keep_nobody_else_out() -> None:
    house = House(RoomLimits(rooms_max=4, rooms_per_project_max=4))
    for index in range(4):
        await house.join("alice", room=f"r{index}")

    with pytest.raises(RoomsFullError, match="4 rooms"):
        house.offer("alice", room="one more")
    other = StreamKey(AppId("other"), ROOM, ParticipantId("bob"), TrackSource.CAMERA)
    house.rooms.check_limits(other, "other")
    house.media.stop()


async def test_what_was_received_before_a_subscription_ends_is_heard(house: House) -> None:
    ear = Ear()
    subscription = await house.rooms.subscribe(
        APP, ROOM, ParticipantId("alice"), sources=frozenset({TrackSource.CAMERA}), subscriber=ear
    )
    alice = await house.join()
    busy = threading.Event()
    house.media.post(lambda: busy.wait(5) and None)
    house.core.emit(alice.session, audio_frame(0), audio_frame(1))
    closing = asyncio.ensure_future(subscription.close())
    await settle()
    busy.set()
    await closing

    assert ("items", 1, 2) in ear.told
