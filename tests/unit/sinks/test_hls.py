"""Where segments begin and end, and what is in them, measured in the files themselves."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.media import HIGH_PROFILE, interleaved, opus_format, opus_samples, video_format, video_samples

from soloist.model.errors import InternalError
from soloist.model.media import Codec, Kind
from soloist.model.rule import AudioMode, RecordFormat
from soloist.model.timing import Cause, Missing
from soloist.sinks.hls import HOLE_NS, NS, HlsFile
from soloist.sinks.matrix import plan
from soloist.sinks.parameters import parameters
from soloist.sinks.repair import repair_segment, whole_ts_bytes
from soloist.wire.playlist import target_duration_s

SLICE_S = 2


def sized(samples):
    """Return samples as a timeline makes them: keyframes know their size."""
    return [replace(s, width=320, height=180) if s.kind is Kind.VIDEO and s.is_keyframe else s for s in samples]


def moved(samples, seconds):
    """Return samples that come so much later."""
    return [replace(sample, pts_ticks=sample.pts_ticks + int(seconds * sample.rate_hz)) for sample in samples]


def opened(folder, closed, *, codec=Codec.H264, with_sound=True, audio_mode=AudioMode.AAC, zero_ns=0, start_ns=0):
    """Return a playlist that adds its segments to `closed`."""
    return HlsFile(
        plan(codec, with_audio=with_sound, audio_mode=audio_mode, wanted=RecordFormat.HLS),
        video=video_format(codec, video_samples(codec, 1)) if codec else None,
        audio=opus_format() if with_sound else None,
        zero_ns=zero_ns,
        start_ns=start_ns,
        slice_s=SLICE_S,
        new_path=lambda name: folder / name,
        emit=closed.append,
    )


def record(folder, samples, *, codec=Codec.H264, with_sound=True, audio_mode=AudioMode.AAC, zero_s=0):
    """Write samples as one playlist; return its segments."""
    folder.mkdir(parents=True, exist_ok=True)
    closed = []
    start_ns = samples[0].pts_ns
    terms = {"codec": codec, "with_sound": with_sound, "audio_mode": audio_mode}
    file = opened(folder, closed, **terms, zero_ns=-zero_s * NS, start_ns=start_ns)
    for sample in samples:
        file.push(sample)
    file.conclude()
    return closed


def packets(segment, kind):
    """Return a segment's packets of a kind: when each begins, seconds, and its bytes."""
    data = (segment.init.read_bytes() if segment.init else b"") + segment.path.read_bytes()
    joined = segment.path.with_suffix(".whole")
    joined.write_bytes(data)
    with av.open(str(joined)) as container:
        found = [p for p in container.demux() if p.stream.type == kind and p.pts is not None and p.size]
        return [(p.pts * p.time_base, p.is_keyframe) for p in found]


def first_picture(segment):
    """Return the bytes of a segment's first picture."""
    with av.open(str(segment.path)) as container:
        return bytes(next(container.demux(video=0)))


def lengths_s(segments):
    return [round((segment.end_ns - segment.start_ns) / NS, 3) for segment in segments]


@pytest.mark.parametrize("codec", [Codec.H264, Codec.VP9, Codec.AV1])
def test_each_segment_begins_with_its_keyframe_and_times_go_on(tmp_path, codec):
    pictures = sized(video_samples(codec, 7))
    segments = record(tmp_path, interleaved(tuple(pictures), opus_samples(7)), codec=codec)

    assert lengths_s(segments) == [2, 2, 2, 1]
    seen = [packets(segment, "video") for segment in segments]
    assert all(found[0][1] for found in seen)
    assert [float(found[0][0]) for found in seen] == pytest.approx([0, 2, 4, 6])
    assert sum(len(found) for found in seen) == len(pictures)
    assert all(before.end_ns == after.start_ns for before, after in pairwise(segments))


