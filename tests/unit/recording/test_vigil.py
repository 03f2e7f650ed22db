"""A recording that is not written, or has no picture to show, is noticed while it lasts (rules R14, R40)."""

from support.frames import NS, START_NS, video_frame
from support.media import opus_samples, video_samples
from support.stage import Stage, a_publisher, frames_of, merged

from soloist.model.event import Trouble
from soloist.model.media import Codec, Kind
from soloist.model.timing import Cause, Missing


def told(stage):
    return [fact.trouble for fact in stage.troubles]


def test_a_writer_that_takes_nothing_for_five_seconds_is_restarted_with_a_new_file(tmp_path):
    stage, alice = Stage(tmp_path), a_publisher()
    stage.recording.on_attached(alice)
    frames = merged(frames_of(video_samples(Codec.H264, 12)), frames_of(opus_samples(12), Codec.OPUS, rtp_zero=7))
    stage.play(alice, [frame for frame in frames if frame.received_ns < START_NS + 3 * NS])

    stage.recording._interleaver.push = lambda _samples: []  # The fault: from here on everything is swallowed.
    stage.play(alice, [frame for frame in frames if frame.received_ns >= START_NS + 3 * NS])
    first, second = stage.stop()

    assert told(stage) == [Trouble.WRITER_RESTARTED]
    assert 2.5 < (stage.troubles[0].since.timestamp() * NS - START_NS) / NS < 3.5
    assert first.exists()
    assert second.exists()
    assert 8 * NS < stage.ended[1].summary.start_ns < 10 * NS
    assert stage.ended[1].summary.frames[Kind.VIDEO] > 60
    ended, begun = (ended.summary for ended in stage.ended)
    begins_ns = {Kind.AUDIO: begun.start_ns, Kind.VIDEO: begun.layers[0].start_ns}
    assert sorted(stage.media[-1].missing, key=lambda hole: hole.kind) == [
        Missing(kind, ended.ends_ns[kind], begins_ns[kind], Cause.FAULT, "writer_restarted") for kind in sorted(Kind)
    ]


def test_what_a_stuck_writer_still_holds_is_written_before_it_is_restarted(tmp_path):
    stage, alice = Stage(tmp_path), a_publisher()
    stage.recording.on_attached(alice)
    frames = merged(frames_of(video_samples(Codec.H264, 10)), frames_of(opus_samples(10), Codec.OPUS, rtp_zero=7))
    stage.play(alice, frames[:240])
    release = stage.recording._interleaver._release
    stage.recording._interleaver._release = lambda ns: [] if ns else release(ns)  # The fault: from here on it waits.
    stage.play(alice, frames[240:])
    stage.stop()

    assert told(stage) == [Trouble.WRITER_RESTARTED]
    first, second = (ended.summary for ended in stage.ended)
    assert first.ends_ns[Kind.AUDIO] == second.start_ns > 8 * NS
    assert first.frames[Kind.AUDIO] + second.frames[Kind.AUDIO] == 500
    assert {(m.kind, m.start_ns, m.cause) for m in stage.media[-1].missing} == {
        (Kind.VIDEO, first.ends_ns[Kind.VIDEO], Cause.FAULT)
    }


def test_a_pause_that_begins_with_a_frame_nothing_is_made_of_is_no_trouble(tmp_path):
    stage, alice = Stage(tmp_path), a_publisher()
    stage.recording.on_attached(alice)
    frames = merged(frames_of(video_samples(Codec.H264, 15)), frames_of(opus_samples(15), Codec.OPUS, rtp_zero=7))
    stage.play(alice, [frame for frame in frames if frame.received_ns < START_NS + 3 * NS])
    stage.wait(3)
    empty = next(frame for frame in frames if frame.received_ns > START_NS + 6 * NS and frame.mid == "1")
    stage.play(alice, [empty.but(data=b"")])
    stage.wait(5)
    stage.play(alice, [frame for frame in frames if frame.received_ns > START_NS + 13 * NS])
    stage.stop()

    assert told(stage) == []
    assert len(stage.ended) == 1


def test_pictures_that_cannot_be_shown_for_ten_seconds_are_told_once(tmp_path):
    stage, alice = Stage(tmp_path), a_publisher()
    stage.recording.on_attached(alice)
    pictures = [video_frame(n, keyframe_every=100_000) for n in range(1, 25 * 30)]
    stage.play(alice, merged(pictures, frames_of(opus_samples(25), Codec.OPUS, rtp_zero=7)))
    (path,) = stage.stop()

    assert told(stage) == [Trouble.WAITING_KEYFRAME]
    assert abs(stage.troubles[0].since.timestamp() * NS - START_NS) < NS
    assert path.exists()


def test_a_keyframe_that_comes_and_is_lost_again_is_told_anew(tmp_path):
    stage, alice = Stage(tmp_path), a_publisher(kinds=(Kind.VIDEO,))
    stage.recording.on_attached(alice)
    frames = [
        frame.but(is_keyframe=n == 360, follows_gap=n == 390, packets_lost=4 * (n == 390), data=sample.data)
        for n, sample in enumerate(video_samples(Codec.H264, 30))
        for frame in [video_frame(n, keyframe_every=360 if n else 1_000, size=(320, 180))]
        if n
    ]
    stage.play(alice, frames)
    stage.stop()

    assert told(stage) == [Trouble.WAITING_KEYFRAME, Trouble.WAITING_KEYFRAME]


def test_silence_a_hold_and_a_pause_are_no_trouble(tmp_path):
    stage, alice = Stage(tmp_path), a_publisher()
    stage.recording.on_attached(alice)
    sound = frames_of(opus_samples(9), Codec.OPUS, rtp_zero=7)
    stage.play(alice, sound)
    stage.wait(20)
    stage.recording.suspend(suspended=True)
    stage.play(alice, frames_of(opus_samples(8), Codec.OPUS, rtp_zero=7 + 30 * 48_000, at_s=30))
    stage.stop()

    assert told(stage) == []
