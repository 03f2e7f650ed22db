"""VP8 made H.264 on the way to the files: what comes out, and what is told when the child that does it fails."""

import signal
import subprocess
import time
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from types import SimpleNamespace

import av
import pytest
from support.frames import MS, NS, START_NS
from support.jobs import a_job, a_rule
from support.media import opus_samples, video_samples
from support.picture_line import FPS, STEP, Script, opus, vp8
from support.probe import counters, decode_warnings, packet_times, sync
from support.stage import Stage, a_publisher, frames_of, merged

from soloist.jobs.apps import check_vp8
from soloist.model.errors import InternalError, InvalidValueError
from soloist.model.media import Codec, Kind
from soloist.model.rule import AudioMode, HlsConfig, RecordFormat, Vp8Mode
from soloist.model.timing import Cause, Missing
from soloist.recording import transcoding
from soloist.recording.transcoding import (
    BACKLOG_NS_MAX,
    DIED,
    HANGS,
    OVERLOAD,
    PAUSE_NS_MIN,
    UNDECODABLE,
    WAIT_NS_MAX,
    PictureLine,
)
from soloist.sinks import h264
from soloist.sinks.h264_process import H264Process
from soloist.wire.picture_pipe import Flag, PictureParser, PipedPicture, render_picture


def h264_job(**changes):
    """Return a job of an app that wants H.264 made of VP8."""
    return a_job(vp8=Vp8Mode.H264, **changes)


def camera(seconds, **kwargs):
    return frames_of(video_samples(Codec.VP8, seconds, **kwargs), Codec.VP8)


def sound(seconds):
    return frames_of(opus_samples(seconds), Codec.OPUS, rtp_zero=7)


def recorded(folder, frames, job=None, codec=Codec.VP8):
    stage, alice = Stage(folder, job or h264_job()), a_publisher(codec=codec)
    stage.recording.on_attached(alice)
    stage.play(alice, frames)
    stage.stop()
    return stage


# What comes out of a real child.


def test_every_vp8_picture_is_in_the_mp4_as_h264_at_its_own_time(tmp_path):
    (path,) = [ended.path for ended in recorded(tmp_path, merged(camera(3), sound(3))).ended]

    with av.open(str(path)) as file:
        assert {s.codec_context.name for s in file.streams} == {"h264", "aac"}
    assert [number for _, number in counters(path)] == list(range(3 * FPS))
    times = packet_times(path, "video")
    assert {round((after - before) * 90_000) for before, after in pairwise(times)} == {STEP}
    assert decode_warnings(path) == ""
    assert abs(sync(path).worst_ms) < 40


