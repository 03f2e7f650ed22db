"""Publishers and subscribers find each other in any order, and a late one learns all that an early one knows."""

import pytest
from support.ear import Ear
from support.frames import audio_frame, report_at, video_frame
from support.scripted_receiver import ScriptedReceiver
from support.session_items import ClosedValue, ConnectedValue, OverflowValue

from soloist.model.ids import AppId, ParticipantId, RoomId
from soloist.model.media import Codec, Kind, Layer, NegotiatedTrack, TrackSource
from soloist.sources.ingest import REPORTS_COUNT_MAX, Exchange, Feed, PublisherMedia, StreamKey

CAMERA = StreamKey(AppId("demo"), RoomId("r"), ParticipantId("alice"), TrackSource.CAMERA)
SCREEN = CAMERA._replace(source=TrackSource.SCREEN)
TRACKS = (NegotiatedTrack("0", Kind.AUDIO, (Codec.OPUS,)), NegotiatedTrack("1", Kind.VIDEO, (Codec.H264,)))
SIMULCAST = (NegotiatedTrack("1", Kind.VIDEO, (Codec.VP8,), ("q", "h", "f")),)


class Room:
    """An exchange with its receiver, and what was reported to the event loop."""

    def __init__(self) -> None:
        self.core = ScriptedReceiver()
        self.dropped: list[tuple[int, str]] = []
        self.exchange = Exchange(lambda publisher, reason: self.dropped.append((publisher.session, reason)))

    def publisher(self, session: int = 1, key: StreamKey = CAMERA, tracks: tuple = TRACKS) -> PublisherMedia:
        return PublisherMedia(key, session=session, tracks=tracks, receiver=self.core, exchange=self.exchange)

    def connected(self, session: int = 1, key: StreamKey = CAMERA, tracks: tuple = TRACKS) -> PublisherMedia:
        publisher = self.publisher(session, key, tracks)
        publisher.on_items([ConnectedValue()])
        return publisher

    def listen(self, ear: Ear, *keys: StreamKey, on_failed: object = None) -> Feed:
        feed = Feed(frozenset(keys or (CAMERA,)), ear, on_failed)  # type: ignore[arg-type]
        self.exchange.open_feed(feed)
        return feed


@pytest.fixture
def room() -> Room:
    return Room()


def test_a_subscriber_may_come_before_or_after_the_publisher(room: Room) -> None:
    early, late = Ear(), Ear()

    room.listen(early)
    publisher = room.connected()
    room.listen(late)
    publisher.on_items([video_frame(0), audio_frame(0)])

    assert early.told == late.told == [("attached", 1), ("items", 1, 2)]


def test_a_publisher_that_has_not_connected_is_nobody_yet(room: Room) -> None:
    ear = Ear()
    room.listen(ear)

    room.publisher()

    assert ear.told == []


def test_a_late_subscriber_finds_layers_and_reports_and_a_keyframe_is_asked_for(room: Room) -> None:
    publisher = room.connected()
    report = report_at(1, mid="1", rtp_zero=1_000_000, rate_hz=90_000)
    publisher.on_items([video_frame(0), report, video_frame(1)])

    room.listen(Ear())

    assert publisher.layers_of("1") == [Layer(None, 1280, 720)]
    assert publisher.reports("1") == (report,)
    assert publisher.last_frame_ns["1", None] == video_frame(1).received_ns
    assert room.core.keyframes_asked == [(1, "1", None)]


def test_a_keyframe_is_asked_of_every_layer(room: Room) -> None:
    room.listen(Ear())

    room.connected(tracks=SIMULCAST)

    assert room.core.keyframes_asked == [(1, "1", "q"), (1, "1", "h"), (1, "1", "f")]


def test_no_keyframe_is_asked_of_sound(room: Room) -> None:
    room.listen(Ear())

    room.connected(tracks=TRACKS[:1])

    assert room.core.keyframes_asked == []


def test_a_layers_size_follows_its_latest_keyframe(room: Room) -> None:
    publisher = room.connected(tracks=SIMULCAST)

    publisher.on_items([video_frame(0, rid="q", size=(320, 180)), video_frame(0, rid="f", size=(640, 360))])
    publisher.on_items([video_frame(30, rid="f", size=(1280, 720)), video_frame(31, rid="q")])

    assert publisher.layers == {("1", "q"): Layer("q", 320, 180), ("1", "f"): Layer("f", 1280, 720)}


