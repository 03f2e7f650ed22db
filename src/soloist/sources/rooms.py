"""Who is in which room, on the event loop: publishers, presence, subscriptions and the idle clock.

A room exists from its first join to its last leave. A publisher joins once it is connected; until then it is pending
(`joining.py`) and counts for nothing. It is keyed by (participant, source); a newcomer of the same key takes its place
once connected. Media never passes here: that is `ingest.py`, on the media thread.
Spec: API section 5.2 (idle), design section 7 (rooms).
"""

import asyncio
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Protocol, TypeVar

import structlog

from soloist.model.errors import InternalError
from soloist.model.ids import AppId, ParticipantId, RoomId
from soloist.model.media import Kind, NegotiatedTrack, TrackSource
from soloist.sources.ingest import LEFT, REMOVED, REPLACED, Exchange, Feed, PublisherMedia, StreamKey, Subscriber
from soloist.sources.joining import Joining, Pending, RoomLimits
from soloist.sources.offers import Answered
from soloist.sources.receiver import MediaThread

T = TypeVar("T")
log = structlog.get_logger("soloist.rooms")

RoomKey = tuple[AppId, RoomId]

LINGER_S = 0.2
"""A session is received for this long after its DELETE: media sent before it may arrive later, or wait to be read."""


class Clock(Protocol):
    """Monotonic time and waiting on it, so that tests need not wait."""

    def now(self) -> float:
        """Return monotonic seconds."""

    async def wait(self, event: asyncio.Event, timeout_s: float | None) -> None:
        """Return when `event` is set or after `timeout_s` seconds."""


class MonotonicClock:
    """The machine's monotonic clock."""

    def now(self) -> float:
        """Return monotonic seconds."""
        return time.monotonic()

    async def wait(self, event: asyncio.Event, timeout_s: float | None) -> None:
        """Return when `event` is set or after `timeout_s` seconds."""
        try:
            await asyncio.wait_for(event.wait(), timeout_s)
        except TimeoutError:
            return


@dataclass(frozen=True, slots=True)
class Publisher:
    """One WHIP session as the room sees it."""

    key: StreamKey
    session: int
    tracks: tuple[NegotiatedTrack, ...]
    joined: float = field(default=0.0, compare=False)
    """Monotonic seconds at which it was connected; before that, at which it was answered."""
    project: str = field(default="", compare=False)
    """Whose share it counts to."""

    @property
    def room(self) -> RoomKey:
        """The room it is in."""
        return (self.key.app_id, self.key.room_id)

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """What it sends."""
        return tuple(track.kind for track in self.tracks)


@dataclass(frozen=True, slots=True)
class PublishedStream:
    """What one participant publishes at this moment."""

    key: StreamKey
    tracks: tuple[NegotiatedTrack, ...]
    age_s: float
    """Since this publisher joined."""
    room_age_s: float
    """Since the room's first publisher joined."""

    @property
    def kinds(self) -> frozenset[Kind]:
        """What it sends."""
        return frozenset(track.kind for track in self.tracks)


@dataclass(slots=True)
class _Room:
    """A room with members, or one somebody waits on."""

    publishers: dict[int, Publisher] = field(default_factory=dict)
    """By session; whoever is here counts as a co-host."""
    began: float = 0.0
    """Monotonic seconds of its first join; meaningless while there are no publishers."""
    empty_since: float = 0.0
    """Monotonic seconds of the last leave; meaningless while there are publishers."""
    waiters_count: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Replaced at each change, so that every waiter wakes once."""

    def tell_change(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


class Subscription:
    """A recording's ear in a room; `close` it when done."""

    def __init__(self, media: MediaThread, exchange: Exchange, feed: Feed) -> None:
        self._media = media
        self._exchange = exchange
        self._feed = feed

    async def close(self, *, at_once: bool = False) -> None:
        """End it behind the media received so far, or `at_once`; then the subscriber is not called again.

        Closing twice is harmless.
        """
        if at_once:
            ending = self._media.call(lambda: self._exchange.close_feed(self._feed))
        else:
            ending = self.behind(lambda is_complete: self._exchange.close_feed(self._feed, is_complete=is_complete))
        await asyncio.wrap_future(ending)

    def behind(self, work: Callable[[bool], T]) -> "Future[T]":
        """Run `work` on the media thread behind the media of its publishers received so far; see `call_behind`."""
        return self._media.call_behind(lambda: self._exchange.sessions_of(self._feed), work)


