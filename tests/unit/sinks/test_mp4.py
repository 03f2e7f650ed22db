"""What is in an MP4, open, finished or refused, as ffmpeg, pymp4 and decoders see it."""

import errno
import hashlib
import random
import resource
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.media import interleaved, opus_format, opus_samples, video_format, video_samples
from support.mp4_boxes import read_boxes
from support.probe import counters, decode_warnings, packet_times, payloads, probe, sync

from soloist.model.errors import InternalError
from soloist.model.media import Codec, Kind, Sample, VideoFormat
from soloist.sinks import mp4_index
from soloist.sinks.aac import AacTranscoder
from soloist.sinks.mp4 import Mp4Sink

SECONDS = 3
CODECS = [Codec.H264, Codec.VP9, Codec.AV1]
TAGS = {Codec.H264: "avc1", Codec.VP9: "vp09", Codec.AV1: "av01"}
ZERO = Fraction(0)


def transcoded(samples: Iterable[Sample], channels: int = 1) -> tuple[AacTranscoder, tuple[Sample, ...]]:
    transcoder = AacTranscoder(channels)
    made = [coded for sample in samples for coded in transcoder.push(sample)]
    return transcoder, (*made, *transcoder.finish())


def shifted(samples: Iterable[Sample], seconds: Fraction) -> tuple[Sample, ...]:
    return tuple(replace(s, pts_ticks=s.pts_ticks + int(seconds * s.rate_hz)) for s in samples)


def push_all(sink: Mp4Sink, *tracks: tuple[Sample, ...]) -> None:
    for sample in interleaved(*tracks):
        sink.push(sample)


def write(sink: Mp4Sink, *tracks: tuple[Sample, ...]) -> Path:
    push_all(sink, *tracks)
    sink.finish()
    return sink.path


def copy_sink(path: Path, video: tuple[Sample, ...], start: Fraction = ZERO, codec: Codec = Codec.H264) -> Mp4Sink:
    return Mp4Sink(path, video=video_format(codec, video), audio=opus_format(), start=start)


@pytest.mark.parametrize("codec", CODECS)
def test_finished_file_decodes_without_a_word_and_holds_every_picture(tmp_path, codec):
    video = video_samples(codec, SECONDS)
    transcoder, audio = transcoded(opus_samples(SECONDS))
    sink = Mp4Sink(tmp_path / "a.mp4", video=video_format(codec, video), audio=transcoder.format, start=ZERO)

    path = write(sink, video, audio)

    facts = probe(path)
    assert (decode_warnings(path), facts.complaints) == ("", "")
    assert [(s.codec, s.tag, s.width, s.height) for s in facts.streams if s.kind == "video"] == [
        (codec, TAGS[codec], 320, 180)
    ]
    assert [number for _, number in counters(path)] == list(range(SECONDS * 30))
    assert abs(sync(path).worst_ms) < 2


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("channels", [1, 2])
def test_second_parser_agrees_on_samples_and_durations_to_the_tick(tmp_path, codec, channels):
    video, audio = video_samples(codec, SECONDS), opus_samples(SECONDS, channels=channels)
    sink = Mp4Sink(tmp_path / "a.mp4", video=video_format(codec, video), audio=opus_format(channels), start=ZERO)

    file = read_boxes(write(sink, video, audio))

    picture, sound = file.track("vide"), file.track("soun")
    assert file.kinds == ["ftyp", "mdat", "moov"]
    assert (picture.entry, sound.entry) == (TAGS[codec], "Opus")
    assert (len(picture.sizes), picture.ticks, picture.declared_ticks) == (90, 270_000, 270_000)
    assert (len(sound.sizes), sound.ticks, sound.declared_ticks) == (150, 144_000, 144_000)
    assert picture.sync == [1, 31, 61]
    assert (file.movie_hz, file.movie_ticks) == (90_000, 270_000)


def test_opus_and_vp9_come_out_bit_for_bit(tmp_path):
    video, audio = video_samples(Codec.VP9, SECONDS), opus_samples(SECONDS)

    path = write(copy_sink(tmp_path / "a.mp4", video, codec=Codec.VP9), video, audio)

    assert [digest(data) for data in payloads(path, "video")] == [digest(sample.data) for sample in video]
    assert [digest(data) for data in payloads(path, "audio")] == [digest(sample.data) for sample in audio]


