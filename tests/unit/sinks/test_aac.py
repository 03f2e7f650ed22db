"""Where a beep was in Opus it is in AAC, whatever was missing before it."""

import random
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

import av
import numpy as np
import pytest
from support.media import opus_samples

from soloist.model.media import Codec, Sample
from soloist.sinks.aac import FRAME_TICKS, JITTER_TICKS, AacTranscoder

RATE = 48_000
SECONDS = 5


def transcode(packets: Iterable[Sample], channels: int = 1) -> tuple[Sample, ...]:
    transcoder = AacTranscoder(channels)
    made = [frame for packet in packets for frame in transcoder.push(packet)]
    return (*made, *transcoder.finish())


def decode(frames: tuple[Sample, ...], channels: int = 1) -> np.ndarray:
    """Return what a player hears, sample 0 at time 0 of the recording."""
    decoder = av.CodecContext.create("aac", "r")
    decoder.extradata = AacTranscoder(channels).format.config
    sound = [f.to_ndarray() for frame in frames for f in decoder.decode(av.Packet(frame.data))]
    heard = np.concatenate(sound, axis=1)
    start = frames[0].pts_ticks
    return heard[:, -start:] if start < 0 else np.pad(heard, ((0, 0), (start, 0)))


def beeps(sound: np.ndarray) -> list[int]:
    """Return the ticks at which a beep begins after at least 0.3 s of quiet."""
    loud = np.flatnonzero(np.abs(sound[0]) > 0.1)
    return [int(now) for before, now in pairwise([-RATE, *loud]) if now - before > 0.3 * RATE]


def beep_after(frames: tuple[Sample, ...], ticks: int) -> int:
    """Return where the first beep is that a player hears which begins to play at `ticks`."""
    first = ticks // FRAME_TICKS
    window = tuple(replace(frame, pts_ticks=0) for frame in frames[first : first + 30])
    return frames[first].pts_ticks + beeps(decode(window))[0]


def moved(packets: Iterable[Sample], ticks: int) -> tuple[Sample, ...]:
    return tuple(replace(packet, pts_ticks=packet.pts_ticks + ticks) for packet in packets)


@lru_cache
def one_second(channels: int = 1) -> tuple[Sample, ...]:
    """The packets of a second with its beep at its beginning, cut from the middle of a stream."""
    return moved(opus_samples(SECONDS, channels=channels)[100:150], -2 * RATE)


@pytest.mark.parametrize(("channels", "packet_ticks"), [(1, 480), (1, 2880), (2, 960)])
def test_beeps_stay_where_they_were(channels, packet_ticks):
    packets = opus_samples(SECONDS, channels=channels, packet_ticks=packet_ticks)

    heard = beeps(decode(transcode(packets, channels), channels))

    assert max(abs(beep - second * RATE) for second, beep in enumerate(heard[1:], start=1)) <= 96
    assert len(heard) == SECONDS


def test_frames_follow_each_other_from_the_priming_to_the_exact_end():
    frames = transcode(opus_samples(SECONDS))

    assert [frame.pts_ticks for frame in frames] == [FRAME_TICKS * n for n in range(-1, len(frames) - 1)]
    assert {frame.duration_ticks for frame in frames[:-1]} == {FRAME_TICKS}
    assert frames[-1].pts_ticks + frames[-1].duration_ticks == SECONDS * RATE


def test_holes_of_every_length_become_silence_and_move_nothing():
    holes = [20, 21, 100, 333, 1024, 5000, 21_000]
    packets: list[Sample] = []
    expected, at = [], 0
    for hole_ms in holes:
        packets += moved(one_second(), at)
        expected.append(at)
        at += RATE + hole_ms * 48

    heard = beeps(decode(transcode(packets)))

    assert [abs(beep - want) <= 96 for beep, want in zip(heard, expected, strict=True)] == [True] * len(holes)


