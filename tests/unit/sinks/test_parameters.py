"""What a keyframe says of its coding is read in time linear in its bytes, however it is made up."""

import time

import pytest
from support.media import HIGH_PROFILE, video_samples

from soloist.model.media import Codec
from soloist.sinks.av1 import is_obu_sequence
from soloist.sinks.parameters import parameters, profile

SPS = b"\0\0\1\x67\x42\xe0\x1f"
HOSTILE = {
    "zeros": (Codec.H264, SPS + b"\0" * 1_000_000),
    "zeros again and again": (Codec.H264, (SPS + b"\0" * 500) * 2000),
    "parameter sets without end": (Codec.H264, SPS * 150_000),
    "start codes alone": (Codec.H264, b"\0\0\1" * 300_000),
    "OBUs of no bytes": (Codec.AV1, b"\x7a\0" * 500_000),
    "OBUs whose size never ends": (Codec.AV1, b"\x7a" + b"\x80" * 1_000_000),
}


@pytest.mark.parametrize("made_up", HOSTILE)
def test_made_up_keyframes_take_no_longer_than_others(made_up):
    codec, keyframe = HOSTILE[made_up]
    began_s = time.thread_time()
    for _ in range(10):
        parameters(codec, keyframe)
        profile(codec, keyframe)
        if codec is Codec.AV1:
            assert not is_obu_sequence(keyframe)

    assert time.thread_time() - began_s < 0.5


def test_two_profiles_of_h264_differ_and_pictures_of_one_do_not():
    usual = [s for s in video_samples(Codec.H264, 2, gop=30) if s.is_keyframe]
    other = video_samples(Codec.H264, 1, options=HIGH_PROFILE)[0]

    assert parameters(Codec.H264, usual[0].data) == parameters(Codec.H264, usual[1].data) != b""
    assert profile(Codec.H264, usual[0].data) == b"\x42"
    assert profile(Codec.H264, other.data) == b"\x64"