class Rooms:
    """All rooms of this recorder. Use from one event loop only."""

    def __init__(
        self,
        media: MediaThread,
        *,
        clock: Clock | None = None,
        limits: RoomLimits | None = None,
        linger_s: float = LINGER_S,
    ) -> None:
        self._media = media
        self._linger_s = linger_s
        self._clock = clock or MonotonicClock()
        self.joining = Joining(limits or RoomLimits())
        self._answered: dict[int, Publisher] = {}
        """Pending publishers by session."""
        self._rooms: dict[RoomKey, _Room] = {}
        self._exchange = Exchange(self._report_drop, self._report_admitted)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_left: dict[int, Callable[[str], None]] = {}
        self._joined = asyncio.Event()
        media.post(lambda: media.add_ticker(self._exchange))

    @property
    def rooms_count(self) -> int:
        """Rooms with at least one publisher."""
        return sum(1 for room in self._rooms.values() if room.publishers)

    @property
    def publishers_count(self) -> int:
        """Publishers in all rooms."""
        return sum(len(room.publishers) for room in self._rooms.values())

    def publishers(self, app_id: AppId, room_id: RoomId) -> list[Publisher]:
        """Return who publishes in a room, in order of arrival; empty if there is no such room."""
        room = self._rooms.get((app_id, room_id))
        return list(room.publishers.values()) if room else []

    def streams(self) -> list[PublishedStream]:
        """Return everything that is published here."""
        now = self._clock.now()
        return [
            PublishedStream(publisher.key, publisher.tracks, now - publisher.joined, now - room.began)
            for room in self._rooms.values()
            for publisher in room.publishers.values()
        ]

    async def wait_join(self, timeout_s: float) -> None:
        """Return when somebody has joined since the last call returned, or after `timeout_s`; for one waiter."""
        await self._clock.wait(self._joined, timeout_s)
        self._joined.clear()

    def check_limits(self, key: StreamKey, project: str) -> None:
        """Tell whether one more publisher may come.

        Raises:
            RoomsFullError: a limit is reached.
        """
        here = [room for room in self._rooms.values() if room.publishers]
        room = self._rooms.get((key.app_id, key.room_id))
        in_room = len(room.publishers) if room else 0
        projects = (next(iter(room.publishers.values())).project for room in here)
        self.joining.check(project, projects, is_new_room=not in_room, in_room=in_room)

    def publish(
        self, key: StreamKey, answered: Answered, on_left: Callable[[str], None], *, project: str = ""
    ) -> Publisher:
        """Await a publisher whose offer was answered; it joins its room once connected.

        `on_left` is called once on this loop with the reason when the publisher has gone.

        Raises:
            InternalError: the media thread is overloaded or has stopped; the session is closed.
        """
        self._loop = asyncio.get_running_loop()
        session, _, tracks = answered
        media = PublisherMedia(key, session=session, tracks=tracks, receiver=self._media, exchange=self._exchange)
        try:
            self._media.post(lambda: self._media.add_handler(session, media))
        except InternalError:
            self._media.close_session(session)
            raise
        publisher = Publisher(key, session, tracks, self._clock.now(), project)
        self._on_left[session] = on_left
        leaving = self.joining.add(Pending(session, key, project))
        self._answered[session] = publisher
        for other in leaving:
            self._give_up(other, REPLACED)
        return publisher

    async def restart_ice(self, publisher: Publisher, ufrag: str, pwd: str) -> str:
        """Take a publisher's new ICE credentials; return the SDP fragment with ours. Its media goes on meanwhile.

        Raises:
            OfferError: the credentials are not ICE credentials.
            SessionGoneError: its session has ended.
        """
        return await asyncio.to_thread(self._media.restart_ice, publisher.session, ufrag, pwd)

    def leave(self, publisher: Publisher) -> None:
        """Let a publisher go at its own wish; its last frames still reach those who listen."""
        if publisher.session in self._answered:
            self._give_up(publisher.session, LEFT)
            return
        self._remove(publisher, LEFT)
        if self._linger_s:
            asyncio.get_running_loop().call_later(self._linger_s, self._media.close_session, publisher.session)
        else:
            self._media.close_session(publisher.session)

    def remove(self, app_id: AppId, room_id: RoomId, participants: Collection[ParticipantId] | None = None) -> bool:
        """Send these participants out of a room, all of them for None; return whether there is such a room.

        Whoever is not in it is passed over. A removed one may publish again. Spec: API section 2.6.
        """
        publishers = self.publishers(app_id, room_id)
        for publisher in publishers:
            if participants is None or publisher.key.participant_id in participants:
                self._remove(publisher, REMOVED)
                self._media.close_session(publisher.session)
        pending = self.joining.of_room(app_id, room_id)
        for one in pending:
            if participants is None or one.key.participant_id in participants:
                self._give_up(one.session, REMOVED)
        return bool(publishers or pending)

    async def subscribe(
        self,
        app_id: AppId,
        room_id: RoomId,
        participant_id: ParticipantId,
        *,
        sources: frozenset[TrackSource],
        subscriber: Subscriber,
        on_failed: Callable[[Exception], None] | None = None,
    ) -> Subscription:
        """Listen to a participant's streams, now or whenever they come; the room need not exist yet.

        `on_failed` is called on the media thread if the subscriber raises; it then hears nothing more.
        """
        keys = frozenset(StreamKey(app_id, room_id, participant_id, source) for source in sources)
        feed = Feed(keys, subscriber, on_failed)
        await asyncio.wrap_future(self._media.call(lambda: self._exchange.open_feed(feed)))
        return Subscription(self._media, self._exchange, feed)

    async def wait_idle(
        self, app_id: AppId, room_id: RoomId, idle_timeout: timedelta, *, presumed_for: timedelta = timedelta(0)
    ) -> None:
        """Return when the room has had no co-host for longer than `idle_timeout`.

        The clock starts at this call, or `presumed_for` later (after a restart, when former publishers still count
        as present), and anew at each leave of the last co-host. Spec: API section 5.2.
        """
        room = self._rooms.setdefault((app_id, room_id), _Room())
        room.waiters_count += 1
        try:
            await self._outwait(room, self._clock.now() + presumed_for.total_seconds(), idle_timeout.total_seconds())
        finally:
            room.waiters_count -= 1
            self._forget_if_unused((app_id, room_id))

    async def _outwait(self, room: _Room, idle_from: float, timeout_s: float) -> None:
        while True:
            changed = room.changed
            if room.publishers:
                await self._clock.wait(changed, None)
                continue
            idle_s = self._clock.now() - max(idle_from, room.empty_since)
            if idle_s > timeout_s:
                return
            # A millisecond more, because the comparison is strict and timers may fire a little early.
            await self._clock.wait(changed, timeout_s - idle_s + 0.001)

    def _give_up(self, session: int, reason: str) -> None:
        """End a pending publisher."""
        self._remove(self._answered[session], reason)
        self._media.close_session(session)

    def _admit(self, session: int) -> None:
        """Let a pending publisher join, connected now; one that has left meanwhile is passed over."""
        publisher = self._answered.pop(session, None)
        self.joining.pop(session)
        if publisher is not None:
            self._join(replace(publisher, joined=self._clock.now()))

    def _join(self, publisher: Publisher) -> None:
        room = self._rooms.setdefault(publisher.room, _Room())
        if not room.publishers:
            room.began = publisher.joined
        room.publishers[publisher.session] = publisher
        room.tell_change()
        self._joined.set()
        log.info("publisher_joined", **_names(publisher), kinds=[kind.value for kind in publisher.kinds])

    def _remove(self, publisher: Publisher, reason: str) -> None:
        room = self._rooms.get(publisher.room)
        if self._answered.pop(publisher.session, None) is not None:
            self.joining.pop(publisher.session)
            log.info("publisher_not_connected", **_names(publisher), reason=reason)
        elif room is not None and room.publishers.pop(publisher.session, None) is not None:
            if not room.publishers:
                room.empty_since = self._clock.now()
            room.tell_change()
            self._forget_if_unused(publisher.room)
            log.info("publisher_left", **_names(publisher), reason=reason)
        on_left = self._on_left.pop(publisher.session, None)
        if on_left is not None:
            on_left(reason)

    def _forget_if_unused(self, key: RoomKey) -> None:
        room = self._rooms.get(key)
        if room is not None and not room.publishers and not room.waiters_count:
            del self._rooms[key]

    def _report_admitted(self, media: PublisherMedia) -> None:
        """Carry a publisher's beginning from the media thread to the loop."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._admit, media.session)

    def _report_drop(self, media: PublisherMedia, reason: str) -> None:
        """Carry a publisher's end from the media thread to the loop."""
        self._media.remove_handler(media.session)
        publisher = Publisher(media.key, media.session, media.tracks)
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._remove, publisher, reason)


def _names(publisher: Publisher) -> dict[str, str]:
    key = publisher.key
    return {
        "app_id": key.app_id,
        "room_id": key.room_id,
        "participant_id": key.participant_id,
        "source": key.source.value,
    }