@pytest.mark.parametrize(("codec", "tick"), [(Codec.H264, Fraction(1, 90_000)), (Codec.VP9, Fraction(1, 48_000))])
def test_sound_is_one_unbroken_line_of_aac_frames_over_all_segments(tmp_path, codec, tick):
    segments = record(
        tmp_path, interleaved(tuple(sized(video_samples(codec, 7))), opus_samples(7)), codec=codec, zero_s=5
    )

    times = [at for segment in segments for at, _ in packets(segment, "audio")]
    assert times[0] == 5
    assert {after - before for before, after in pairwise(times)} <= {Fraction(1024, 48_000)}
    assert 12 - times[-1] < Fraction(1024, 48_000) + tick


def test_muted_sound_is_silence_in_every_segment(tmp_path):
    sound = tuple(sample for sample in opus_samples(9) if not 2 * NS <= sample.pts_ns < 8 * NS)
    segments = record(tmp_path, interleaved(tuple(sized(video_samples(Codec.H264, 9))), sound))

    times = [at for segment in segments for at, _ in packets(segment, "audio")]
    assert all(packets(segment, "audio") for segment in segments)
    assert {after - before for before, after in pairwise(times)} == {Fraction(1024, 48_000)}


def test_sound_that_never_comes_is_silence_from_the_beginning(tmp_path):
    segments = record(tmp_path, sized(video_samples(Codec.H264, 5)))

    assert packets(segments[0], "audio")[0][0] == 0
    assert all(packets(segment, "audio") for segment in segments)


def test_opus_is_kept_in_fmp4_where_it_is_asked_for(tmp_path):
    samples = interleaved(tuple(sized(video_samples(Codec.VP9, 3))), opus_samples(3))
    segments = record(tmp_path, samples, codec=Codec.VP9, audio_mode=AudioMode.COPY)

    assert sum(len(packets(segment, "audio")) for segment in segments) == 150


def test_sound_alone_is_cut_by_time(tmp_path):
    segments = record(tmp_path, list(opus_samples(7)), codec=None)

    assert lengths_s(segments) == [2, 2, 2, 1]
    assert all(segment.is_independent for segment in segments)


def test_a_sender_without_keyframes_is_cut_at_the_target_and_the_next_segment_says_so(tmp_path):
    pictures = sized(video_samples(Codec.H264, 26, gop=10_000))
    segments = record(tmp_path, interleaved(tuple(pictures), opus_samples(26)))

    target_s = target_duration_s(SLICE_S)
    assert all(target_s - 1.1 < length_s <= target_s for length_s in lengths_s(segments)[:-1])
    assert [segment.is_independent for segment in segments] == [True, False, False]
    assert {parameters(Codec.H264, first_picture(s)) for s in segments} == {parameters(Codec.H264, pictures[0].data)}
    assert sum(len(packets(segment, "video")) for segment in segments) == len(pictures)


@pytest.mark.parametrize("codec", [Codec.H264, Codec.VP9, Codec.AV1])
def test_while_the_camera_is_off_sound_goes_on_over_black_without_a_hole(tmp_path, codec):
    pictures = [sample for sample in sized(video_samples(codec, 12)) if not 3 * NS <= sample.pts_ns < 9.5 * NS]
    segments = record(tmp_path, interleaved(tuple(pictures), opus_samples(12)), codec=codec)

    assert lengths_s(segments) == [2, 1, 2, 2, 2, 1, 2]
    assert [segment.width for segment in segments] == [320, 320, 0, 0, 0, 0, 320]
    assert all(segment.is_independent for segment in segments)
    assert all(after.start_ns == before.end_ns for before, after in pairwise(segments))
    # Only a keyframe ends the black: nothing is left for those before it to refer to.
    assert sum(segment.frames.get(Kind.VIDEO, 0) for segment in segments) == 90 + 60
    left_out = Missing(Kind.VIDEO, 9_500_000_000, 10 * NS, Cause.GAP, "waiting_keyframe")
    assert [segment.missing for segment in segments] == [()] * 6 + [(left_out,)]
    assert sum(segment.frames[Kind.AUDIO] for segment in segments) == 600
    shown = [at_s for segment in segments for at_s, _ in packets(segment, "video")]
    assert max(after - before for before, after in pairwise(shown)) <= Fraction(1, 5) + Fraction(1, 30)
    heard = [at_s for segment in segments for at_s, _ in packets(segment, "audio")]
    assert {round((after - before) * 48_000) for before, after in pairwise(heard)} <= {1023, 1024, 1025}


