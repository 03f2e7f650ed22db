"""One publisher's media and who listens to it, on the media thread.

`PublisherMedia` keeps what a late listener needs (sender reports, layer sizes) and hands frames on untouched.
`Exchange` brings publishers and subscribers of the same stream together, in whatever order they come. Nothing here
knows HTTP, asyncio or files. Spec: rules R14, R15, R20, R41.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol, cast

import structlog

from soloist.core import Frame, Item, Overflow, SenderReport
from soloist.model.ids import AppId, ParticipantId, RoomId
from soloist.model.media import Kind, Layer, NegotiatedTrack, TrackSource
from soloist.sources.items import Media, Unheard, is_closed, is_connected, is_frame, is_media, is_overflow, is_report

log = structlog.get_logger("soloist.media")

LOSSES_LOGGED_S = 60.0
"""How far apart two log lines about one session's losses are."""

REPORTS_COUNT_MAX = 256
"""Sender reports kept per layer: at one a second more than four minutes, enough for any regression."""

LEFT, REPLACED, TIMEOUT, FAILED, REMOVED = "left", "replaced", "timeout", "failed", "removed"
DETACH_REASONS = {"closed": LEFT, "timeout": TIMEOUT, "dtls": FAILED, "failed": FAILED}
"""The core's reason for a `Closed` -> what a subscriber is told."""


class StreamKey(NamedTuple):
    """One of a participant's two streams."""

    app_id: AppId
    room_id: RoomId
    participant_id: ParticipantId
    source: TrackSource


class Session(Protocol):
    """What a publisher's media needs of the receiver; `MediaThread` fits."""

    def request_keyframe(self, session: int, mid: str, rid: str | None) -> None:
        """Ask for a keyframe."""

    def close_session(self, session: int) -> None:
        """End the session."""


class Subscriber(Protocol):
    """Listens to the streams of one participant. All methods run on the media thread and must not block on network."""

    def on_items(self, publisher: "PublisherMedia", items: Sequence[Media]) -> None:
        """Take a batch in order of arrival; never empty."""

    def on_attached(self, publisher: "PublisherMedia") -> None:
        """Learn that a publisher is connected: its tracks, reports so far and known layers can be read from it."""

    def on_detached(self, publisher: "PublisherMedia", reason: str) -> None:
        """Learn that it is gone: left, replaced (a new one follows at once), timeout or failed."""

    def on_tick(self, now_ns: int) -> None:
        """Take the time twice a second, publisher or not."""


class _Losses:
    """Says in the log what a session loses to its budget or to a full queue, at most once a minute."""

    def __init__(self) -> None:
        self._logged_s = float("-inf")
        self._frames = self._packets = 0

    def note(self, publisher: "PublisherMedia", overflow: Overflow) -> None:
        """Count what was dropped."""
        self._frames += overflow.frames_count
        self._packets += overflow.packets_count
        now_s = time.monotonic()
        if now_s - self._logged_s >= LOSSES_LOGGED_S:
            self._logged_s = now_s
            log.warning(
                "session_over_budget",
                app_id=publisher.key.app_id,
                room_id=publisher.key.room_id,
                participant_id=publisher.key.participant_id,
                session=publisher.session,
                frames_dropped=self._frames,
                packets_refused=self._packets,
            )


