"""What is in a WebM, open and finished."""

from dataclasses import replace
from fractions import Fraction

import av
import pytest
from support.media import interleaved, opus_format, opus_samples, video_format, video_samples
from support.probe import counters, decode_warnings, packet_times, payloads, probe, sync

from soloist.model.errors import InternalError
from soloist.model.media import Codec
from soloist.sinks.webm import WebmSink

SECONDS = 3
ZERO = Fraction(0)


def sink_of(path, video, start=ZERO, codec=Codec.VP8, **more):
    return WebmSink(path, video=video_format(codec, video), audio=opus_format(), start=start, **more)


def write(sink, *tracks):
    for sample in interleaved(*tracks):
        sink.push(sample)
    sink.finish()
    return sink.path


@pytest.mark.parametrize("codec", [Codec.VP8, Codec.VP9])
def test_finished_file_decodes_without_a_word_and_holds_everything(tmp_path, codec):
    video, audio = video_samples(codec, SECONDS), opus_samples(SECONDS)

    path = write(sink_of(tmp_path / "a.webm", video, codec=codec), video, audio)

    facts = probe(path)
    assert (decode_warnings(path), facts.complaints, facts.duration_s) == ("", "", SECONDS)
    assert [number for _, number in counters(path)] == list(range(SECONDS * 30))
    assert payloads(path, "audio") == [sample.data for sample in audio]
    assert payloads(path, "video") == [sample.data for sample in video]
    assert abs(sync(path).worst_ms) < 2


def test_times_are_right_to_the_millisecond_from_the_files_own_zero(tmp_path):
    video, audio = video_samples(Codec.VP8, SECONDS), opus_samples(SECONDS)
    kept = tuple(sample for sample in video if sample.pts_ticks >= 90_000)

    path = write(sink_of(tmp_path / "a.webm", video, Fraction(1)), kept, audio)

    times = [Fraction(sample.pts_ticks, 90_000) - 1 for sample in kept]
    assert max(abs(a - b) for a, b in zip(packet_times(path, "video"), times, strict=True)) <= Fraction(1, 1000)
    assert packet_times(path, "audio")[0] == 0


def test_player_finds_any_second_by_the_cues(tmp_path):
    video, audio = video_samples(Codec.VP8, SECONDS), opus_samples(SECONDS)
    path = write(sink_of(tmp_path / "a.webm", video), video, audio)

    with av.open(str(path)) as container:
        container.seek(2_000_000)
        frame = next(container.decode(video=0))

    assert frame.time == 2.0
    assert b"\x1c\x53\xbb\x6b" in path.read_bytes()


@pytest.mark.parametrize("with_sound", [True, False])
def test_open_file_lags_less_than_a_second_even_while_one_track_is_silent(tmp_path, with_sound):
    video, audio = video_samples(Codec.VP8, SECONDS), opus_samples(SECONDS) if with_sound else ()
    sink = sink_of(tmp_path / "a.webm", video)
    lags = []
    for sample in interleaved(video, audio):
        sink.push(sample)
        if sample.rate_hz == 90_000 and sample.pts_ticks % 90_000 == 0 and sample.pts_ticks:
            lags.append(Fraction(sample.pts_ticks, 90_000) - packet_times(sink.path, "video")[-1])
    sink.abort()

    assert max(lags) < 1


def test_negotiated_sound_that_never_comes_leaves_a_playable_file(tmp_path):
    video = video_samples(Codec.VP8, SECONDS)

    path = write(sink_of(tmp_path / "a.webm", video), video)

    assert (decode_warnings(path), probe(path).duration_s) == ("", SECONDS)


def test_aborted_file_stays_readable(tmp_path):
    video, audio = video_samples(Codec.VP8, SECONDS), opus_samples(SECONDS)
    sink = sink_of(tmp_path / "a.webm", video)
    for sample in interleaved(video, audio):
        sink.push(sample)
    sink.abort()
    sink.abort()

    assert decode_warnings(sink.path) == ""


def test_time_that_steps_back_stands_still_instead(tmp_path):
    video = video_samples(Codec.VP8, 1)
    stepped = (*video[:5], replace(video[5], pts_ticks=0), *video[6:])
    sink = sink_of(tmp_path / "a.webm", video)
    for sample in stepped:
        sink.push(sample)
    sink.finish()

    assert packet_times(sink.path, "video")[5] == packet_times(sink.path, "video")[4]


def test_file_states_the_wall_clock_of_its_zero(tmp_path):
    video = video_samples(Codec.VP8, 1)

    path = write(sink_of(tmp_path / "a.webm", video, origin_ns=1_700_000_000_123_456_789), video)

    assert probe(path).tags["comment"] == "origin 2023-11-14T22:13:20.123456789Z"


def test_folder_that_is_not_there_is_told_when_the_file_opens(tmp_path):
    with pytest.raises(InternalError, match="could not be opened"):
        WebmSink(tmp_path / "gone" / "a.webm", video=None, audio=opus_format(), start=ZERO)
