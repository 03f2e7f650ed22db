"""One black picture: what a playlist shows while its sender's camera is off and the sound goes on.

Players of HLS keep sound and picture in buffers of their own and play what both have: without any picture they leave
the sound out, or stop (ADR 0012). Encoded once for each coding and shape, small: 3 to 6 ms.
"""

import os
from fractions import Fraction
from functools import lru_cache

import av
from av.video.codeccontext import VideoCodecContext

from soloist.model.media import Codec

_ENCODERS = {
    Codec.H264: ("libx264", {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline"}),
    Codec.VP9: ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}),
    Codec.AV1: ("libsvtav1", {"preset": "12", "svtav1-params": "pred-struct=1:lp=1:lookahead=0"}),
}
_SIDE_MIN = 64
"""Pixels; the AV1 encoder takes no smaller picture."""
_SIDE_MAX = 320
_BLACK, _NO_COLOUR = b"\x10", b"\x80"
_TEMPORAL_DELIMITER = b"\x12\x00"


def black_picture(codec: Codec, width: int, height: int) -> tuple[bytes, int, int]:
    """Return a black keyframe in the shape of a picture, as the receive core would hand it over, and its size."""
    parts = -(-max(width, height) // _SIDE_MAX)
    width, height = (max(side // parts // 2 * 2, _SIDE_MIN) for side in (width, height))
    return _encoded(codec, width, height), width, height


@lru_cache(maxsize=16)
def _encoded(codec: Codec, width: int, height: int) -> bytes:
    os.environ.setdefault("SVT_LOG", "0")  # The AV1 encoder tells of itself on stderr, past every log.
    name, options = _ENCODERS[codec]
    encoder = av.CodecContext.create(name, "w")
    assert isinstance(encoder, VideoCodecContext)  # noqa: S101 - for the type checker
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.framerate, encoder.thread_count = Fraction(1, 90_000), Fraction(1), 1
    encoder.options = dict(options)
    frame = av.VideoFrame(width, height, "yuv420p")
    for plane, value in zip(frame.planes, (_BLACK, _NO_COLOUR, _NO_COLOUR), strict=True):
        plane.update(value * plane.buffer_size)
    frame.pts, frame.pict_type = 0, av.video.frame.PictureType.I
    first, *_ = [*encoder.encode(frame), *encoder.encode(None)]
    return bytes(first).removeprefix(_TEMPORAL_DELIMITER if codec is Codec.AV1 else b"")