def test_reports_kept_are_bounded_and_the_latest(room: Room) -> None:
    publisher = room.connected()
    reports = [report_at(n, mid="1", rtp_zero=0, rate_hz=90_000) for n in range(REPORTS_COUNT_MAX + 10)]

    publisher.on_items(reports)

    assert publisher.reports("1") == tuple(reports[10:])


def test_an_overflow_is_passed_on(room: Room) -> None:
    ear = Ear()
    room.listen(ear)

    room.connected().on_items([OverflowValue()])

    assert ear.told[-1] == ("items", 1, 1)


@pytest.mark.parametrize(
    ("core_reason", "told"), [("closed", "left"), ("timeout", "timeout"), ("dtls", "failed"), ("failed", "failed")]
)
def test_the_last_frames_come_before_the_end_and_the_end_has_a_reason(room: Room, core_reason: str, told: str) -> None:
    ear = Ear()
    room.listen(ear)
    publisher = room.connected()

    publisher.on_items([audio_frame(0), ClosedValue(core_reason)])

    assert ear.told[1:] == [("items", 1, 1), ("detached", 1, told)]
    assert room.dropped == [(1, told)]


def test_a_newcomer_of_the_same_stream_takes_over_without_a_hole_in_attachment(room: Room) -> None:
    ear = Ear()
    room.listen(ear)
    old = room.connected(1)

    new = room.connected(2)
    old.on_items([audio_frame(0), ClosedValue()])
    new.on_items([audio_frame(0)])

    assert ear.told == [("attached", 1), ("detached", 1, "replaced"), ("attached", 2), ("items", 2, 1)]
    assert room.core.sessions_closed == [1]
    assert room.dropped == [(1, "replaced")]


def test_an_attempt_that_never_connects_costs_the_present_publisher_nothing(room: Room) -> None:
    ear = Ear()
    room.listen(ear)
    old = room.connected(1)

    room.publisher(2).on_items([ClosedValue("timeout")])
    old.on_items([audio_frame(0)])

    assert ear.told == [("attached", 1), ("items", 1, 1)]
    assert room.dropped == [(2, "timeout")]


def test_camera_and_screen_are_two_streams_and_one_ear_may_hear_both(room: Room) -> None:
    camera_ear, both_ear = Ear(), Ear()
    room.listen(camera_ear)
    room.listen(both_ear, CAMERA, SCREEN)

    room.connected(1, CAMERA)
    room.connected(2, SCREEN)

    assert camera_ear.told == [("attached", 1)]
    assert both_ear.told == [("attached", 1), ("attached", 2)]


def test_time_passes_for_everyone_once_with_or_without_a_publisher(room: Room) -> None:
    alone, both = Ear(), Ear()
    room.listen(alone)
    room.listen(both, CAMERA, SCREEN)

    room.exchange.on_tick(7)

    assert alone.told == both.told == [("tick", 7)]


@pytest.mark.parametrize("fault", ["attached", "items", "tick"])
def test_a_failing_subscriber_is_taken_out_alone_and_its_owner_is_told(room: Room, fault: str) -> None:
    bad, good = Ear(fails_on=fault), Ear()
    errors: list[Exception] = []
    room.listen(bad, on_failed=errors.append)
    room.listen(good)

    publisher = room.connected()
    publisher.on_items([audio_frame(0)])
    room.exchange.on_tick(1)
    room.exchange.on_tick(2)
    publisher.on_items([audio_frame(1)])

    assert [str(error) for error in errors] == [fault]
    assert bad.told[-1][0] == fault
    assert [what for what, *_ in good.told] == ["attached", "items", "tick", "tick", "items"]


def test_a_closed_feed_hears_nothing_more_and_closing_twice_is_harmless(room: Room) -> None:
    ear = Ear()
    feed = room.listen(ear)
    publisher = room.connected()

    room.exchange.close_feed(feed)
    room.exchange.close_feed(feed)
    publisher.on_items([audio_frame(0), ClosedValue()])
    room.exchange.on_tick(1)

    assert ear.told == [("attached", 1)]


def test_a_fault_of_ours_ends_the_session_and_detaches_everyone(room: Room) -> None:
    ear = Ear()
    room.listen(ear)
    publisher = room.connected()

    publisher.on_failed(ValueError("x"))

    assert ear.told[-1] == ("detached", 1, "failed")
    assert (room.dropped, room.core.sessions_closed) == ([(1, "failed")], [1])
