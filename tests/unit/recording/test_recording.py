"""What files come of what a participant does, from arriving frames to finished files."""

import struct
from dataclasses import replace

import av
import pytest
from support.frames import NS
from support.jobs import a_job, a_rule
from support.media import HIGH_PROFILE, opus_samples, video_samples
from support.stage import Stage, a_publisher, frames_of, merged

from soloist.model.job import Job
from soloist.model.media import Codec, Kind, Sample, TrackSource
from soloist.model.rule import AudioMode, Mp4Config
from soloist.model.timing import Cause


def sound(seconds, **kwargs):
    return frames_of(opus_samples(seconds), Codec.OPUS, **({"rtp_zero": 7} | kwargs))


def camera(seconds, codec=Codec.H264, **kwargs):
    return frames_of(video_samples(codec, seconds), codec, **kwargs)


def part(frames, from_s, until_s):
    """Return the frames that arrive between two moments, seconds after the first could."""
    first_ns = frames[0].received_ns
    return [f for f in frames if from_s <= (f.received_ns - first_ns) / NS < until_s]


def contents(path):
    """Return (codec, frames, first pts in seconds, end in seconds) of each stream of a finished file."""
    found = {}
    with av.open(str(path)) as file:
        for packet in file.demux():
            if packet.pts is None:
                continue
            at, end = float(packet.pts * packet.time_base), float((packet.pts + packet.duration) * packet.time_base)
            name = packet.stream.codec_context.name
            count, first, last = found.get(name, (0, at, end))
            found[name] = (count + 1, min(first, at), max(last, end))
    return found


def with_rule(**changes) -> Job:
    return a_job(rule=a_rule(**changes))


def test_a_participant_with_sound_and_picture_gives_one_file_with_all_frames(tmp_path):
    stage, alice = Stage(tmp_path), a_publisher()
    stage.recording.on_attached(alice)
    stage.play(alice, merged(camera(3), sound(3)))
    (path,) = stage.stop()

    found = contents(path)
    assert found["h264"][0] == 90
    with av.open(str(path)) as file:
        assert file.streams.video[0].codec_context.codec_tag == "avc1"
    assert found["h264"][2] == pytest.approx(3.0, abs=0.04)
    assert found["aac"][2] == pytest.approx(3.0, abs=0.04)
    assert stage.missing == []


def test_copy_keeps_every_opus_packet_bit_for_bit(tmp_path):
    stage, alice = Stage(tmp_path, with_rule(audio=AudioMode.COPY)), a_publisher()
    stage.recording.on_attached(alice)
    packets = sound(2)
    stage.play(alice, merged(camera(2), packets))
    (path,) = stage.stop()

    with av.open(str(path)) as file:
        kept = [bytes(packet) for packet in file.demux(audio=0) if packet.size]
    assert kept == [frame.data for frame in packets]


def test_vp8_goes_to_webm_and_the_plan_says_why(tmp_path):
    stage, alice = Stage(tmp_path), a_publisher(codec=Codec.VP8)
    stage.recording.on_attached(alice)
    stage.play(alice, merged(camera(2, Codec.VP8), sound(2)))
    (path,) = stage.stop()

    assert path.suffix == ".webm"
    assert contents(path)["vp8"][0] == 60
    assert "WebM" in stage.opened[0].plan.note


def test_sound_is_kept_from_its_first_packet_while_the_picture_waits_for_its_keyframe(tmp_path):
    stage, alice = Stage(tmp_path), a_publisher()
    stage.recording.on_attached(alice)
    late = camera(4)[70:]
    stage.play(alice, merged(late, sound(4)))
    (path,) = stage.stop()

    found = contents(path)
    assert found["aac"][1:] == pytest.approx((0.0, 4.0), abs=0.05)
    assert found["h264"][1] == pytest.approx(3.0, abs=0.05)
    assert (Kind.VIDEO, Cause.GAP, "waiting_keyframe") in stage.missing


