"""Whether bytes are a sequence of AV1 OBUs: what must be known before they reach the MP4 muxer.

FFmpeg 8 writes its own error code as the sample's size where they are not, and the whole file is then unreadable.
Spec: AV1 Bitstream Specification §5.3.1 (OBU), §4.10.5 (leb128).
"""

_LEB128_BYTES_MAX = 8


def is_obu_sequence(data: bytes) -> bool:
    """Return whether `data` is made of whole OBUs and nothing else; payloads are not looked at."""
    at, end = 0, len(data)
    while at < end:
        header = data[at]
        at += 2 if header & 0x04 else 1
        if header & 0x80 or at > end:
            return False
        if not header & 0x02:
            return True  # Without a size it reaches to the end.
        size = shift = 0
        while True:
            if at >= end or shift >= 7 * _LEB128_BYTES_MAX:
                return False
            byte = data[at]
            at += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        at += size
    return at == end and end > 0