def test_beep_after_half_an_hour_of_holes_is_still_in_place():
    packets: list[Sample] = []
    expected = []
    for minute in (0, 1, 4, 9, 17, 30):
        at = minute * 60 * RATE + minute * 7
        packets += moved(one_second(), at)
        expected.append(at)

    frames = transcode(packets)

    heard = [beep_after(frames, want - RATE // 5) for want in expected[1:]]
    assert max(abs(beep - want) for beep, want in zip(heard, expected[1:], strict=True)) <= 96
    assert expected[-1] == 30 * 60 * RATE + 210


def test_lost_packets_leave_beeps_in_place():
    rng = random.Random(7)
    packets = [p for p in opus_samples(SECONDS) if p.pts_ticks % RATE < 4800 or rng.random() > 0.3]

    heard = beeps(decode(transcode(packets)))

    assert [abs(beep - second * RATE) <= 96 for second, beep in enumerate(heard[1:], start=1)] == [True] * (SECONDS - 1)


@pytest.mark.parametrize("slew", [1, -1])
def test_slew_of_a_millisecond_a_second_is_followed_sample_by_sample(slew):
    packets = [replace(p, pts_ticks=p.pts_ticks + slew * p.pts_ticks // 1000) for p in opus_samples(SECONDS)]

    frames = transcode(packets)
    heard = beeps(decode(frames))

    expected = [second * RATE + slew * second * RATE // 1000 for second in range(SECONDS)]
    assert max(abs(beep - want) for beep, want in zip(heard[1:], expected[1:], strict=True)) <= 96
    assert abs(frames[-1].pts_ticks + frames[-1].duration_ticks - packets[-1].pts_ticks - 960) <= 1


@pytest.mark.parametrize("slew", [1, -1])
def test_slew_leaves_no_clicks(slew):
    packets = [replace(p, pts_ticks=p.pts_ticks + slew * p.pts_ticks // 1000) for p in opus_samples(SECONDS)]

    sound, steady = decode(transcode(packets)), decode(transcode(opus_samples(SECONDS)))

    assert np.abs(np.diff(sound[0, RATE:])).max() < 2 * np.abs(np.diff(steady[0, RATE:])).max()


@pytest.mark.parametrize("step_ticks", [5, -5, JITTER_TICKS, -JITTER_TICKS])
def test_small_step_in_time_is_made_up_for_within_two_seconds(step_ticks):
    packets = [
        replace(p, pts_ticks=p.pts_ticks + (step_ticks if p.pts_ticks >= RATE else 0)) for p in opus_samples(SECONDS)
    ]

    frames = transcode(packets)

    heard = beeps(decode(frames))
    assert abs(heard[4] - 4 * RATE - step_ticks) <= 96
    assert frames[-1].pts_ticks + frames[-1].duration_ticks == SECONDS * RATE + step_ticks


def test_packets_that_come_twice_are_heard_once():
    packets = opus_samples(SECONDS)
    doubled = [packet for packet in packets for _ in range(2)]

    frames = transcode(doubled)

    assert frames[-1].pts_ticks + frames[-1].duration_ticks == SECONDS * RATE
    assert len(beeps(decode(frames))) == SECONDS


def test_overlap_is_cut_off_and_moves_nothing():
    first, second = one_second(), moved(one_second(), RATE - 4 * 960)

    heard = decode(transcode([*first, *second]))

    assert heard.shape[1] >= 2 * RATE - 4 * 960
    assert transcode([*first, *second])[-1].pts_ticks < 2 * RATE - 4 * 960


def test_track_that_begins_late_begins_there():
    frames = transcode(moved(one_second(), 12_345))

    assert frames[0].pts_ticks == 12_345 - FRAME_TICKS
    assert frames[-1].pts_ticks + frames[-1].duration_ticks == 12_345 + RATE


def test_silence_is_made_while_nothing_arrives():
    transcoder = AacTranscoder(1)
    frames = transcoder.advance_to(0)
    for second in range(1, 6):
        frames += transcoder.advance_to(second * RATE)
        assert 5 * RATE >= frames[-1].pts_ticks >= second * RATE - 4 * FRAME_TICKS
    for packet in moved(one_second(), 5 * RATE):
        frames += transcoder.push(packet)
    frames += transcoder.finish()

    heard = beeps(decode(tuple(frames)))
    assert len(heard) == 1
    assert abs(heard[0] - 5 * RATE) <= 96


def test_advancing_into_the_past_adds_nothing():
    transcoder = AacTranscoder(1)
    for packet in one_second():
        transcoder.push(packet)

    assert transcoder.advance_to(RATE // 2) == []


def test_minutes_of_silence_bypass_the_encoder_and_decode_as_silence():
    transcoder = AacTranscoder(1)
    frames = [frame for packet in one_second() for frame in transcoder.push(packet)]
    frames += transcoder.advance_to(600 * RATE)
    frames += transcoder.finish()

    assert sum(frame.duration_ticks for frame in frames) == 600 * RATE + FRAME_TICKS
    tail = decode((replace(frames[2000], pts_ticks=0), *frames[2001:2100]))
    assert np.abs(tail).max() < 1e-4


@pytest.mark.parametrize("bad", [b"", b"\xff", b"\xff" * 40, b"\x03\xff\xff", bytes(100)])
def test_packet_that_cannot_be_decoded_becomes_silence_and_is_counted(bad):
    packets = list(opus_samples(SECONDS))
    packets[60:63] = [replace(packet, data=bad) for packet in packets[60:63]]
    transcoder = AacTranscoder(1)

    frames = [frame for packet in packets for frame in transcoder.push(packet)] + transcoder.finish()

    heard = beeps(decode(tuple(frames)))
    assert [abs(beep - second * RATE) <= 96 for second, beep in enumerate(heard[2:], start=2)] == [True] * (SECONDS - 2)
    assert transcoder.concealed_count <= 3


def test_random_bytes_never_raise_and_never_move_what_follows():
    rng = random.Random(11)
    packets = list(opus_samples(SECONDS))
    for index in range(60, 180):
        packets[index] = replace(packets[index], data=rng.randbytes(rng.randrange(1, 200)))
    transcoder = AacTranscoder(1)

    frames = [frame for packet in packets for frame in transcoder.push(packet)] + transcoder.finish()

    assert [frame.pts_ticks for frame in frames] == [FRAME_TICKS * n for n in range(-1, len(frames) - 1)]
    assert frames[-1].pts_ticks + frames[-1].duration_ticks == SECONDS * RATE
    tail = decode(tuple(frames))[:, 4 * RATE - 4800 :]
    assert abs(beeps(tail)[-1] - 4800) <= 96


def test_samples_that_are_no_numbers_restart_the_encoder_in_step():
    transcoder = AacTranscoder(1)
    frames = []
    for index, packet in enumerate(opus_samples(SECONDS)):
        if index == 130:
            pcm = transcoder._decode(packet.data)
            pcm.planes[0].update(np.full(960, np.nan, np.float32).tobytes())
            frames += transcoder._place(pcm, packet.pts_ticks)
        else:
            frames += transcoder.push(packet)
    frames += transcoder.finish()

    heard = beeps(decode(tuple(frames)))
    assert transcoder.concealed_count >= 1
    assert max(abs(beep - second * RATE) for second, beep in enumerate(heard[1:], start=1)) <= 96
    assert [frame.pts_ticks for frame in frames] == [FRAME_TICKS * n for n in range(-1, len(frames) - 1)]


@pytest.mark.parametrize(("given", "made"), [(1, 2), (2, 1)])
def test_packets_of_the_other_layout_are_mixed(given, made):
    heard = decode(transcode(opus_samples(SECONDS, channels=given), made), made)

    assert heard.shape[0] == made
    assert len(beeps(heard)) == SECONDS


def test_nothing_in_nothing_out():
    assert AacTranscoder(1).finish() == []


@pytest.mark.parametrize("channels", [1, 2])
def test_format_names_aac_lc_at_48_khz(channels):
    declared = AacTranscoder(channels).format

    assert (declared.codec, declared.channels, declared.rate_hz) == (Codec.AAC, channels, RATE)
    first, second = declared.config[:2]
    assert (first >> 3, (first & 7) << 1 | second >> 7, second >> 3 & 15) == (2, 3, channels)
