"""Samples become what RTMP carries: once for all targets, in one order, sound as AAC without a hole."""

from dataclasses import replace
from itertools import pairwise

import av
import pytest
from support.media import interleaved, opus_samples, video_samples

from soloist.forwarding.units import Feed
from soloist.model.media import Codec, Kind
from soloist.wire.flv import avc_payload

BOTH = frozenset(Kind)


def pictures(codec=Codec.H264, seconds=4):
    """Return coded pictures as a recording hands them on."""
    return tuple(
        replace(s, codec=codec.value, width=320 * s.is_keyframe, height=180 * s.is_keyframe)
        for s in video_samples(codec, seconds)
    )


def sounds(seconds=4, channels=1):
    return tuple(replace(s, codec=Codec.OPUS.value) for s in opus_samples(seconds, channels=channels))


def units_of(samples, kinds=BOTH):
    feed = Feed()
    feed.expect(kinds)
    return [unit for sample in samples for unit in feed.push(sample)] + feed.flush()


def of(kind, units):
    return [unit for unit in units if unit.kind is kind]


def test_every_picture_comes_through_with_its_bytes_and_its_time():
    made = units_of(interleaved(pictures(), sounds()))

    assert [unit.payload for unit in of(Kind.VIDEO, made)] == [avc_payload(s.data) for s in pictures()]
    assert [unit.at_ms for unit in of(Kind.VIDEO, made)] == [round(n * 1000 / 30) for n in range(120)]
    assert all(bool(unit.config) == unit.is_keyframe for unit in of(Kind.VIDEO, made))


def test_units_are_in_order_of_time():
    times = [unit.at_ms for unit in units_of(interleaved(pictures(), sounds()))]

    assert times == sorted(times)


def test_sound_keeps_its_place_beside_the_picture():
    heard = of(Kind.AUDIO, units_of(interleaved(pictures(), sounds())))

    steps = {after.at_ms - before.at_ms for before, after in pairwise(heard)}
    assert steps <= {21, 22}
    decoder = av.CodecContext.create("aac", "r")
    decoder.extradata = heard[0].config
    loud = [
        unit.at_ms
        for unit in heard
        for frame in decoder.decode(av.Packet(unit.payload))
        if abs(frame.to_ndarray()).max() > 0.2
    ]
    begins = [at_ms for n, at_ms in enumerate(loud) if n == 0 or at_ms - loud[n - 1] > 500]
    assert all(abs(at_ms - round(at_ms, -3)) <= 22 for at_ms in begins)
    assert len(begins) >= 3


def test_stereo_heard_before_the_first_picture_decides():
    made = units_of([*sounds(1, channels=2)[:3], *interleaved(pictures(), sounds(2))])

    assert of(Kind.AUDIO, made)[0].config[1] >> 3 & 0xF == 2


def test_sound_alone_is_forwarded_where_no_picture_is_expected():
    made = units_of(sounds(), frozenset({Kind.AUDIO}))

    assert len(made) >= 4 * 48_000 // 1024 - 2


def test_sound_goes_ahead_alone_when_the_picture_does_not_come():
    made = units_of(sounds(4))

    assert made[0].at_ms >= 1900
    assert of(Kind.VIDEO, made) == []


def test_sound_that_stays_away_becomes_silence_while_the_picture_goes_on():
    muted = [s for s in interleaved(pictures(), sounds()) if s.kind is Kind.VIDEO or not 1 <= s.pts_ns / 1e9 < 3]
    heard = of(Kind.AUDIO, units_of(muted))

    steps = [after.at_ms - before.at_ms for before, after in pairwise(heard)]
    assert max(steps) <= 22


def test_minutes_of_absence_are_not_sent_as_silence_at_once():
    later = [replace(s, pts_ticks=s.pts_ticks + 600 * s.rate_hz) for s in interleaved(pictures(), sounds())]
    heard = of(Kind.AUDIO, units_of([*interleaved(pictures(), sounds()), *later]))

    assert len(heard) < 9 * 48_000 // 1024


@pytest.mark.parametrize("codec", [Codec.VP9, Codec.AV1])
def test_what_only_enhanced_rtmp_carries_comes_with_its_configuration(codec):
    made = of(Kind.VIDEO, units_of(pictures(codec, 1)))

    assert made[0].codec is codec
    assert made[0].config[0] == {Codec.VP9: 0x01, Codec.AV1: 0x81}[codec]


def test_a_keyframe_with_more_parameter_sets_than_can_be_said_ends_nothing():
    whole = pictures(Codec.H264, 1)[0]

    (unit,) = units_of([replace(whole, data=b"\0\0\1\x68\xce" * 256 + whole.data)])

    assert unit.is_refused


@pytest.mark.parametrize("codec", [Codec.H264, Codec.VP9])
def test_a_keyframe_that_is_none_is_marked_as_not_to_be_carried(codec):
    broken = replace(pictures(codec, 1)[0], data=b"\0\0\1\x65garbage")

    (unit,) = units_of([broken])

    assert unit.is_refused
