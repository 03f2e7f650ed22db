"""What PyAV needs to be told of a codec before its first packet: streams to copy a track's description from.

PyAV takes no decoder configuration by hand, so a keyframe is opened as a tiny file in memory and FFmpeg reads size,
profile and parameter sets out of it. Costs 1 to 3 ms a file.
"""

import io
import struct
from functools import lru_cache

import av
from av.container import InputContainer
from av.stream import Stream

from soloist.model.errors import InternalError
from soloist.model.media import AudioFormat, Codec, VideoFormat

_FOURCC = {Codec.VP8: b"VP80", Codec.VP9: b"VP90", Codec.AV1: b"AV01"}
_AV1_TEMPORAL_DELIMITER = b"\x12\x00"
_ENCODER_OF_AUDIO = {Codec.OPUS: "libopus", Codec.AAC: "aac"}


PIXELS_MAX = 8192 * 4320
"""FFmpeg decodes the keyframe to describe it: one of 16,200 x 16,200 would take it a second and half a gigabyte."""
_OPTIONS = {"max_pixels": str(PIXELS_MAX)}


def video_template(video: VideoFormat) -> Stream:
    """Return a stream that describes `video`.

    Raises:
        InternalError: its keyframe holds no picture FFmpeg can recognise, or one beyond `PIXELS_MAX`.
    """
    try:
        stream = _open(video).streams.video[0]
    except (av.error.FFmpegError, IndexError) as error:
        raise InternalError(f"The first keyframe is not valid {video.codec}.") from error
    if not stream.codec_context.width:
        raise InternalError(f"The first keyframe is not valid {video.codec}, or its picture is too large.")
    return stream


def describes_pictures(video: VideoFormat) -> bool:
    """Return whether a keyframe is one: hostile ones would open no file."""
    try:
        video_template(video)
    except InternalError:
        return False
    return True


def _open(video: VideoFormat) -> InputContainer:
    """Open the keyframe as a file: raw Annex B for H.264, one-frame IVF for the others."""
    if video.codec is Codec.H264:
        return av.open(io.BytesIO(video.keyframe), mode="r", format="h264", options=_OPTIONS)
    frame = _AV1_TEMPORAL_DELIMITER + video.keyframe if video.codec is Codec.AV1 else video.keyframe
    header = struct.pack(
        "<4sHH4sHHIIII", b"DKIF", 0, 32, _FOURCC[video.codec], video.width, video.height, 90_000, 1, 1, 0
    )
    return av.open(
        io.BytesIO(header + struct.pack("<IQ", len(frame), 0) + frame), mode="r", format="ivf", options=_OPTIONS
    )


def audio_template(audio: AudioFormat) -> Stream:
    """Return a stream that describes `audio`; made once for each codec and number of channels."""
    return _audio_file(audio.codec, audio.channels, audio.rate_hz).streams.audio[0]


@lru_cache(maxsize=8)
def _audio_file(codec: Codec, channels: int, rate_hz: int) -> InputContainer:
    """Write an empty MP4 in memory with one audio track and open it."""
    file = io.BytesIO()
    with av.open(file, mode="w", format="mp4", options={"movflags": "empty_moov"}) as writer:
        writer.add_stream(_ENCODER_OF_AUDIO[codec], rate=rate_hz, layout="mono" if channels == 1 else "stereo")
        writer.start_encoding()
    if codec is Codec.OPUS:
        _clear_pre_skip(file)
    file.seek(0)
    return av.open(file, mode="r", format="mp4")


def _clear_pre_skip(file: io.BytesIO) -> None:
    """Let players drop nothing: a WebRTC sender states no pre-skip, and its first packet is kept (rule R12).

    Spec: Opus in ISOBMFF §4.3.2 (dOps: version, channels, then 16 bits of PreSkip).
    """
    at = file.getvalue().index(b"dOps") + 4
    file.seek(at + 2)
    file.write(b"\0\0")
