"""Which simulcast layer is recorded, when it changes, and what is told of it (rules R19, R20)."""

import pytest
from structlog.testing import capture_logs
from support.frames import MS, NS, START_NS
from support.jobs import a_job
from support.media import opus_samples, video_samples
from support.stage import Stage, a_publisher, frames_of, merged

from soloist.model.media import Codec, Kind, Tier
from soloist.model.rule import RecordFormat
from soloist.model.timing import Cause
from soloist.recording.selection import SILENT_LAYER_NS, VERIFY_NS

SIZES = {"q": (160, 90), "h": (320, 180), "f": (640, 360)}
ANSWER_NS = 150 * MS
"""How long a sender takes to answer a request for a keyframe."""


class Sender:
    """A simulcast sender whose layers are paused and resumed; it answers each request for a keyframe."""

    def __init__(self, codec=Codec.VP8, *, seconds=8, session=1, at_s=0):
        self.publisher = a_publisher(session, codec=codec, rids=tuple(SIZES))
        self.at_s = at_s
        self.frames = {
            rid: frames_of(
                video_samples(codec, seconds, width=size[0], height=size[1], gop=6),
                codec, size=size, rid=rid, rtp_zero=1_000_000 + n, at_s=at_s,
            )
            for n, (rid, size) in enumerate(SIZES.items())
        }  # fmt: skip
        self.sound = frames_of(opus_samples(seconds), Codec.OPUS, rtp_zero=7, at_s=at_s)

    def sent(self, **paused):
        """Return all frames but those of a layer between two moments, seconds; a layer comes back with a keyframe."""
        kept = []
        for rid, frames in self.frames.items():
            since, until = paused.get(rid, (0, 0))
            kept.append([f for f in frames if not since <= (f.received_ns - START_NS) / NS - self.at_s < until])
        return merged(self.sound, *kept)


def spans(stage):
    return [(span.rid, span.width) for span in stage.ended[-1].summary.layers]


@pytest.mark.parametrize("codec", [Codec.H264, Codec.VP8, Codec.VP9])
@pytest.mark.parametrize(("tier", "rid"), [(Tier.LD, "q"), (Tier.SD, "h"), (Tier.HD, "f"), (Tier.FHD, "f")])
def test_the_recorded_layer_is_the_highest_not_above_the_wanted_level(tmp_path, codec, tier, rid):
    stage, alice = Stage(tmp_path, a_job(tier=tier)), Sender(codec, seconds=2)
    stage.recording.on_attached(alice.publisher)
    stage.play(alice.publisher, alice.sent())
    stage.stop()

    assert spans(stage) == [(rid, SIZES[rid][0])]
    assert stage.ended[-1].summary.frames[Kind.VIDEO] >= 50


@pytest.mark.parametrize("codec", [Codec.H264, Codec.VP8, Codec.VP9])
def test_when_the_recorded_layer_falls_silent_another_takes_over_within_two_seconds_until_it_is_back(tmp_path, codec):
    stage, alice = Stage(tmp_path), Sender(codec)
    stage.recording.on_attached(alice.publisher)
    with capture_logs() as logs:
        stage.play(alice.publisher, alice.sent(f=(3, 6)))
    stage.stop()

    (ended,) = stage.ended
    first, second, third = ended.summary.layers
    assert [span.rid for span in (first, second, third)] == ["f", "h", "f"]
    assert SILENT_LAYER_NS < second.start_ns - 3 * NS < 2 * NS
    assert 0 <= third.start_ns - 6 * NS < NS // 4
    (hole,) = (hole for media in stage.media for hole in media.missing if hole.detail == "layer_silent")
    assert hole.kind is Kind.VIDEO
    assert hole.end_ns == second.start_ns
    assert abs(hole.start_ns - 3 * NS) < NS // 10
    recorded = [(entry["before"], entry["rid"], entry["width"]) for entry in logs if entry["event"] == "layer_recorded"]
    assert recorded == [(None, "f", 640), ("f", "h", 320), ("h", "f", 640)]
    assert all(entry["job_id"] == stage.job.job_id for entry in logs if entry["event"] == "layer_recorded")