def test_sound_alone_opens_a_file_after_ten_seconds_and_the_first_keyframe_the_next_one(tmp_path):
    stage, alice = Stage(tmp_path), a_publisher()
    stage.recording.on_attached(alice)
    stage.play(alice, merged(sound(14), camera(2, at_s=12)))
    first, second = stage.stop()

    assert list(contents(first)) == ["aac"]
    # What was written while the picture's clock settled stays in the first file and is not written twice.
    assert 12.0 <= contents(first)["aac"][2] <= 12.7
    assert stage.ended[0].summary.end_ns <= stage.ended[1].summary.start_ns + 700_000_000
    assert set(contents(second)) == {"aac", "h264"}


def test_a_publisher_without_camera_gives_a_file_with_sound_only(tmp_path):
    stage, alice = Stage(tmp_path), a_publisher(kinds=(Kind.AUDIO,))
    stage.recording.on_attached(alice)
    stage.play(alice, sound(2))
    (path,) = stage.stop()

    assert list(contents(path)) == ["aac"]


def test_tracks_are_those_negotiated_even_if_sound_comes_late(tmp_path):
    stage, alice = Stage(tmp_path), a_publisher()
    stage.recording.on_attached(alice)
    stage.play(alice, merged(camera(4), sound(2, at_s=2)))
    (path,) = stage.stop()

    found = contents(path)
    assert found["aac"][2] == pytest.approx(4.0, abs=0.05)
    assert (Kind.AUDIO, Cause.GAP, "not_sent_yet") in stage.missing


def test_sound_that_stops_before_the_picture_is_declared_missing_to_the_end(tmp_path):
    stage, alice = Stage(tmp_path), a_publisher()
    stage.recording.on_attached(alice)
    stage.play(alice, merged(camera(4), sound(2)))
    stage.stop()

    (gap,) = [m for m in stage.media[-1].missing if m.kind is Kind.AUDIO]
    assert (gap.cause, gap.detail) == (Cause.PAUSE, "not_sent")
    assert (gap.start_ns / 1e9, gap.end_ns / 1e9) == pytest.approx((2.0, 4.0), abs=0.06)


def test_a_job_without_audio_writes_none(tmp_path):
    stage, alice = Stage(tmp_path, a_job(with_audio=False)), a_publisher()
    stage.recording.on_attached(alice)
    stage.play(alice, merged(camera(2), sound(2)))
    (path,) = stage.stop()

    assert list(contents(path)) == ["h264"]


def test_the_record_cycle_cuts_at_keyframes_and_loses_nothing(tmp_path):
    stage = Stage(tmp_path, with_rule(mp4=Mp4Config(record_cycle_s=2, merge_gap_s=300), audio=AudioMode.COPY))
    alice = a_publisher()
    stage.recording.on_attached(alice)
    stage.play(alice, merged(camera(7), sound(7)))
    paths = stage.stop()

    found = [contents(path) for path in paths]
    assert [f["h264"][0] for f in found] == [60, 60, 60, 30]
    assert sum(f["opus"][0] for f in found) == 350
    assert [round((e.summary.start_ns) / 1e9) for e in stage.ended] == [0, 2, 4, 6]


def test_a_replaced_publisher_continues_the_same_file(tmp_path):
    stage, first, second = Stage(tmp_path), a_publisher(1), a_publisher(2)
    stage.recording.on_attached(first)
    stage.play(first, merged(camera(2), sound(2)))
    stage.recording.on_detached(first, "replaced")
    stage.recording.on_attached(second)
    stage.play(second, merged(camera(2, at_s=3, rtp_zero=5), sound(2, at_s=3, rtp_zero=99)))
    (path,) = stage.stop()

    assert contents(path)["h264"][0] == 120
    assert contents(path)["h264"][2] == pytest.approx(5.0, abs=0.1)