def test_h264_keeps_every_unit_and_takes_its_configuration_from_the_keyframe(tmp_path):
    video = video_samples(Codec.H264, SECONDS)

    path = write(copy_sink(tmp_path / "a.mp4", video), video)

    assert [length_prefixed(data) for data in payloads(path, "video")] == [annex_b(sample.data) for sample in video]
    with av.open(str(path)) as container:
        avcc = container.streams.video[0].codec_context.extradata
    parameter_sets = [unit for unit in annex_b(video[0].data) if unit[0] & 31 in (7, 8)]
    assert avcc[1:4] == parameter_sets[0][1:4]
    assert all(unit in avcc for unit in parameter_sets)


@pytest.mark.parametrize(("late", "delays"), [("video", (0.25, 0.0)), ("audio", (0.0, 0.25))])
def test_distance_between_first_sound_and_first_picture_survives(tmp_path, late, delays):
    video, audio = video_samples(Codec.H264, SECONDS), opus_samples(SECONDS)
    quarter = Fraction(1, 4)
    video, audio = (shifted(video, quarter), audio) if late == "video" else (video, shifted(audio, quarter))
    sink = copy_sink(tmp_path / "a.mp4", video)
    push_all(sink, video, audio)
    sink.push(replace(video[-1], pts_ticks=video[-1].pts_ticks + 90_000))

    still_open = read_boxes(sink.path)
    sink.finish()

    for file in (still_open, read_boxes(sink.path)):
        assert (file.track("vide").delay_s, file.track("soun").delay_s) == delays
    facts = probe(sink.path)
    assert (facts.stream("video").start_s, facts.stream("audio").start_s) == delays


def test_file_begins_at_its_own_zero_and_leaves_out_what_was_before(tmp_path):
    video, audio = video_samples(Codec.H264, SECONDS), opus_samples(SECONDS)
    start = Fraction(1)

    path = write(copy_sink(tmp_path / "a.mp4", video, start), tuple(s for s in video if s.pts_ticks >= 90_000), audio)

    facts = probe(path)
    assert (facts.duration_s, facts.stream("audio").start_s, facts.stream("audio").packets) == (2, 0, 100)
    assert counters(path)[0] == (0.0, 30)


def test_start_between_two_audio_ticks_moves_sound_by_less_than_one(tmp_path):
    video, audio = video_samples(Codec.H264, 1), opus_samples(1)
    start = Fraction(1, 90_000)

    path = write(
        copy_sink(tmp_path / "a.mp4", video, start), shifted(video, Fraction(1, 10)), shifted(audio, Fraction(1, 10))
    )

    first = packet_times(path, "audio")[0]
    assert abs(first - (Fraction(1, 10) - start)) < Fraction(1, 48_000)
    assert packet_times(path, "video")[0] == Fraction(1, 10) - start


def test_negotiated_sound_that_never_comes_leaves_a_playable_file(tmp_path):
    video = video_samples(Codec.H264, SECONDS)

    path = write(copy_sink(tmp_path / "a.mp4", video), video)

    assert decode_warnings(path) == ""
    assert [stream.kind for stream in probe(path).streams] == ["video"]


def test_file_without_any_sample_is_still_a_file(tmp_path):
    video = video_samples(Codec.H264, 1)

    path = write(copy_sink(tmp_path / "a.mp4", video))

    assert [(track.entry, track.sizes) for track in read_boxes(path).tracks] == [("avc1", []), ("Opus", [])]


@pytest.mark.parametrize("mode", ["aac", "copy"])
def test_audio_only_file_plays_to_its_end(tmp_path, mode):
    audio, declared = opus_samples(SECONDS), opus_format()
    if mode == "aac":
        transcoder, audio = transcoded(audio)
        declared = transcoder.format

    path = write(Mp4Sink(tmp_path / "a.mp4", video=None, audio=declared, start=ZERO), audio)

    assert decode_warnings(path) == ""
    assert read_boxes(path).track("soun").ticks == SECONDS * 48_000


def test_sample_lasts_until_the_next_one_whatever_it_claimed(tmp_path):
    video = video_samples(Codec.H264, 1)
    moments = [0, 3000, 3001, 95_000, 1_000_000, 1_000_500]
    uneven = tuple(replace(video[i], pts_ticks=ticks, duration_ticks=3000) for i, ticks in enumerate(moments))

    track = read_boxes(write(copy_sink(tmp_path / "a.mp4", video), uneven)).track("vide")

    assert track.durations == [3000, 1, 91_999, 905_000, 500, 3000]