@pytest.mark.parametrize(
    ("codec", "away_s", "size"), [(Codec.H264, 600, 320), (Codec.VP9, 600, 320), (Codec.H264, 1.5, 640)]
)
def test_the_first_picture_stands_from_where_sound_alone_began(tmp_path, codec, away_s, size):
    one = interleaved(tuple(sized(video_samples(codec, 3))), opus_samples(3))
    sound = opus_samples(4 if away_s > 2 else 5)
    pictures = [replace(s, width=size if s.width else 0) for s in moved(sized(video_samples(codec, 3)), 3 + away_s)]
    back = moved(sound, 3 + away_s - 1) if away_s > 2 else moved(sound, 3)
    segments = record(tmp_path, [*one, *interleaved(tuple(pictures), tuple(back))], codec=codec)

    begins_s = 3 + away_s - 1 if away_s > 2 else 3
    (first,) = (segment for segment in segments if segment.start_ns == begins_s * NS)
    (early, _), (real, _), *_ = packets(first, "video")
    assert float(early) == pytest.approx(begins_s, abs=1e-3)
    assert float(real) == pytest.approx(3 + away_s, abs=1e-3)
    assert sum(segment.frames.get(Kind.VIDEO, 0) for segment in segments) == 180
    assert all(segment.width for segment in segments)


@pytest.mark.parametrize("codec", [Codec.H264, Codec.VP9])
def test_a_playlist_begins_with_a_picture_however_little_its_sound_is_ahead(tmp_path, codec):
    late = moved(sized(video_samples(codec, 2)), 0.06)
    (segment,) = record(tmp_path, interleaved(tuple(late), opus_samples(2)), codec=codec)

    assert [float(at_s) for at_s, _ in packets(segment, "video")][:2] == pytest.approx([0, 0.06], abs=1e-3)
    assert segment.frames[Kind.VIDEO] == 60


@pytest.mark.parametrize("with_sound", [True, False])
def test_a_transport_stream_has_no_hole_before_another_size_though_no_sound_is_there_yet(tmp_path, with_sound):
    one = sized(video_samples(Codec.H264, 1))
    other = [replace(s, width=640 if s.width else 0) for s in moved(one, 1.7)]
    sound = opus_samples(Fraction(27, 10)) if with_sound else ()
    segments = record(tmp_path, [*one, *other, *sound], with_sound=with_sound)

    assert lengths_s(segments) == [1.0, 1.7]
    assert [float(at_s) for at_s, _ in packets(segments[1], "video")][:2] == pytest.approx([1, 1.7], abs=1e-3)


@pytest.mark.parametrize("codec", [Codec.H264, Codec.VP9])
def test_a_segment_that_is_due_ends_where_pictures_do_and_the_next_one_begins_with_what_comes_then(tmp_path, codec):
    one, back = sized(video_samples(codec, 2)), moved(sized(video_samples(codec, 1)), 3.5)
    segments = record(tmp_path, interleaved((*one[:50], *back), opus_samples(4)), codec=codec)

    # The last picture of an fMP4 segment stands as long as it says.
    begins_s = [one[50].pts_ns / NS, 3.5] if codec is Codec.H264 else [3.5, 3.5 + 1 / 30]
    assert [segment.start_ns for segment in segments[1:2]] == [round(begins_s[0] * NS)]
    assert all(segment.is_independent for segment in segments)
    assert [float(at_s) for at_s, _ in packets(segments[1], "video")][:2] == pytest.approx(begins_s, abs=1e-3)


def test_sound_that_is_kept_as_it_came_has_no_hole_in_any_segment(tmp_path):
    sound = [sample for sample in opus_samples(5) if not NS <= sample.pts_ns < 3.5 * NS]
    samples = interleaved(tuple(sized(video_samples(Codec.VP9, 8))), tuple(sound))
    segments = record(tmp_path, samples, codec=Codec.VP9, audio_mode=AudioMode.COPY)

    heard = [at_s for segment in segments for at_s, _ in packets(segment, "audio")]
    assert max(after - before for before, after in pairwise(heard)) <= Fraction(1, 50)
    assert heard[-1] > 7.8
    assert sum(segment.frames.get(Kind.AUDIO, 0) for segment in segments) == len(sound)