def test_an_interruption_within_the_merge_gap_continues_the_file_and_is_declared_idle(tmp_path):
    stage, first, second = Stage(tmp_path), a_publisher(1), a_publisher(2)
    stage.recording.on_attached(first)
    stage.play(first, merged(camera(2), sound(2)))
    stage.recording.on_detached(first, "left")
    stage.wait(5)
    stage.recording.on_attached(second)
    stage.play(second, merged(camera(2, at_s=7), sound(2, at_s=7)))
    (path,) = stage.stop()

    assert contents(path)["aac"][2] == pytest.approx(9.0, abs=0.1)
    assert (Kind.VIDEO, Cause.IDLE, "participant_left") in stage.missing
    assert (Kind.AUDIO, Cause.IDLE, "participant_left") in stage.missing


def test_an_interruption_longer_than_the_merge_gap_begins_a_new_file(tmp_path):
    stage = Stage(tmp_path, with_rule(mp4=Mp4Config(record_cycle_s=3600, merge_gap_s=2)))
    first, second = a_publisher(1), a_publisher(2)
    stage.recording.on_attached(first)
    stage.play(first, merged(camera(2), sound(2)))
    stage.recording.on_detached(first, "left")
    stage.wait(5)
    assert len(stage.ended) == 1
    stage.recording.on_attached(second)
    stage.play(second, merged(camera(2, at_s=7), sound(2, at_s=7)))

    assert [contents(path)["h264"][0] for path in stage.stop()] == [60, 60]


def test_a_new_rule_takes_over_at_the_next_keyframe(tmp_path):
    stage, alice = Stage(tmp_path), a_publisher()
    stage.recording.on_attached(alice)
    frames = merged(camera(4), sound(4))
    half = next(n for n, frame in enumerate(frames) if frame.received_ns > frames[0].received_ns + 1_500_000_000)
    stage.play(alice, frames[:half])
    stage.recording.update(a_rule(rule_id="rule2", audio=AudioMode.COPY))
    stage.play(alice, frames[half:])
    first, second = stage.stop()

    assert set(contents(first)) == {"h264", "aac"}
    assert set(contents(second)) == {"h264", "opus"}
    assert stage.media[-1].rule.rule_id == "rule2"


def test_a_codec_change_begins_a_new_file(tmp_path):
    stage, first, second = Stage(tmp_path), a_publisher(1), a_publisher(2, codec=Codec.VP8)
    stage.recording.on_attached(first)
    stage.play(first, merged(camera(2), sound(2)))
    stage.recording.on_detached(first, "replaced")
    stage.recording.on_attached(second)
    stage.play(second, merged(camera(2, Codec.VP8, at_s=2.5), sound(2, at_s=2.5)))

    assert [path.suffix for path in stage.stop()] == [".mp4", ".webm"]


@pytest.mark.parametrize("codec", [Codec.H264, Codec.VP9])
def test_a_picture_of_another_coding_whose_keyframe_was_lost_spoils_no_file_and_has_one_asked_for(tmp_path, codec):
    stage, alice = Stage(tmp_path), a_publisher()
    stage.recording.on_attached(alice)
    other = Codec.VP9 if codec is Codec.H264 else Codec.H264
    stage.play(alice, merged(camera(2, codec), sound(2)))
    asked = len(alice._receiver.asked)
    late = [
        frame for frame in camera(4, other, at_s=2, rtp_zero=1_180_000) if not 0 <= frame.rtp_ticks - 1_180_000 < 9000
    ]
    stage.play(alice, merged(late, sound(4, at_s=2, rtp_zero=96_007)))

    first, second = stage.stop()
    assert len(alice._receiver.asked) > asked
    assert contents(first)[codec.value][0] == 60
    assert contents(second)[other.value][0] == 90


