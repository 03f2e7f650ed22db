"""The media every publisher of the table sends: numbered pictures that flash, and a beep with each flash.

Frames come encoded, so that what is sent is known to the last one. Written as IVF (pion), which holds frames of any
codec, and as Matroska (FFmpeg, GStreamer).
"""

import struct
import threading
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
from support.media import opus_samples, video_samples

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
                _write_ivf(path, codec, pictures(codec, size))
        return path

    def sound(self) -> Path:
        """Return an IVF file of Opus packets."""
        path = self._folder / "sound.ivf"
        with self._writing:
            if not path.exists():
                _write_ivf(path, Codec.OPUS, sound())
        return path

    def matroska(self, codec: Codec) -> Path:
        """Return a Matroska file of pictures and sound."""
        path = self._folder / f"{codec.value}.mkv"
        with self._writing:
            if not path.exists():
                _write_matroska(path, codec)
        return path


def _write_ivf(path: Path, codec: Codec, samples: tuple[Sample, ...]) -> None:
    with path.open("wb") as out:
        rate = samples[0].rate_hz
        out.write(struct.pack("<4sHH4sHHIII4x", b"DKIF", 0, 32, FOURCC[codec], 0, 0, rate, 1, len(samples)))
        for sample in samples:
            out.write(struct.pack("<IQ", len(sample.data), sample.pts_ticks) + sample.data)


def _write_matroska(path: Path, codec: Codec) -> None:
    with av.open(str(path), "w", format="matroska") as out:
        video = out.add_mux_stream(codec.value.lower(), rate=FPS, width=320, height=180)
        audio = out.add_mux_stream("opus", rate=48_000)
        del video, audio
        streams = {"video": out.streams.video[0], "audio": out.streams.audio[0]}
        samples = sorted((*pictures(codec), *sound()), key=lambda sample: Fraction(sample.pts_ticks, sample.rate_hz))
        for sample in samples:
            packet = av.Packet(sample.data)
            packet.stream = streams[sample.kind.value]
            packet.pts = packet.dts = sample.pts_ticks
            packet.time_base = Fraction(1, sample.rate_hz)
            packet.duration = sample.duration_ticks
            packet.is_keyframe = sample.is_keyframe
            out.mux(packet)