def test_both_formats_of_one_job_come_of_one_transcode_and_say_so(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(transcoding.PictureLine.__init__, "__kwdefaults__", {"spawn": lambda: spawned(started)})
    rule = a_rule(formats=(RecordFormat.MP4, RecordFormat.HLS), hls=HlsConfig(0, slice_s=2, merge_gap_s=-1))
    stage = Stage(tmp_path, h264_job(rule=rule))
    stage.make_path = lambda index, name: tmp_path / f"{index}-{name}"
    alice = a_publisher(codec=Codec.VP8)
    stage.recording.on_attached(alice)
    stage.play(alice, merged(camera(5), sound(5)))
    stage.stop()

    assert len(started) == 1
    assert [ended.summary.frames[Kind.VIDEO] for ended in stage.ended] == [150, 150]
    assert all(ended.summary.has_transcoded_picture for ended in stage.ended)
    assert [(o.plan.container, o.plan.note) for o in stage.opened] == [
        ("mp4", "VP8 was transcoded to H.264."),
        ("ts", "VP8 was transcoded to H.264."),
    ]
    assert [len(segment.frames) for segment in stage.segments] == [2, 2, 2]


def spawned(started):
    started.append(H264Process())
    return started[-1]


def test_pictures_become_keyframes_where_the_senders_are_and_nowhere_else(tmp_path):
    (path,) = [ended.path for ended in recorded(tmp_path, camera(3, gop=45)).ended]

    with av.open(str(path)) as file:
        keys = [packet.is_keyframe for packet in file.demux(video=0) if packet.size]
    assert [n for n, is_key in enumerate(keys) if is_key] == [0, 45]


def test_a_change_of_size_goes_on_in_the_same_file_with_pictures_of_both_sizes(tmp_path):
    small, large = video_samples(Codec.VP8, 1), video_samples(Codec.VP8, 1, width=640, height=360)
    frames = frames_of(small, Codec.VP8) + frames_of(
        large, Codec.VP8, size=(640, 360), at_s=1, rtp_zero=1_000_000 + 90_000
    )
    stage = recorded(tmp_path, frames)

    (ended,) = stage.ended
    with av.open(str(ended.path)) as file:
        assert [(f.width, f.height) for f in file.decode(video=0)] == [(320, 180)] * FPS + [(640, 360)] * FPS
    assert [(layer.width, layer.height) for layer in ended.summary.layers] == [(320, 180), (640, 360)]


def test_a_picture_of_odd_size_becomes_one_of_even_size():
    transcoder = h264.H264Transcoder()
    encoder = av.CodecContext.create("libvpx", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 321, 181, "yuv420p", Fraction(1, 30)
    encoder.options = {"deadline": "realtime", "lag-in-frames": "0"}
    (packet,) = encoder.encode(av.VideoFrame(321, 181, "yuv420p"))
    coded = transcoder.push(bytes(packet), 0, as_keyframe=True)

    assert (coded.width, coded.height, coded.is_keyframe) == (320, 180, True)


def test_a_sender_that_changes_from_vp8_to_h264_gets_another_file_that_is_not_transcoded(tmp_path):
    later = frames_of(video_samples(Codec.H264, 1), Codec.H264, at_s=1, rtp_zero=1_000_000 + 90_000)
    stage = recorded(tmp_path, camera(1) + later)

    assert [ended.summary.has_transcoded_picture for ended in stage.ended] == [True, False]
    assert [ended.summary.frames for ended in stage.ended] == [{Kind.VIDEO: FPS}] * 2


def test_a_child_that_is_killed_costs_the_pictures_until_the_next_keyframe_and_no_sound(tmp_path):
    stage, alice = Stage(tmp_path, h264_job()), a_publisher(codec=Codec.VP8)
    stage.recording.on_attached(alice)
    frames = merged(camera(6, gop=120), sound(6))
    half = next(n for n, frame in enumerate(frames) if frame.received_ns > START_NS + 2.5 * NS)
    stage.play(alice, frames[:half])
    stage.recording.line._process._process.kill()
    stage.recording.line._process._process.wait()
    stage.play(alice, frames[half:])
    stage.stop()

    (ended,) = stage.ended
    (hole,) = stage.media[-1].missing
    assert ended.summary.frames[Kind.AUDIO] == 300
    assert (hole.kind, hole.cause, hole.detail) == (Kind.VIDEO, Cause.FAULT, DIED)
    numbers = [number for _, number in counters(ended.path)]
    lost = sorted(set(range(180)) - set(numbers))
    assert lost == list(range(lost[0], lost[-1] + 1))
    assert 70 <= lost[0] <= 80
    assert lost[-1] + 1 == 120
    assert (hole.end_ns - hole.start_ns) / NS == pytest.approx(len(lost) / FPS, abs=0.001)
    assert alice._receiver.asked == [(1, "1", None)] * len(alice._receiver.asked) != []
    assert decode_warnings(ended.path) == ""


def test_a_child_that_hangs_at_the_end_and_outlives_its_kill_holds_nobody_up_and_what_it_had_is_declared(tmp_path):
    stage, alice = Stage(tmp_path, h264_job()), a_publisher(codec=Codec.VP8)
    stage.recording.on_attached(alice)
    frames = merged(camera(4), sound(4))
    half = next(n for n, frame in enumerate(frames) if frame.received_ns > START_NS + 3.03 * NS)
    stage.play(alice, frames[:half])
    child = stage.recording.line._process._process
    child.send_signal(signal.SIGSTOP)
    kill, child.kill = child.kill, lambda: None  # As for one that waits for a disk: the kernel ends it later.
    stage.recording.on_items(alice, frames[half:])
    began = time.monotonic()
    stage.recording.stop()
    took_s = time.monotonic() - began
    kill()
    child.wait()

    assert took_s < 1
    (ended,) = stage.ended
    assert ended.summary.frames == {Kind.AUDIO: 200, Kind.VIDEO: 91}
    (hole,) = stage.media[-1].missing
    assert (hole.kind, hole.cause) == (Kind.VIDEO, Cause.FAULT)
    assert (hole.start_ns, hole.end_ns) == (ended.summary.ends_ns[Kind.VIDEO], pytest.approx(4.02 * NS, abs=NS / 50))


def test_nothing_is_transcoded_unless_the_app_wants_it(tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", refused)
    monkeypatch.setattr(h264, "H264Transcoder", refused)
    stage = recorded(tmp_path, merged(camera(1), sound(1)), a_job())

    assert [opened.plan.record_format for opened in stage.opened] == [RecordFormat.WEBM]


def refused(*_args, **_kwargs):
    raise AssertionError("nothing may be transcoded")


@pytest.mark.parametrize("codec", [Codec.H264, Codec.VP8, Codec.VP9, Codec.AV1])
def test_what_is_kept_as_it_came_opens_no_decoder_and_no_encoder(tmp_path, monkeypatch, codec):
    frames = merged(frames_of(video_samples(codec, 1), codec), sound(1))
    monkeypatch.setattr(av, "CodecContext", SimpleNamespace(create=refused))
    stage = recorded(tmp_path, frames, a_job(rule=a_rule(audio=AudioMode.COPY)), codec)

    (ended,) = stage.ended
    assert ended.summary.frames == {Kind.VIDEO: 30, Kind.AUDIO: 50}
    assert ended.summary.codecs == {Kind.VIDEO: codec, Kind.AUDIO: Codec.OPUS}


@pytest.mark.parametrize("codec", [Codec.H264, Codec.VP9, Codec.AV1])
def test_other_codecs_never_start_a_child(tmp_path, monkeypatch, codec):
    frames = frames_of(video_samples(codec, 1), codec)
    monkeypatch.setattr(subprocess, "Popen", refused)
    stage = recorded(tmp_path, frames, h264_job(), codec)

    assert [ended.summary.has_transcoded_picture for ended in stage.ended] == [False]


def test_without_the_encoder_vp8_is_kept_in_webm_with_a_note(tmp_path, monkeypatch):
    monkeypatch.setattr(h264, "ENCODER", "libx264_that_was_left_out")
    stage = recorded(tmp_path, camera(1))

    assert [opened.plan.record_format for opened in stage.opened] == [RecordFormat.WEBM]
    assert "VP8 cannot be kept in MP4" in stage.opened[0].plan.note


def test_an_app_cannot_ask_for_h264_where_ffmpeg_lacks_the_encoder(monkeypatch):
    check_vp8(Vp8Mode.H264)
    monkeypatch.setattr(h264, "ENCODER", "libx264_that_was_left_out")

    check_vp8(Vp8Mode.WEBM)
    with pytest.raises(InvalidValueError, match="libx264"):
        check_vp8(Vp8Mode.H264)


# What the line does while a child does something else; time and the child are the test's.


def test_sound_and_what_is_to_be_done_wait_for_the_pictures_before_them():
    script = Script()
    script.push(vp8(0), opus(0), vp8(1))
    script.line.then(lambda: "the file ends")
    script.push(vp8(2), opus(1))
    assert script.out == []

    script.child.answer(1)
    script.look()
    assert script.out == [
        replace(vp8(0), data=b"h264", codec="h264", is_transcoded=True, width=320, height=180),
        opus(0),
    ]
    script.child.answer()
    script.look()

    assert script.pictures == [0, 1, 2]
    assert script.out.index("the file ends") == 3
    assert script.line.is_empty
    assert script.line.missing == []


def test_a_child_that_falls_behind_gets_nothing_until_a_keyframe_after_it_caught_up():
    script = Script()
    behind = BACKLOG_NS_MAX * FPS // NS
    script.push(*map(vp8, range(behind + 30)))
    assert len(script.child.taken) == behind + 2
    script.child.answer()
    script.look()
    assert script.line.wants_keyframe
    script.push(*map(vp8, range(behind + 30, behind + 61)))
    script.child.answer()
    script.look()

    assert script.pictures == [*range(behind + 2), *range(behind + 30, behind + 61)]
    assert script.missing == [(behind + 2, behind + 30, OVERLOAD)]
    assert not script.line.wants_keyframe


def test_a_child_that_hangs_is_replaced_and_what_it_had_is_declared():
    script = Script()
    script.push(vp8(0))
    script.child.answer()
    script.push(vp8(1), opus(0))
    script.look(WAIT_NS_MAX / NS + 1)
    assert script.children[0].is_ended
    assert script.out[-1] == opus(0)
    script.look(PAUSE_NS_MIN / NS)
    script.push(vp8(600))
    script.child.answer()
    script.look()

    assert len(script.children) == 2
    assert script.pictures == [0, 600]
    assert script.missing == [(1, 600, HANGS)]


def test_children_that_die_at_once_are_started_ever_more_rarely_until_one_answers():
    script, starts = Script(), []
    for n in range(0, 60 * FPS, 30):
        before = len(script.children)
        script.push(vp8(n))
        if len(script.children) > before:
            starts.append(n // FPS)
            script.child.has_died = True
        script.look()

    assert starts == [0, 1, 2, 4, 8, 16, 32]
    assert script.pictures == []


def test_a_picture_that_cannot_be_decoded_is_declared_and_a_keyframe_wanted():
    script = Script()
    script.push(*map(vp8, range(31)))
    script.child.answer(5)
    script.child.answer(25, Flag.FAILED)
    script.look()
    assert script.line.wants_keyframe
    script.child.answer()
    script.look()

    assert script.pictures == [*range(5), 30]
    assert script.missing == [(5, 30, UNDECODABLE)]
    assert not script.line.wants_keyframe


def test_what_is_lost_at_the_end_is_told_before_the_file_ends():
    script = Script()
    script.push(*map(vp8, range(4)))
    script.child.answer(2)
    script.line.then(lambda: list(script.line.missing))
    script.look()
    script.line.give_up()
    script.look()

    (told,) = [step for step in script.out if isinstance(step, list)]
    assert told == [Missing(Kind.VIDEO, 2 * NS // FPS + 1, 4 * NS // FPS, Cause.FAULT, DIED)]


def test_a_cut_that_is_due_makes_the_next_picture_a_keyframe():
    script = Script()
    script.push(vp8(0), vp8(1))
    script.line.force_keyframe()
    script.push(vp8(2), vp8(3))
    script.child.answer()
    script.look()

    assert [s.is_keyframe for s in script.out] == [True, False, True, False]
    assert script.out[2].width == 320


def test_a_child_nobody_needs_any_more_is_ended_and_its_successor_begins_with_a_keyframe():
    script = Script()
    script.push(vp8(0))
    script.child.answer()
    script.look()
    script.look(60)
    assert script.child.is_ended
    assert not script.line.wants_keyframe
    script.push(vp8(3000))

    assert len(script.children) == 2


def test_a_system_that_refuses_a_process_costs_the_picture_alone():
    def refuse():
        raise InternalError("The transcoder could not be started: no memory.")

    line = PictureLine("job1", spawn=refuse)
    line.push([vp8(0), opus(0), vp8(1)], NS)

    assert list(line.ready(NS)) == [opus(0)]
    line.push([vp8(30)], NS + 100 * MS)
    assert list(line.ready(NS + 100 * MS)) == []


# The pipe, and the process itself.


def test_messages_cut_anywhere_are_put_together_again():
    pictures = [PipedPicture(Flag.KEYFRAME, -5, b"abc", 320, 180), PipedPicture(Flag.FAILED, 1 << 40, b"")]
    data = b"".join(map(render_picture, pictures))

    for size in range(1, len(data)):
        parser = PictureParser()
        found = [p for at in range(0, len(data), size) for p in parser.push(data[at : at + size])]
        assert found == pictures


def test_a_message_too_long_to_be_one_is_refused():
    with pytest.raises(ValueError, match="a picture of"):
        PictureParser().push(b"\xff" * 20)