@pytest.mark.parametrize("codec", [Codec.H264, Codec.VP9])
@pytest.mark.parametrize("is_ticked", [True, False])
def test_sound_that_comes_back_alone_before_the_end_is_shown_in_black(tmp_path, codec, is_ticked):
    one, closed = interleaved(tuple(sized(video_samples(codec, 3))), opus_samples(3)), []
    file = opened(tmp_path, closed, codec=codec)
    for sample in [*one, *moved(opus_samples(1), 9)]:
        file.push(sample)
    if is_ticked:
        file.tick(int(12.5 * NS))
    file.conclude()

    assert (closed[-1].start_ns, closed[-1].is_discontinuous) == (9 * NS, True)
    assert all(packets(segment, "video") for segment in closed)


@pytest.mark.parametrize("mode", AudioMode)
def test_a_muted_screen_has_silence_in_each_segment_though_its_pictures_are_rare_and_late(tmp_path, mode):
    closed = []
    file = opened(tmp_path, closed, codec=Codec.VP9, audio_mode=mode)
    for sample in sized(video_samples(Codec.VP9, 13, fps=1, gop=4)):
        for tenth in range(10):
            file.tick(sample.pts_ns + int((tenth / 10 - 0.7) * NS))
        file.push(sample)
    file.conclude()

    begins_s = [float(packets(segment, "audio")[0][0]) for segment in closed]
    assert begins_s == pytest.approx([segment.start_ns / NS for segment in closed], abs=0.03)


def test_no_sound_is_given_up_that_is_only_late(tmp_path):
    one = sized(video_samples(Codec.VP9, 1))
    sizes = [
        replace(s, width=320 + 2 * n if s.width else 0) for n, at in enumerate((0, 1, 1.3)) for s in moved(one, at)
    ]
    pictures = [s for n, at in enumerate((1, 0.3, 0.7)) for s in sizes[30 * n :][: int(30 * at)]]
    late = sorted([*pictures, *opus_samples(2)], key=lambda s: s.pts_ns + (s.kind is Kind.AUDIO) * 0.45 * NS)
    segments = record(tmp_path, late, codec=Codec.VP9, audio_mode=AudioMode.COPY)

    assert sum(len(packets(segment, "audio")) for segment in segments) == len(opus_samples(2))


def test_the_shortest_last_segment_has_sound(tmp_path):
    segments = record(tmp_path, sized(video_samples(Codec.VP9, Fraction(21, 10), gop=60)), codec=Codec.VP9)

    assert lengths_s(segments) == [2, 0.1]
    assert packets(segments[-1], "audio")


@pytest.mark.parametrize("mode", AudioMode)
def test_segments_that_follow_each_other_soon_have_each_their_own_silence(tmp_path, mode):
    sound = [sample for sample in opus_samples(4) if not NS <= sample.pts_ns < 2.6 * NS]
    one = sized(video_samples(Codec.VP9, 1))
    pictures = [replace(s, width=320 + 2 * n if s.width else 0) for n in range(4) for s in moved(one, n)]
    segments = record(tmp_path, interleaved(tuple(pictures), tuple(sound)), codec=Codec.VP9, audio_mode=mode)

    assert [float(packets(segment, "audio")[0][0]) for segment in segments] == pytest.approx([0, 1, 2, 3], abs=0.025)