class PublisherMedia:
    """What one WHIP session sends: its tracks, what is known of them, and the frames passing through."""

    def __init__(
        self,
        key: StreamKey,
        *,
        session: int,
        tracks: tuple[NegotiatedTrack, ...],
        receiver: Session,
        exchange: "Exchange",
    ) -> None:
        self.key = key
        self.session = session
        self.tracks = tracks
        self.layers: dict[tuple[str, str | None], Layer] = {}
        """Size of each (mid, rid) as of its last keyframe."""
        self.last_frame_ns: dict[tuple[str, str | None], int] = {}
        """Arrival of the last frame of each (mid, rid), on the steady clock."""
        self.is_replaced = False
        """True once another publisher has taken its place."""
        self._reports: dict[tuple[str, str | None], deque[SenderReport]] = {}
        self._losses = _Losses()
        self._receiver = receiver
        self._exchange = exchange

    @property
    def source(self) -> TrackSource:
        """Which of the participant's streams this is."""
        return self.key.source

    def track(self, kind: Kind) -> NegotiatedTrack | None:
        """Return the track of a kind; WHIP allows one of each (RFC 9725 §4.4.2)."""
        return next((track for track in self.tracks if track.kind is kind), None)

    def reports(self, mid: str, rid: str | None = None) -> tuple[SenderReport, ...]:
        """Return the latest sender reports of a layer, oldest first."""
        return tuple(self._reports.get((mid, rid), ()))

    def layers_of(self, mid: str) -> list[Layer]:
        """Return the layers of a track whose size is known."""
        return [layer for (layer_mid, _), layer in self.layers.items() if layer_mid == mid]

    def request_keyframe(self, mid: str, rid: str | None = None) -> None:
        """Ask the sender for a keyframe of one layer; the core keeps the rate within rule R15."""
        self._receiver.request_keyframe(self.session, mid, rid)

    def request_keyframes(self) -> None:
        """Ask for a keyframe of every layer of the picture."""
        video = self.track(Kind.VIDEO)
        if video is not None:
            for rid in video.rids or (None,):
                self.request_keyframe(video.mid, rid)

    def close(self) -> None:
        """End the session."""
        self._receiver.close_session(self.session)

    def unheard(self) -> list[Media]:
        """Return what tells a listener that media of each layer was received and not handed on."""
        # Of an overflow's shape, which is what items are told apart by.
        return [cast("Overflow", Unheard(mid, rid)) for mid, rid in self.last_frame_ns]

    def on_items(self, items: Sequence[Item]) -> None:
        """Note what is learnt from a batch and hand its media on."""
        media: list[Media] = []
        for item in items:
            if is_media(item):
                self._note(item)
                media.append(item)
            elif is_closed(item):
                self._hand_on(media)
                media = []
                self._exchange.drop(self, DETACH_REASONS.get(item.reason, FAILED))
            elif is_connected(item):
                self._exchange.admit(self)
        self._hand_on(media)

    def on_failed(self, error: Exception) -> None:
        """End the session after a fault of ours in handling it."""
        log.error("publisher_dropped", session=self.session, error=repr(error))
        self._exchange.drop(self, FAILED)
        self.close()

    def _hand_on(self, media: Sequence[Media]) -> None:
        if media:
            self._exchange.hand_on(self, media)

    def _note(self, item: Media) -> None:
        if is_frame(item):
            self._note_frame(item)
        elif is_overflow(item):
            self._losses.note(self, item)
        elif is_report(item):
            kept = self._reports.setdefault((item.mid, item.rid), deque(maxlen=REPORTS_COUNT_MAX))
            kept.append(item)

    def _note_frame(self, frame: Frame) -> None:
        key = (frame.mid, frame.rid)
        self.last_frame_ns[key] = frame.received_ns
        if frame.is_keyframe and frame.width and frame.height:
            known = self.layers.get(key)
            if known is None or (known.width, known.height) != (frame.width, frame.height):
                self.layers[key] = Layer(frame.rid, frame.width, frame.height)


class Feed:
    """A subscriber's place in the exchange. A subscriber that raises is taken out; nobody else notices."""

    def __init__(
        self, keys: frozenset[StreamKey], subscriber: Subscriber, on_failed: Callable[[Exception], None] | None = None
    ) -> None:
        self.keys = keys
        self.is_open = True
        self._subscriber = subscriber
        self._on_failed = on_failed

    def attach(self, publisher: PublisherMedia) -> None:
        """Tell the subscriber of a publisher, and have that one start a picture for it."""
        self._guard(lambda: self._subscriber.on_attached(publisher))
        publisher.request_keyframes()

    def detach(self, publisher: PublisherMedia, reason: str) -> None:
        """Tell the subscriber that a publisher is gone."""
        self._guard(lambda: self._subscriber.on_detached(publisher, reason))

    def push(self, publisher: PublisherMedia, items: Sequence[Media]) -> None:
        """Hand a batch to the subscriber."""
        self._guard(lambda: self._subscriber.on_items(publisher, items))

    def tick(self, now_ns: int) -> None:
        """Hand the time to the subscriber."""
        self._guard(lambda: self._subscriber.on_tick(now_ns))

    def _guard(self, call: Callable[[], None]) -> None:
        if not self.is_open:
            return
        try:
            call()
        except Exception as error:
            self.is_open = False
            log.exception("subscriber_failed")
            if self._on_failed is not None:
                self._on_failed(error)


