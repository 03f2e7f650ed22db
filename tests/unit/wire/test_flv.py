"""Tags by the clauses of the FLV format; that players take them is shown against a real server."""

import av
import pytest
from support.media import video_samples

from soloist.model.media import Codec
from soloist.wire.flv import (
    PictureError,
    aac_sequence_header,
    aac_tag,
    avc_config,
    avc_payload,
    avc_sequence_header,
    avc_tag,
    enhanced_sequence_header,
    enhanced_tag,
    nal_units,
)

SPS, PPS, IDR = b"\x67\x42\xc0\x1e\x99", b"\x68\xce\x3c\x80", b"\x65\x88\x84\x21"
KEYFRAME = b"\0\0\0\1" + SPS + b"\0\0\1" + PPS + b"\0\0\1" + IDR + b"\0\0"


def test_units_are_found_between_start_codes_of_three_and_four_bytes():
    assert list(nal_units(KEYFRAME)) == [SPS, PPS, IDR]


def test_the_configuration_record_holds_profile_and_parameter_sets():
    assert avc_config(KEYFRAME) == (b"\1\x42\xc0\x1e\xff" + b"\xe1\0\5" + SPS + b"\1\0\4" + PPS)


def test_a_keyframe_without_parameter_sets_is_refused():
    with pytest.raises(PictureError):
        avc_config(b"\0\0\1" + IDR)


@pytest.mark.parametrize("sets", [SPS + b"\1" * 0x10000, PPS + b"\1" * 0x10000, (PPS + b"\0\0\1") * 255 + PPS])
def test_parameter_sets_beyond_what_a_record_can_hold_are_refused(sets):
    with pytest.raises(PictureError):
        avc_config(KEYFRAME + b"\0\0\1" + sets)


def test_as_many_parameter_sets_as_a_record_can_hold_are_kept():
    record = avc_config(KEYFRAME + (b"\0\0\1" + PPS) * 254)

    assert record.count(PPS) == record[6 + 2 + len(SPS)] == 255


def test_a_picture_keeps_every_unit_but_parameter_sets_and_delimiters():
    assert avc_payload(b"\0\0\1\x09\x10" + KEYFRAME) == b"\0\0\0\4" + IDR


def test_a_decoder_that_gets_record_and_payload_shows_every_picture():
    samples = video_samples(Codec.H264, 1)
    decoder = av.CodecContext.create("h264", "r")
    decoder.extradata = avc_config(samples[0].data)

    shown = [frame for s in samples for frame in decoder.decode(av.Packet(avc_payload(s.data)))]
    shown += decoder.decode(None)

    assert len(shown) == len(samples) == 30


def test_tags_begin_as_the_format_says():
    assert avc_sequence_header(b"c") == b"\x17\0\0\0\0c"
    assert avc_tag(b"p", is_keyframe=True) == b"\x17\1\0\0\0p"
    assert avc_tag(b"p", is_keyframe=False) == b"\x27\1\0\0\0p"
    assert aac_sequence_header(b"c") == b"\xaf\0c"
    assert aac_tag(b"p") == b"\xaf\1p"
    assert enhanced_sequence_header(Codec.AV1, b"c") == b"\x90av01c"
    assert enhanced_tag(Codec.VP9, b"p", is_keyframe=True) == b"\x91vp09p"
    assert enhanced_tag(Codec.VP9, b"p", is_keyframe=False) == b"\xa1vp09p"