def test_a_silent_layer_is_told_of_though_the_first_picture_to_show_it_is_the_next_layers_keyframe(tmp_path):
    stage, alice = Stage(tmp_path), Sender()
    stage.recording.on_attached(alice.publisher)
    stage.play(alice.publisher, alice.sent(f=(3, 6), h=(4.4, 4.99), q=(4.4, 4.99)))
    stage.stop()

    assert [span.rid for span in stage.ended[0].summary.layers] == ["f", "h", "f"]
    (hole,) = (hole for media in stage.media for hole in media.missing if hole.kind is Kind.VIDEO)
    assert (hole.cause, hole.detail) == (Cause.GAP, "layer_silent")


def test_a_switch_of_layers_moves_no_picture_against_the_sound(tmp_path):
    stage, alice = Stage(tmp_path), Sender()
    # What a picture lasts is guessed from the one before: with uneven ones the guess is wrong at each switch.
    for frames in alice.frames.values():
        frames[:] = [
            f.but(rtp_ticks=f.rtp_ticks - 2000 * (n % 3 == 2), received_ns=f.received_ns - 22 * MS * (n % 3 == 2))
            for n, f in enumerate(frames)
        ]
    written = []
    stage.recording.on_attached(alice.publisher)
    stage.recording._series[RecordFormat.MP4]._wrote = written.append
    stage.play(alice.publisher, alice.sent(f=(3, 6)))
    stage.stop()

    sent = {f.data: f.rtp_ticks - 1_000_000 - n for n, fs in enumerate(alice.frames.values()) for f in fs}
    pictures = [sample for sample in written if sample.kind is Kind.VIDEO]
    assert {sample.rid for sample in pictures if sample.is_keyframe} == {"f", "h"}
    offsets = {sample.pts_ticks - sent[sample.data] for sample in pictures}
    # A picture of the instant at which another stands already gives way by a millisecond.
    assert max(offsets) - min(offsets) <= 90