def test_another_profile_of_h264_begins_a_new_file_and_another_level_does_not(tmp_path):
    stage, alice = Stage(tmp_path), a_publisher()
    stage.recording.on_attached(alice)
    larger = video_samples(Codec.H264, 2, width=1280, height=720)
    other = video_samples(Codec.H264, 2, options=HIGH_PROFILE)
    pictures = [
        *camera(2),
        *frames_of(larger, size=(1280, 720), at_s=2, rtp_zero=1_180_000),
        *frames_of(other, at_s=4, rtp_zero=1_360_000),
    ]
    stage.play(alice, merged(pictures, sound(6)))

    first, second = stage.stop()
    assert [contents(path)["h264"][0] for path in (first, second)] == [120, 60]
    profiles = []
    for path in (first, second):
        with av.open(str(path)) as file:
            profiles.append(file.streams.video[0].codec_context.extradata[1])
    assert profiles == [66, 100]
    assert stage.missing == []


def test_a_size_change_stays_in_the_file_and_is_written_down(tmp_path):
    stage, alice = Stage(tmp_path), a_publisher()
    stage.recording.on_attached(alice)
    small = frames_of(video_samples(Codec.H264, 2), size=(320, 180))
    large = frames_of(video_samples(Codec.H264, 2, width=640, height=360), size=(640, 360), at_s=2, rtp_zero=1_180_000)
    stage.play(alice, merged(small + large, sound(4)))
    (path,) = stage.stop()

    assert contents(path)["h264"][0] == 120
    with av.open(str(path)) as file:
        # avc1 would forbid the parameter sets that come with the larger pictures; players of avc3 expect them.
        assert file.streams.video[0].codec_context.codec_tag == "avc3"
        assert {(picture.width, picture.height) for picture in file.decode(video=0)} == {(320, 180), (640, 360)}
    assert struct.pack(">II", 640 << 16, 360 << 16) in path.read_bytes()
    assert [(layer.width, layer.height) for layer in stage.ended[0].summary.layers] == [(320, 180), (640, 360)]


def play_screen_and_microphone(stage):
    """Share a screen from one publisher and a microphone from another for three seconds; return both."""
    screen = a_publisher(1, source=TrackSource.SCREEN, kinds=(Kind.VIDEO,))
    mic = a_publisher(2, source=TrackSource.CAMERA)
    stage.recording.on_attached(screen)
    stage.recording.on_attached(mic)
    for frame in merged(camera(3), sound(3)):
        stage.play(screen if frame.mid == "1" else mic, [frame])
    return screen, mic


def test_a_screen_job_takes_the_microphone_of_the_camera_publisher(tmp_path):
    stage = Stage(tmp_path, a_job(video=TrackSource.SCREEN))
    play_screen_and_microphone(stage)
    (path,) = stage.stop()

    assert set(contents(path)) == {"h264", "aac"}


def test_a_stop_before_the_first_keyframe_leaves_no_picture_but_keeps_the_sound(tmp_path):
    stage, alice = Stage(tmp_path), a_publisher()
    stage.recording.on_attached(alice)
    stage.play(alice, merged(camera(2)[1:30], sound(1)))
    (path,) = stage.stop()

    assert list(contents(path)) == ["aac"]


def test_a_stop_before_any_media_leaves_no_file(tmp_path):
    stage = Stage(tmp_path)
    stage.recording.on_attached(a_publisher())
    stage.wait(2)

    assert stage.stop() == []
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_refuses_fails_this_recording_and_says_so(tmp_path):
    stage, alice = Stage(tmp_path / "gone"), a_publisher()
    stage.recording.on_attached(alice)
    stage.play(alice, merged(camera(2), sound(2)))

    assert len(stage.failures) == 1
    assert stage.stop() == []


def test_a_silent_camera_is_asked_for_a_keyframe_again_and_again(tmp_path):
    stage, alice = Stage(tmp_path), a_publisher()
    stage.recording.on_attached(alice)
    stage.play(alice, merged(camera(2)[1:30], sound(3)))

    assert alice._receiver.asked.count((1, "1", None)) >= 4