@settings(max_examples=25)
@given(
    st.lists(st.integers(1, 400_000), min_size=1, max_size=60),
    st.lists(st.integers(1, 200_000), min_size=1, max_size=60),
    st.integers(0, 500_000),
)
def test_any_times_come_back_to_the_tick(picture_steps, sound_steps, late_ticks):
    picture, sound = video_samples(Codec.H264, 2)[:60], opus_samples(2)[:60]
    video = at_times(picture, accumulate(picture_steps, initial=late_ticks))
    audio = at_times(sound, accumulate(sound_steps, initial=0))
    with TemporaryDirectory() as folder:
        path = write(copy_sink(Path(folder) / "a.mp4", picture), video, audio)

        for samples, kind in ((video, "video"), (audio, "audio")):
            assert packet_times(path, kind) == [Fraction(s.pts_ticks, s.rate_hz) for s in samples]


def at_times(samples: Iterable[Sample], ticks: Iterable[int]) -> tuple[Sample, ...]:
    return tuple(replace(sample, pts_ticks=moment) for sample, moment in zip(samples, ticks, strict=False))


def test_hole_in_one_track_does_not_move_the_other(tmp_path):
    video, audio = video_samples(Codec.H264, SECONDS), opus_samples(SECONDS)
    holed = tuple(sample for sample in audio if not 48_000 <= sample.pts_ticks < 144_000)

    path = write(copy_sink(tmp_path / "a.mp4", video), video, holed)

    assert packet_times(path, "audio") == [Fraction(s.pts_ticks, 48_000) for s in holed]
    assert packet_times(path, "video") == [Fraction(s.pts_ticks, 90_000) for s in video]


def test_sample_that_stands_still_is_moved_by_one_tick_not_lost(tmp_path):
    video = video_samples(Codec.H264, 1)
    twice = (video[0], replace(video[1], pts_ticks=0), *video[2:])

    path = write(copy_sink(tmp_path / "a.mp4", video), twice)

    assert read_boxes(path).track("vide").durations[:3] == [1, 5999, 3000]


def test_open_file_gains_a_fragment_each_second_between_distant_keyframes(tmp_path):
    video, audio = video_samples(Codec.H264, 6, gop=300), opus_samples(6)
    sink = copy_sink(tmp_path / "a.mp4", video)
    ends = []
    for sample in interleaved(video, audio):
        sink.push(sample)
        if sample.kind is Kind.VIDEO and sample.pts_ticks % 90_000 == 0:
            file = read_boxes(sink.path)
            ends.append(tuple(track.delay_s + track.ticks / track.rate_hz for track in file.tracks))
    sink.abort()

    assert [second - min(end) < 1 for second, end in enumerate(ends)] == [True] * 6


def test_open_file_is_readable_from_its_first_fragment(tmp_path):
    video, audio = video_samples(Codec.H264, SECONDS), opus_samples(SECONDS)
    sink = copy_sink(tmp_path / "a.mp4", video)
    push_all(sink, video, audio)

    assert decode_warnings(sink.path) == ""
    assert probe(sink.path).stream("video").packets >= (SECONDS - 1) * 30
    sink.abort()


def test_aborted_file_keeps_its_fragments_and_can_be_indexed_later(tmp_path):
    video, audio = video_samples(Codec.H264, SECONDS), opus_samples(SECONDS)
    sink = copy_sink(tmp_path / "a.mp4", video)
    push_all(sink, video, audio)
    sink.abort()
    sink.abort()
    was_fragmented = read_boxes(sink.path).is_fragmented

    mp4_index.write_index(sink.path)

    file = read_boxes(sink.path)
    assert (was_fragmented, file.is_fragmented) == (True, False)
    assert len(file.track("vide").sizes) == SECONDS * 30 - 1
    assert decode_warnings(sink.path) == ""


def test_abort_after_finish_changes_nothing(tmp_path):
    video = video_samples(Codec.H264, 1)
    sink = copy_sink(tmp_path / "a.mp4", video)
    before = write(sink, video).read_bytes()

    sink.abort()

    assert sink.path.read_bytes() == before


