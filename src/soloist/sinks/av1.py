"""Whether bytes are a sequence of AV1 OBUs: what must be known before they reach the MP4 muxer.

FFmpeg 8 writes its own error code as the sample's size where they are not, and the whole file is then unreadable.
Spec: AV1 Bitstream Specification §5.3.1 (OBU), §4.10.5 (leb128).
"""

LEB128_BYTES_MAX = 8
OBUS_MAX = 2048
"""In one temporal unit; a picture has no more than 512 tiles. Half a million of no bytes take a third of a second."""
_LEFT_OUT = frozenset({2, 7, 8, 15})
"""Temporal delimiters, redundant headers, tile lists and padding: the muxer leaves them out. Of these alone comes a
sample of no bytes, with which a fragment does not open. Spec: AV1 in ISOBMFF §2.4."""


def is_obu_sequence(data: bytes) -> bool:
    """Return whether `data` is made of whole OBUs, one at least a file keeps; payloads are not looked at."""
    at, end, is_kept, count = 0, len(data), False, 0
    while at < end:
        count += 1
        if count > OBUS_MAX:
            return False
        header = data[at]
        is_kept |= (header >> 3 & 0xF) not in _LEFT_OUT
        at += 2 if header & 0x04 else 1
        if header & 0x80 or at > end:
            return False
        if not header & 0x02:
            return is_kept  # Without a size it reaches to the end.
        size = shift = 0
        while True:
            if at >= end or shift >= 7 * LEB128_BYTES_MAX:
                return False
            byte = data[at]
            at += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        at += size
    return at == end and is_kept
