"""Bodies of FLV tags, which are RTMP's audio and video messages: classic for H.264 and AAC, enhanced for VP9 and AV1.

Pictures come as the receive core hands them over (H.264 as Annex B with its parameter sets in keyframes) and leave as
FLV wants them (NAL units behind their length, parameter sets in a record of their own). Nothing is decoded.
Spec: Adobe Flash Video File Format 10.1 Annex E.4; ISO/IEC 14496-15 §5.3.3 (AVCDecoderConfigurationRecord); Enhanced
RTMP v2 "Enhanced Video"; AV1 in ISOBMFF §2.3.3 (av1C); VP Codec ISO Media File Format Binding §vpcC.
"""

import struct
from collections.abc import Iterator

from soloist.model.errors import SourceError
from soloist.model.media import Codec

FOURCC = {Codec.VP9: "vp09", Codec.AV1: "av01"}
"""Codings that only enhanced RTMP carries."""

_KEY, _INTER = 1, 2
_AVC, _SEQUENCE_HEADER, _NALU = 7, 0, 1
_AAC_STEREO_16_44 = 0xAF
"""What every AAC tag says of itself, whatever it holds. Spec: §E.4.2.1."""
_ENHANCED = 0x80
_SEQUENCE_START, _CODED_FRAMES = 0, 1
PPS_COUNT_MAX, SET_BYTES_MAX = 0xFF, 0xFFFF
"""What the fields of a configuration record can count. Spec: ISO/IEC 14496-15 §5.3.3.1."""
_NAL_IDR, _NAL_SEI, _NAL_SPS, _NAL_PPS, _NAL_AUD = 5, 6, 7, 8, 9


class PictureError(SourceError):
    """The picture cannot be forwarded: its keyframe lacks parameter sets, or has more than a record can hold."""


def nal_units(annex_b: bytes) -> Iterator[bytes]:
    """Yield the NAL units of an Annex B picture, without their start codes. Spec: ITU-T H.264 Annex B."""
    at = annex_b.find(b"\0\0\1")
    while at >= 0:
        begin = at + 3
        at = annex_b.find(b"\0\0\1", begin)
        unit = annex_b[begin:at] if at >= 0 else annex_b[begin:]
        # A fourth zero of the next start code, and padding, are no part of the unit.
        if unit := unit.rstrip(b"\0"):
            yield unit


def avc_config(keyframe: bytes) -> bytes:
    """Return the AVCDecoderConfigurationRecord of a keyframe.

    Raises:
        PictureError: it has no parameter sets, more than 255 of pictures, or one over 65535 bytes.
    """
    units = list(nal_units(keyframe))
    sps = [unit for unit in units if unit[0] & 0x1F == _NAL_SPS and len(unit) >= 4][:31]
    pps = [unit for unit in units if unit[0] & 0x1F == _NAL_PPS]
    if not sps or not 0 < len(pps) <= PPS_COUNT_MAX or max(map(len, sps + pps)) > SET_BYTES_MAX:
        raise PictureError
    profile = sps[0][1:4]
    record = [b"\1", profile, b"\xff", bytes((0xE0 | len(sps),))]
    record += [struct.pack(">H", len(unit)) + unit for unit in sps]
    record.append(bytes((len(pps),)))
    record += [struct.pack(">H", len(unit)) + unit for unit in pps]
    return b"".join(record)


def avc_payload(picture: bytes) -> bytes:
    """Return a picture's NAL units behind 32-bit lengths, without parameter sets and delimiters."""
    left_out = (_NAL_SPS, _NAL_PPS, _NAL_AUD)
    kept = (unit for unit in nal_units(picture) if unit[0] & 0x1F not in left_out)
    return b"".join(struct.pack(">I", len(unit)) + unit for unit in kept)


def avc_sequence_header(config: bytes) -> bytes:
    """Return the tag that precedes H.264 pictures. Spec: FLV §E.4.3.1, AVCPacketType 0."""
    return bytes((_KEY << 4 | _AVC, _SEQUENCE_HEADER, 0, 0, 0)) + config


def avc_tag(payload: bytes, *, is_keyframe: bool) -> bytes:
    """Return a picture as a tag; it is shown when it is decoded (no B-frames, composition time 0)."""
    return bytes(((_KEY if is_keyframe else _INTER) << 4 | _AVC, _NALU, 0, 0, 0)) + payload


def aac_sequence_header(config: bytes) -> bytes:
    """Return the tag that precedes AAC frames; `config` is their AudioSpecificConfig."""
    return bytes((_AAC_STEREO_16_44, 0)) + config


def aac_tag(frame: bytes) -> bytes:
    """Return an AAC frame as a tag."""
    return bytes((_AAC_STEREO_16_44, 1)) + frame


def enhanced_sequence_header(codec: Codec, config: bytes) -> bytes:
    """Return the tag that precedes VP9 or AV1 pictures; `config` is their vpcC or av1C record."""
    return bytes((_ENHANCED | _KEY << 4 | _SEQUENCE_START,)) + FOURCC[codec].encode() + config


def enhanced_tag(codec: Codec, payload: bytes, *, is_keyframe: bool) -> bytes:
    """Return a VP9 or AV1 picture as a tag."""
    frame_type = _KEY if is_keyframe else _INTER
    return bytes((_ENHANCED | frame_type << 4 | _CODED_FRAMES,)) + FOURCC[codec].encode() + payload