def test_player_finds_any_second_by_the_index(tmp_path):
    video, audio = video_samples(Codec.H264, SECONDS), opus_samples(SECONDS)
    path = write(copy_sink(tmp_path / "a.mp4", video), video, audio)

    with av.open(str(path)) as container:
        container.seek(2_000_000)
        frame = next(container.decode(video=0))

    assert frame.time == 2.0


def test_file_states_the_wall_clock_of_its_zero_to_the_nanosecond(tmp_path):
    video = video_samples(Codec.H264, 1)
    origin_ns = 1_700_000_000_123_456_789
    sink = Mp4Sink(
        tmp_path / "a.mp4", video=video_format(Codec.H264, video), audio=None, start=ZERO, origin_ns=origin_ns
    )

    tags = probe(write(sink, video)).tags

    assert tags["comment"] == "origin 2023-11-14T22:13:20.123456789Z"
    assert tags["creation_time"].startswith("2023-11-14T22:13:20")


def test_keyframe_that_is_none_is_refused_when_the_file_opens(tmp_path):
    with pytest.raises(InternalError, match="not valid h264"):
        Mp4Sink(tmp_path / "a.mp4", video=VideoFormat(Codec.H264, 320, 180, b"nonsense"), audio=None, start=ZERO)


def test_folder_that_is_not_there_is_told_when_the_file_opens(tmp_path):
    with pytest.raises(InternalError, match="could not be opened"):
        Mp4Sink(tmp_path / "gone" / "a.mp4", video=None, audio=opus_format(), start=ZERO)


@pytest.mark.parametrize("bad", [b"\xff", b"\x12", b"\x0a\x7f", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"])
def test_malformed_av1_picture_is_left_out_and_the_file_stays_readable(tmp_path, bad):
    video = video_samples(Codec.AV1, 1)
    sink = copy_sink(tmp_path / "a.mp4", video, codec=Codec.AV1)

    path = write(sink, (*video[:10], replace(video[10], data=bad), *video[11:]))

    assert sink.refused_count == 1
    assert len(read_boxes(path).track("vide").sizes) == 29
    assert probe(path).complaints == ""


@pytest.mark.parametrize("codec", CODECS)
def test_random_bytes_in_place_of_pictures_never_spoil_the_file(tmp_path, codec):
    rng = random.Random(5)
    video, audio = video_samples(codec, SECONDS), opus_samples(SECONDS)
    spoilt = tuple(replace(s, data=rng.randbytes(rng.randrange(1, 99))) if n % 3 else s for n, s in enumerate(video))

    path = write(copy_sink(tmp_path / "a.mp4", video, codec=codec), spoilt, audio)

    assert payloads(path, "audio") == [sample.data for sample in audio]


def test_disk_that_fills_is_loud_and_leaves_what_fitted(tmp_path):
    video, audio = video_samples(Codec.H264, SECONDS), opus_samples(SECONDS)
    sink = copy_sink(tmp_path / "a.mp4", video)

    with file_size_limit(30_000), pytest.raises(InternalError, match="refused a sample"):
        push_all(sink, video, audio)
    sink.abort()

    mp4_index.write_index(sink.path)
    assert decode_warnings(sink.path) == ""
    assert len(read_boxes(sink.path).track("vide").sizes) > 20


@contextmanager
def file_size_limit(size_bytes: int) -> Iterator[None]:
    """Let the kernel refuse writes beyond a size, as it does when a disk is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


def test_full_disk_at_the_index_is_loud_and_leaves_the_fragments(tmp_path, monkeypatch):
    video, audio = video_samples(Codec.H264, SECONDS), opus_samples(SECONDS)
    sink = copy_sink(tmp_path / "a.mp4", video)
    push_all(sink, video, audio)
    monkeypatch.setattr(mp4_index.os, "pwrite", _disk_full)

    with pytest.raises(InternalError, match="No space left"):
        sink.finish()

    assert decode_warnings(sink.path) == ""
    assert len(read_boxes(sink.path).track("vide").sizes) == SECONDS * 30


def _disk_full(*_: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def annex_b(data: bytes) -> list[bytes]:
    """Return the NAL units between start codes."""
    return [unit.rstrip(b"\0") for unit in data.split(b"\0\0\1") if unit.strip(b"\0")]


def length_prefixed(data: bytes) -> list[bytes]:
    """Return the NAL units behind 4-byte lengths."""
    units = []
    while data:
        size = int.from_bytes(data[:4], "big")
        units.append(data[4 : 4 + size].rstrip(b"\0"))
        data = data[4 + size :]
    return units