def test_media_after_the_stop_changes_nothing(tmp_path):
    stage, alice = Stage(tmp_path), a_publisher()
    stage.recording.on_attached(alice)
    stage.play(alice, merged(camera(2), sound(2)))
    stage.stop()
    stage.play(alice, camera(1, at_s=2))

    assert len(stage.ended) == 1


def test_samples_are_plain_values():
    assert Sample(Kind.AUDIO, 48_000, 960, 48_000, is_keyframe=True, data=b"").end_ns == 1_020_000_000


def test_a_screen_share_that_ends_leaves_one_file_that_goes_on_with_the_microphone(tmp_path):
    stage = Stage(tmp_path, a_job(video=TrackSource.SCREEN, rule=a_rule(mp4=Mp4Config(record_cycle_s=3600))))
    screen, mic = play_screen_and_microphone(stage)
    stage.recording.on_detached(screen, "left")
    stage.play(mic, sound(12)[150:])
    (path,) = stage.stop()

    assert contents(path)["aac"][2] == pytest.approx(12.0, abs=0.1)


def test_leaving_and_coming_back_between_two_ticks_is_an_interruption(tmp_path):
    stage = Stage(tmp_path, with_rule(mp4=Mp4Config(record_cycle_s=3600, merge_gap_s=0)))
    first, second = a_publisher(1), a_publisher(2)
    stage.recording.on_attached(first)
    stage.play(first, merged(camera(2), sound(2)))
    stage.recording.on_detached(first, "left")
    stage.recording.on_attached(second)
    stage.play(second, merged(camera(2, at_s=2.3), sound(2, at_s=2.3)))

    assert len(stage.stop()) == 2


@pytest.mark.parametrize(("silent_s", "files"), [(3, 1), (12, 2)])
def test_a_replaced_publisher_counts_as_gone_only_if_it_had_long_been_silent(tmp_path, silent_s, files):
    stage = Stage(tmp_path, with_rule(mp4=Mp4Config(record_cycle_s=3600, merge_gap_s=1)))
    first, second = a_publisher(1), a_publisher(2)
    stage.recording.on_attached(first)
    stage.play(first, merged(camera(2), sound(2)))
    stage.wait(silent_s)
    stage.recording.on_detached(first, "replaced")
    stage.recording.on_attached(second)
    at_s = 2 + silent_s
    stage.play(second, merged(camera(2, at_s=at_s), sound(2, at_s=at_s)))

    assert len(stage.stop()) == files


def test_the_hole_of_a_takeover_is_declared_on_both_tracks(tmp_path):
    stage, first, second = Stage(tmp_path), a_publisher(1), a_publisher(2)
    stage.recording.on_attached(first)
    stage.play(first, merged(camera(2), sound(2)))
    stage.recording.on_detached(first, "replaced")
    stage.recording.on_attached(second)
    stage.play(second, merged(camera(2, at_s=3), sound(2, at_s=3)))
    stage.stop()

    assert (Kind.VIDEO, Cause.GAP, "publisher_replaced") in stage.missing
    assert (Kind.AUDIO, Cause.GAP, "publisher_replaced") in stage.missing


def test_the_record_cycle_cuts_on_sound_once_the_picture_is_gone(tmp_path):
    stage, alice = Stage(tmp_path, with_rule(mp4=Mp4Config(record_cycle_s=10, merge_gap_s=300))), a_publisher()
    stage.recording.on_attached(alice)
    stage.play(alice, merged(camera(2), sound(25)))

    starts = [round(ended.summary.start_ns / 1e9) for ended in (stage.stop() and stage.ended)]
    assert starts == [0, 10, 20]


def test_a_packet_in_mono_first_does_not_make_the_file_mono(tmp_path):
    stage, alice = Stage(tmp_path), a_publisher()
    stage.recording.on_attached(alice)
    stereo = frames_of(opus_samples(2, channels=2), Codec.OPUS, rtp_zero=7)
    mono = frames_of(opus_samples(2), Codec.OPUS, rtp_zero=7)
    stage.play(alice, merged(camera(2), mono[:2] + stereo[2:]))
    stage.stop()

    assert stage.ended[0].summary.channels == 2