class Exchange:
    """Who sends and who listens, by stream. Lives on the media thread."""

    def __init__(
        self,
        on_dropped: Callable[[PublisherMedia, str], None],
        on_admitted: Callable[[PublisherMedia], None] = lambda _: None,
    ) -> None:
        self._on_dropped = on_dropped
        self._on_admitted = on_admitted
        self._live: dict[StreamKey, PublisherMedia] = {}
        self._feeds: dict[StreamKey, list[Feed]] = {}

    def admit(self, publisher: PublisherMedia) -> None:
        """Make a connected publisher the one of its stream; an earlier one is closed and its listeners carried over.

        The earlier one keeps its place until the new one is connected, so a failed attempt costs nothing.
        """
        earlier = self._live.get(publisher.key)
        self._live[publisher.key] = publisher
        for feed in self._feeds_of(publisher.key):
            if earlier is not None:
                feed.detach(earlier, REPLACED)
            feed.attach(publisher)
        self._on_admitted(publisher)
        if earlier is not None:
            earlier.is_replaced = True
            earlier.close()

    def drop(self, publisher: PublisherMedia, reason: str) -> None:
        """Take a publisher out, tell its listeners, and report it to the room."""
        if self._live.get(publisher.key) is publisher:
            del self._live[publisher.key]
            for feed in self._feeds_of(publisher.key):
                feed.detach(publisher, reason)
        self._on_dropped(publisher, REPLACED if publisher.is_replaced else reason)

    def hand_on(self, publisher: PublisherMedia, items: Sequence[Media]) -> None:
        """Hand a batch to everyone who listens to this publisher, unless it has been replaced."""
        if self._live.get(publisher.key) is publisher:
            for feed in self._feeds_of(publisher.key):
                feed.push(publisher, items)

    def open_feed(self, feed: Feed) -> None:
        """Let a subscriber listen from now on; publishers that are here already are attached at once."""
        for key in sorted(feed.keys):
            self._feeds.setdefault(key, []).append(feed)
            publisher = self._live.get(key)
            if publisher is not None:
                feed.attach(publisher)

    def sessions_of(self, feed: Feed) -> list[int]:
        """Return the sessions a subscriber hears now."""
        return [self._live[key].session for key in feed.keys if key in self._live]

    def close_feed(self, feed: Feed, *, is_complete: bool = True) -> None:
        """Let a subscriber hear nothing more; it is told first if it has not heard all that was received."""
        for publisher in [self._live[key] for key in feed.keys if key in self._live and not is_complete]:
            if unheard := publisher.unheard():
                feed.push(publisher, unheard)
        feed.is_open = False
        for key in feed.keys:
            kept = [other for other in self._feeds.get(key, ()) if other is not feed]
            if kept:
                self._feeds[key] = kept
            else:
                self._feeds.pop(key, None)

    def on_tick(self, now_ns: int) -> None:
        """Tick every open feed once, and forget those whose subscriber failed."""
        for feed in self._each_feed():
            feed.tick(now_ns)
            if not feed.is_open:
                self.close_feed(feed)

    def _each_feed(self) -> Iterable[Feed]:
        return tuple(dict.fromkeys(feed for feeds in self._feeds.values() for feed in feeds))

    def _feeds_of(self, key: StreamKey) -> tuple[Feed, ...]:
        # A copy: a subscriber may close its own feed, or a failed one be taken out, while we go through them.
        return tuple(self._feeds.get(key, ()))
