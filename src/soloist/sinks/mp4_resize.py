"""Saying in a track's header that its pictures change size: WebRTC senders step up and down as bandwidth allows.

H.264 keeps its parameter sets in the samples, as senders repeat them in each keyframe; `avc3` is the entry that allows
this, `avc1` does not. The track is presented at the size of its largest picture.
Spec: ISO/IEC 14496-15 §5.3.2 (avc1, avc3); ISO/IEC 14496-12 §8.3.2 (tkhd), §12.1.3 (visual sample entry).
"""

import struct

from soloist.sinks.boxes import find

_VISUAL_SIZE_AT = 24
"""Bytes from a visual sample entry's body to its width."""


def resized(trak: bytes, width: int, height: int) -> bytes:
    """Return a video trak presented at a size, its H.264 entry made one for changing pictures; others unchanged."""
    stsd = find(trak, 8, len(trak), b"mdia", b"minf", b"stbl", b"stsd")
    tkhd = find(trak, 8, len(trak), b"tkhd")
    if stsd is None or tkhd is None or find(trak, 8, len(trak), b"mdia", b"minf", b"vmhd") is None:
        return trak
    changed = bytearray(trak)
    entry = stsd.start + 16
    if changed[entry + 4 : entry + 8] == b"avc1":
        changed[entry + 4 : entry + 8] = b"avc3"
    struct.pack_into(">HH", changed, entry + 8 + _VISUAL_SIZE_AT, width, height)
    # The last eight bytes of a tkhd are width and height, 16.16 fixed point.
    struct.pack_into(">II", changed, tkhd.end - 8, width << 16, height << 16)
    return bytes(changed)