def test_a_keyframe_without_a_byte_opens_no_file(tmp_path):
    stage, alice = Stage(tmp_path), a_publisher(codec=Codec.VP8)
    stage.recording.on_attached(alice)
    pictures = [frame.but(data=b"") for frame in camera(1, Codec.VP8)]
    stage.play(alice, merged(pictures, sound(1)))

    (path,) = stage.stop()
    assert set(contents(path)) == {"aac"}


def test_a_suspended_recording_keeps_one_file_and_declares_the_pause(tmp_path):
    stage, alice = Stage(tmp_path, with_rule(mp4=Mp4Config(record_cycle_s=3600, merge_gap_s=300))), a_publisher()
    stage.recording.on_attached(alice)
    frames = merged(camera(9), sound(9))
    stage.play(alice, part(frames, 0, 3))
    stage.recording.suspend(suspended=True)
    stage.play(alice, part(frames, 3, 6.5))
    stage.recording.suspend(suspended=False)
    stage.play(alice, part(frames, 6.5, 9))
    (path,) = stage.stop()

    pauses = {m.kind: (m.start_ns / NS, m.end_ns / NS) for m in stage.media[-1].missing if m.detail == "suspended"}
    assert {m.cause for m in stage.media[-1].missing} == {Cause.PAUSE}
    assert pauses[Kind.AUDIO] == pytest.approx((3.0, 6.5), abs=0.05)
    # The picture goes on at a keyframe; what refers to pictures that were not kept is not recorded.
    assert pauses[Kind.VIDEO] == pytest.approx((3.0, 7.0), abs=0.05)
    assert contents(path)["h264"][0] == 90 + 60
    assert contents(path)["h264"][2] == pytest.approx(9.0, abs=0.05)
    assert alice._receiver.asked[-1] == (1, "1", None)


def test_a_suspension_longer_than_the_merge_gap_begins_a_new_file(tmp_path):
    stage, alice = Stage(tmp_path, with_rule(mp4=Mp4Config(record_cycle_s=3600, merge_gap_s=2))), a_publisher()
    stage.recording.on_attached(alice)
    frames = merged(camera(9), sound(9))
    stage.play(alice, part(frames, 0, 2))
    stage.recording.suspend(suspended=True)
    stage.play(alice, part(frames, 2, 6))
    assert len(stage.ended) == 1
    stage.recording.suspend(suspended=False)
    stage.play(alice, part(frames, 6, 9))

    first, second = stage.stop()
    assert contents(first)["h264"][0] == 60
    assert contents(second)["h264"][0] == 90


def test_a_recording_that_is_taken_over_suspended_records_nothing_until_it_goes_on(tmp_path):
    stage, alice = Stage(tmp_path, replace(a_job(), suspended=True)), a_publisher()
    stage.recording.on_attached(alice)
    frames = merged(camera(4), sound(4))
    stage.play(alice, part(frames, 0, 2))
    assert stage.opened == []
    stage.recording.suspend(suspended=False)
    stage.play(alice, part(frames, 2, 4))

    (path,) = stage.stop()
    assert contents(path)["h264"][0] == 60


def test_a_participant_who_leaves_while_suspended_is_still_waited_for_as_after_any_leave(tmp_path):
    stage, alice = Stage(tmp_path, with_rule(mp4=Mp4Config(record_cycle_s=3600, merge_gap_s=1))), a_publisher()
    stage.recording.on_attached(alice)
    stage.play(alice, merged(camera(2), sound(2)))
    stage.recording.suspend(suspended=True)
    stage.recording.on_detached(alice, "left")
    stage.recording.suspend(suspended=False)
    stage.wait(2)

    assert len(stage.ended) == 1