@pytest.mark.parametrize("codec", [Codec.H264, Codec.VP9])
@pytest.mark.parametrize(("at_s", "ends_s"), [(4, 5.5), (3.5, 5), (4, 8)])
def test_no_segment_is_without_a_picture_where_pictures_end_before_the_sound(tmp_path, codec, at_s, ends_s):
    pictures = sized(video_samples(codec, Fraction(at_s)))
    segments = record(tmp_path, interleaved(tuple(pictures), opus_samples(Fraction(ends_s))), codec=codec)

    assert all(packets(segment, "video") for segment in segments)
    assert segments[-1].end_ns == pytest.approx(ends_s * NS, abs=NS // 20)


def test_sound_that_comes_back_before_a_picture_nothing_can_be_made_of_is_shown_in_black(tmp_path):
    one, closed = interleaved(tuple(sized(video_samples(Codec.H264, 3))), opus_samples(3)), []
    file = opened(tmp_path, closed)
    for sample in [*one, *moved(opus_samples(1), 9)[:2], *moved(one[1:], 9.03)]:
        file.push(sample)
        if sample.pts_ns > 9.5 * NS:
            break
    assert file.wants_keyframe
    file.conclude()

    assert closed[-1].is_discontinuous
    assert closed[-1].is_independent
    assert [m.cause for m in closed[-1].missing] == [Cause.GAP]


def test_a_picture_without_a_keyframe_after_black_has_one_asked_for_and_is_told_of_if_none_comes(tmp_path):
    closed = []
    file, pictures = opened(tmp_path, closed), sized(video_samples(Codec.H264, 4))
    for sample in interleaved(tuple(pictures[:30]), opus_samples(6)):
        file.push(sample)
    assert not file.wants_keyframe
    file.push(moved([pictures[31]], 5)[0])
    assert file.wants_keyframe
    file.push(moved([pictures[60]], 4)[0])
    assert not file.wants_keyframe

    (last,) = moved([pictures[31]], 9)
    for sample in [*moved(opus_samples(5), 6), last]:
        file.push(sample)
    file.conclude()
    assert [(m.start_ns, m.end_ns) for m in closed[-1].missing] == [(last.pts_ns, last.end_ns)]


@pytest.mark.parametrize(
    ("codec", "change"),
    [(Codec.H264, {"options": HIGH_PROFILE}), (Codec.H264, {"width": 640, "height": 360}), (Codec.VP9, {"width": 160})],
)
def test_a_change_of_size_or_profile_begins_a_segment_after_a_discontinuity(tmp_path, codec, change):
    size = {key: value for key, value in change.items() if key != "options"}
    other = [replace(s, **size) if s.is_keyframe else s for s in moved(sized(video_samples(codec, 3, **change)), 3)]
    segments = record(tmp_path, interleaved((*sized(video_samples(codec, 3)), *other), opus_samples(6)), codec=codec)

    assert lengths_s(segments) == [2, 1, 2, 1]
    assert [segment.is_discontinuous for segment in segments] == [False, False, True, False]
    if codec is Codec.VP9:
        assert [segment.init.name for segment in segments] == ["init0.mp4"] * 2 + ["init2.mp4"] * 2


def test_an_interruption_is_a_discontinuity_and_takes_no_time_of_the_playlist(tmp_path):
    one = interleaved(tuple(sized(video_samples(Codec.H264, 3))), opus_samples(3))
    segments = record(tmp_path, [*one, *moved(one, 600)])

    assert [segment.is_discontinuous for segment in segments] == [False, False, True, False]
    assert lengths_s(segments) == [2, 1, 2, 1]
    assert segments[2].start_ns == 600 * NS


def test_a_segment_nothing_comes_to_any_more_is_closed_by_the_clock(tmp_path):
    closed = []
    file = opened(tmp_path, closed, with_sound=False)
    for sample in sized(video_samples(Codec.H264, 1)):
        file.push(sample)
    file.tick(target_duration_s(SLICE_S) * NS)
    assert closed == []
    file.tick((target_duration_s(SLICE_S) + 2) * NS)

    assert lengths_s(closed) == [1]


@given(
    gop_s=st.lists(st.sampled_from([0.5, 1.0, 2.5, 5.0, 20.0]), min_size=1, max_size=6),
    holes=st.lists(st.sampled_from([0, 0, 0, 1.5, 3, 30]), min_size=6, max_size=6),
)
@settings(max_examples=25, deadline=None)
def test_no_segment_passes_the_target_and_none_overlaps_another_whatever_is_sent(tmp_path_factory, gop_s, holes):
    samples, at_s = [], 0.0
    source = sized(video_samples(Codec.H264, 20, gop=10_000, fps=5))
    for length_s, hole_s in zip(gop_s, holes, strict=False):
        samples += moved(source[: max(1, int(length_s * 5))], at_s)
        at_s += length_s + hole_s
    segments = record(tmp_path_factory.mktemp("hls"), samples, with_sound=False)

    assert all(0 < segment.end_ns - segment.start_ns <= target_duration_s(SLICE_S) * NS for segment in segments)
    for before, after in pairwise(segments):
        assert after.is_discontinuous or before.end_ns == after.start_ns
        assert after.start_ns >= before.end_ns
        assert after.start_ns - before.end_ns <= HOLE_NS or after.is_discontinuous
    assert sum(segment.frames[Kind.VIDEO] for segment in segments) == len(samples)


@pytest.mark.parametrize("codec", [Codec.H264, Codec.VP9])
def test_a_segment_torn_at_any_byte_keeps_its_whole_frames_and_nothing_else(tmp_path: Path, codec):
    samples = interleaved(tuple(sized(video_samples(codec, 2))), opus_samples(2))
    (segment, *_) = record(tmp_path, samples, codec=codec)
    whole = segment.path.read_bytes()
    frames_before = 0

    for cut in range(0, len(whole), len(whole) // 23):
        segment.path.write_bytes(whole[:cut])
        found = repair_segment(segment.path, segment.init, is_torn=True)
        frames = found.frames.get(Kind.VIDEO, 0)
        assert frames >= frames_before
        frames_before = frames
        if frames:
            data = (segment.init.read_bytes() if segment.init else b"") + segment.path.read_bytes()
            (tmp_path / "torn").write_bytes(data)
            with av.open(str(tmp_path / "torn")) as container:
                assert sum(1 for _ in container.decode(video=0)) == frames
    assert frames_before >= 25


def test_a_transport_stream_torn_after_a_small_picture_or_two_keeps_them(tmp_path):
    (segment,) = record(tmp_path, sized(video_samples(Codec.H264, 1, width=64, height=36)), with_sound=False)
    whole = segment.path.read_bytes()

    kept = []
    for cut in range(0, 188 * 16, 188):
        segment.path.write_bytes(whole[:cut])
        kept.append(repair_segment(segment.path, None, is_torn=True).frames.get(Kind.VIDEO, 0))
    assert kept == sorted(kept)
    assert set(kept) >= {0, 1, 2}


def test_a_transport_stream_without_a_whole_frame_holds_nothing():
    assert whole_ts_bytes(b"\x47" + bytes(187)) == 0
    assert whole_ts_bytes(b"") == 0


@pytest.mark.parametrize("codec", [Codec.H264, Codec.VP9, Codec.AV1])
def test_a_keyframe_that_is_none_costs_itself_and_not_the_playlist(tmp_path, codec):
    pictures = [
        replace(sample, data=b"\x99" * 50) if sample.is_keyframe and sample.pts_ns >= 2 * NS else sample
        for sample in sized(video_samples(codec, 7))
    ]
    segments = record(tmp_path, interleaved(tuple(pictures), opus_samples(7)), codec=codec)

    assert lengths_s(segments) == [2, 2, 2, 1]
    assert all(packets(segment, "audio") for segment in segments)


def test_a_full_disk_is_named(tmp_path):
    for codec in (Codec.H264, Codec.VP9):
        chosen = plan(codec, with_audio=False, audio_mode=AudioMode.AAC, wanted=RecordFormat.HLS)
        file = HlsFile(
            chosen,
            video=video_format(codec, video_samples(codec, 1)),
            audio=None,
            zero_ns=0,
            start_ns=0,
            slice_s=SLICE_S,
            new_path=lambda name: tmp_path / name if name.startswith("init") else Path("/dev/full"),
            emit=lambda _segment: None,
        )
        with pytest.raises(InternalError, match="disk"):
            push_all(file, sized(video_samples(codec, 3)))
        file.abort()


def push_all(file, samples):
    for sample in samples:
        file.push(sample)