def test_a_layer_whose_large_keyframe_comes_late_stands_where_it_was_captured_all_the_same(tmp_path):
    stage, alice = Stage(tmp_path), Sender()
    back_ns = START_NS + 6 * NS
    # What is sent behind it catches up, while the smaller layers come as ever.
    alice.frames["f"] = [
        f.but(received_ns=f.received_ns + max(0, 400 * MS - (f.received_ns - back_ns) // 2))
        if f.received_ns >= back_ns
        else f
        for f in alice.frames["f"]
    ]
    stage.recording.on_attached(alice.publisher)
    series, written = stage.recording._series[RecordFormat.MP4], []
    wrote = series._wrote
    series._wrote = lambda sample: (wrote(sample), written.append(sample))
    stage.play(alice.publisher, alice.sent(f=(3, 6)))
    stage.stop()

    sent = {f.data: f.rtp_ticks - 1_000_002 for f in alice.frames["f"]}
    late = [sample.pts_ticks - sent[sample.data] for sample in written if sample.data in sent]
    assert [span.rid for span in stage.ended[0].summary.layers] == ["f", "h", "f"]
    assert abs(late[-1] - late[0]) <= 90


def test_a_layer_that_never_comes_keeps_nobody_waiting(tmp_path):
    stage, alice = Stage(tmp_path), Sender(seconds=3)
    alice.publisher = a_publisher(codec=Codec.VP8, rids=("q", "h", "f", "never"))
    stage.recording.on_attached(alice.publisher)
    stage.play(alice.publisher, alice.sent())
    stage.stop()

    assert spans(stage) == [("f", 640)]
    assert stage.ended[0].summary.frames[Kind.VIDEO] >= 70


def test_a_layer_that_shows_no_keyframe_in_five_seconds_is_told_of_once_while_another_is_recorded(tmp_path):
    stage, alice = Stage(tmp_path), Sender(seconds=12)
    # The layer comes back without one: whoever sent it does not listen.
    alice.frames["f"] = [f for f in alice.frames["f"] if f.received_ns < START_NS + 3 * NS or not f.is_keyframe]
    stage.recording.on_attached(alice.publisher)
    with capture_logs() as logs:
        stage.play(alice.publisher, alice.sent(f=(3, 6)))
    stage.stop()

    (told,) = (entry for entry in logs if entry["event"] == "layer_does_not_come")
    assert (told["rid"], told["recorded"]) == ("f", "h")
    assert spans(stage) == [("f", 640), ("h", 320)]
    assert VERIFY_NS == 5 * NS


def test_a_layer_that_shrinks_is_left_for_one_that_shows_more_and_an_equal_one_is_not_switched_to(tmp_path):
    stage, alice = Stage(tmp_path), Sender()
    for rid, size in (("f", (320, 180)), ("h", (320, 180))):
        alice.frames[rid] = [
            f.but(width=size[0], height=size[1]) if f.is_keyframe and f.received_ns > START_NS + 3 * NS else f
            for f in alice.frames[rid]
        ]
    stage.recording.on_attached(alice.publisher)
    stage.play(alice.publisher, alice.sent())
    stage.stop()

    assert spans(stage) == [("f", 640), ("f", 320)]


def test_a_publisher_that_takes_the_place_of_another_has_its_layers_chosen_anew(tmp_path):
    stage, first, second = Stage(tmp_path), Sender(seconds=3), Sender(seconds=3, session=2, at_s=3)
    second.publisher.tracks = a_publisher(codec=Codec.VP8, rids=("h", "f")).tracks
    del second.frames["q"]
    stage.recording.on_attached(first.publisher)
    stage.play(first.publisher, first.sent())
    stage.recording.on_detached(first.publisher, "replaced")
    stage.recording.on_attached(second.publisher)
    stage.play(second.publisher, second.sent())
    stage.stop()

    (ended,) = stage.ended
    assert [span.rid for span in ended.summary.layers] == ["f"]
    assert ended.summary.frames[Kind.VIDEO] >= 170


def test_two_jobs_on_one_publisher_record_a_layer_each(tmp_path):
    alice = Sender(seconds=3)
    low, high = (Stage(tmp_path / tier, a_job(tier=tier)) for tier in (Tier.LD, Tier.FHD))
    for stage in (low, high):
        stage.folder.mkdir()
        stage.recording.on_attached(alice.publisher)
        stage.play(alice.publisher, alice.sent())
        stage.stop()

    assert (spans(low), spans(high)) == ([("q", 160)], [("f", 640)])


def test_a_simulcast_camera_that_is_off_is_a_pause_and_no_silent_layer(tmp_path):
    stage, alice = Stage(tmp_path), Sender(seconds=10)
    stage.recording.on_attached(alice.publisher)
    # The layers do not stop with the same picture.
    stage.play(alice.publisher, alice.sent(f=(3.0, 7), h=(3.04, 7), q=(3.08, 7)))
    stage.stop()

    holes = {(hole.cause, hole.detail) for media in stage.media for hole in media.missing if hole.kind is Kind.VIDEO}
    assert holes == {(Cause.PAUSE, "not_sent")}
    assert spans(stage) == [("f", 640)]


def test_layers_with_a_picture_in_two_seconds_are_not_switched_between(tmp_path):
    stage, alice = Stage(tmp_path), Sender(seconds=12)
    stage.recording.on_attached(alice.publisher)
    for frames in alice.frames.values():
        frames[60:] = [frame for n, frame in enumerate(frames[60:]) if n % 60 == 0]
    alice.frames["f"] = [frame.but(received_ns=frame.received_ns + 50 * MS) for frame in alice.frames["f"]]
    stage.play(alice.publisher, alice.sent())
    stage.stop()

    assert spans(stage) == [("f", 640)]
