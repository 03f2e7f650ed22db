"""The media every publisher of the table sends: numbered pictures that flash, and a beep with each flash.

Frames come encoded, so that what is sent is known to the last one. Written as IVF (pion), which holds frames of any
codec, and as Matroska (FFmpeg).
"""

import struct
import threading
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from support.media import FLASH_SECONDS, opus_samples, picture, tone, video_samples

from soloist.model.media import Codec, Sample

SECONDS = 6
FPS = 30
FOURCC = {Codec.H264: b"H264", Codec.VP8: b"VP80", Codec.VP9: b"VP90", Codec.AV1: b"AV01", Codec.OPUS: b"OPUS"}
LAYERS = ((160, 90), (320, 180), (640, 360))


@lru_cache(maxsize=8)
def pictures(codec: Codec, size: tuple[int, int] = (320, 180)) -> tuple[Sample, ...]:
    """Return the clip's pictures."""
    return video_samples(codec, SECONDS, width=size[0], height=size[1], fps=FPS, gop=FPS)


def sound() -> tuple[Sample, ...]:
    """Return the clip's sound."""
    return opus_samples(SECONDS)


class Clips:
    """Writes each clip once into `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writing = threading.Lock()

    def pictures(self, codec: Codec, size: tuple[int, int] = (320, 180)) -> Path:
        """Return an IVF file of pictures."""
        path = self._folder / f"{codec.value}-{size[0]}.ivf"
        with self._writing:
            if not path.exists():
                write_ivf(path, codec, pictures(codec, size))
        return path

    def sound(self) -> Path:
        """Return an IVF file of Opus packets."""
        path = self._folder / "sound.ivf"
        with self._writing:
            if not path.exists():
                write_ivf(path, Codec.OPUS, sound())
        return path

    def matroska(self) -> Path:
        """Return a Matroska file of H.264 and Opus."""
        path = self._folder / "clip.mkv"
        with self._writing:
            if not path.exists():
                _write_matroska(path)
        return path


def write_ivf(path: Path, codec: Codec, samples: tuple[Sample, ...]) -> None:
    """Write coded frames as an IVF file, times in ticks of their rate."""
    with path.open("wb") as out:
        rate = samples[0].rate_hz
        out.write(struct.pack("<4sHH4sHHIII4x", b"DKIF", 0, 32, FOURCC[codec], 0, 0, rate, 1, len(samples)))
        for sample in samples:
            out.write(struct.pack("<IQ", len(sample.data), sample.pts_ticks) + sample.data)


def _write_matroska(path: Path) -> None:
    """Write H.264 without B-frames and Opus, from an encoder that describes its stream."""
    with av.open(str(path), "w", format="matroska") as out:
        video = out.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "tune": "zerolatency"})
        video.width, video.height, video.pix_fmt = 320, 180, "yuv420p"
        video.codec_context.gop_size, video.codec_context.max_b_frames = FPS, 0
        audio = out.add_stream("libopus", rate=48_000, layout="stereo")
        packets = [packet for number in range(SECONDS * FPS) for packet in video.encode(_picture(number))]
        packets += [packet for frame in _sound_frames() for packet in audio.encode(frame)]
        packets += [*video.encode(), *audio.encode()]
        for packet in sorted(packets, key=lambda packet: packet.pts * packet.time_base):
            out.mux(packet)


def _picture(number: int) -> av.VideoFrame:
    is_flash = Fraction(number, FPS) % 1 < FLASH_SECONDS
    frame = av.VideoFrame.from_ndarray(picture(number, flash=is_flash, width=320, height=180), format="yuv420p")
    frame.pts, frame.time_base = number, Fraction(1, FPS)
    return frame


def _sound_frames() -> Iterator[av.AudioFrame]:
    wave = tone(SECONDS, channels=2)
    for start in range(0, wave.shape[1], 960):
        packed = np.ascontiguousarray(wave[:, start : start + 960].T.reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, start, Fraction(1, 48_000)
        yield frame
