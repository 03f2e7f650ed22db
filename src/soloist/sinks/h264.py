"""VP8 pictures in, H.264 pictures out, one for one and at once: for formats that cannot keep VP8.

Nothing is reordered and no time is changed. A change of size begins a new encoder, whose first picture is a keyframe
with its own parameter sets. Odd sizes are scaled down by one: H.264 with 4:2:0 colour has none. Runs in the child
process of `h264_child.py`, never on the media thread. Spec: RFC 6386 (VP8); ITU-T H.264.
"""

from dataclasses import dataclass
from fractions import Fraction

import av
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame

DECODER, ENCODER = "vp8", "libx264"
_RATE_HZ = 90_000
_QUALITY = 23
"""x264's default constant rate factor: hardly told from the VP8 it was made of."""
_BITS_PER_PIXEL = 4
"""A second of pictures takes at most this many bits for each pixel of one: 0.9 Mbit/s at 360p, 3.7 at 720p."""
_BIT_RATE_MIN = 400_000


@dataclass(frozen=True, slots=True)
class CodedPicture:
    """One H.264 picture, Annex B, parameter sets in keyframes."""

    data: bytes
    is_keyframe: bool
    width: int
    height: int


def is_available() -> bool:
    """Return whether this FFmpeg can do it: the encoder, x264, is licensed by the GPL, and some builds leave it out."""
    return {DECODER, ENCODER} <= av.codecs_available


class H264Transcoder:
    """Transcodes the pictures of one track."""

    def __init__(self) -> None:
        self._decoder = _decoder()
        self._encoder: VideoCodecContext | None = None

    def push(self, data: bytes, pts_ticks: int, *, as_keyframe: bool) -> CodedPicture | None:
        """Return a picture transcoded, a keyframe if asked; None for one that is decoded but never shown.

        Raises:
            ValueError: it cannot be decoded; begin again with a keyframe.
        """
        try:
            frames = self._decoder.decode(av.Packet(data))
        except av.error.FFmpegError as error:
            self._decoder = _decoder()
            raise ValueError(f"no VP8 picture: {error}") from error
        if not frames:
            return None
        return self._encode(_even(frames[0]), pts_ticks, as_keyframe=as_keyframe)

    def _encode(self, frame: VideoFrame, pts_ticks: int, *, as_keyframe: bool) -> CodedPicture:
        encoder = self._encoder
        if encoder is None or (encoder.width, encoder.height) != (frame.width, frame.height):
            encoder = self._encoder = _encoder(frame.width, frame.height)
        frame.pts, frame.time_base = pts_ticks, Fraction(1, _RATE_HZ)
        frame.pict_type = PictureType.I if as_keyframe else PictureType.NONE
        (packet,) = encoder.encode(frame)
        return CodedPicture(bytes(packet), bool(packet.is_keyframe), frame.width, frame.height)


def _decoder() -> VideoCodecContext:
    context = av.CodecContext.create(DECODER, "r")
    assert isinstance(context, VideoCodecContext)  # noqa: S101 - for the type checker
    # More threads would decode one picture while the next ones wait for it.
    context.thread_count = 1
    return context


def _encoder(width: int, height: int) -> VideoCodecContext:
    """Return an encoder that answers each picture at once and makes keyframes only where it is told to."""
    context = av.CodecContext.create(ENCODER, "w")
    assert isinstance(context, VideoCodecContext)  # noqa: S101 - for the type checker
    bit_rate_max = max(width * height * _BITS_PER_PIXEL, _BIT_RATE_MIN)
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base, context.framerate = Fraction(1, _RATE_HZ), Fraction(30)
    # One thread: a transcode takes no more than a core from the recordings beside it.
    context.thread_count = 1
    context.options = {
        "preset": "veryfast",
        "tune": "zerolatency",
        # What browsers send as well. Of the others openh264 holds a picture back and loses it where the size changes.
        "profile": "baseline",
        "crf": str(_QUALITY),
        "maxrate": str(bit_rate_max),
        "bufsize": str(2 * bit_rate_max),
        "forced-idr": "1",
        "x264-params": "keyint=infinite:scenecut=0",
    }
    context.open()
    return context


def _even(frame: VideoFrame) -> VideoFrame:
    """Return a picture whose width and height are even."""
    width, height = frame.width & ~1, frame.height & ~1
    if (width, height, frame.format.name) == (frame.width, frame.height, "yuv420p"):
        return frame
    return frame.reformat(width=max(width, 2), height=max(height, 2), format="yuv420p")
