"""What a keyframe says of its coding that a decoder is set up with: a change of it is a change of the track (R17).

Spec: ITU-T H.264 §7.3.1, §7.3.2.1 (parameter sets); VP9 Bitstream Specification §6.2 (uncompressed header); AV1
Bitstream Specification §5.3.1 (OBU).
"""

from soloist.model.media import Codec
from soloist.sinks.av1 import LEB128_BYTES_MAX, OBUS_MAX

_START_CODE = b"\0\0\1"
_SPS, _PPS, _SLICES = 7, 8, frozenset(range(1, 6))
_HEAD_BYTES_MAX = 4096
"""Parameter sets stand before the picture and are much smaller than this."""
_SEQUENCE_HEADER = 1


def parameters(codec: Codec, keyframe: bytes) -> bytes:
    """Return what of a keyframe sets a decoder up, to be compared only; empty where the codec has no such thing."""
    if codec is Codec.H264:
        return b"".join(unit for unit in _units(keyframe) if unit[0] & 0x1F in (_SPS, _PPS))
    if codec is Codec.VP9 and len(keyframe) > 4:
        # Frame marker and profile; after the sync code, colour space (in profile 2 and 3 behind the bit depth).
        return bytes([keyframe[0] & 0xF0, keyframe[4] & 0xF0])
    return _sequence_header(keyframe) if codec is Codec.AV1 else b""


def profile(codec: Codec, keyframe: bytes) -> bytes:
    """Return what of a keyframe one entry of an MP4 can state for all its pictures: another needs another file.

    H.264: profile_idc, for sizes may change in band (`mp4_resize`). Spec: ISO/IEC 14496-15 §5.3.3.1.2.
    """
    if codec is Codec.H264:
        return next((unit[1:2] for unit in _units(keyframe) if unit[0] & 0x1F == _SPS), b"")
    return parameters(codec, keyframe)


def _units(keyframe: bytes) -> list[bytes]:
    """Return the NAL units of Annex B before the picture itself."""
    # Zeros before a start code belong to it; a pattern that said so would look at each of them again and again.
    units = [unit for part in keyframe[:_HEAD_BYTES_MAX].split(_START_CODE) if (unit := part.rstrip(b"\0"))]
    pictures = (n for n, unit in enumerate(units) if unit[0] & 0x1F in _SLICES)
    return units[: next(pictures, len(units))]


def _sequence_header(keyframe: bytes) -> bytes:
    """Return the sequence header of a temporal unit; empty without one, or where its OBUs cannot be followed."""
    at = count = 0
    while at < len(keyframe) and count < OBUS_MAX:
        count += 1
        header = keyframe[at]
        at += 2 if header & 0x04 else 1
        size = shift = 0
        while header & 0x02 and at < len(keyframe) and shift < 7 * LEB128_BYTES_MAX:
            byte = keyframe[at]
            at += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        end = at + size if header & 0x02 else len(keyframe)
        if header >> 3 & 0xF == _SEQUENCE_HEADER:
            return keyframe[at:end]
        at = end
    return b""
