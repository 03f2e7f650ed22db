"""The load's media, made once per machine: 720p30 H.264 baseline of about 2 Mbit/s, and Opus of 64 kbit/s.

A keyframe every two seconds, one slice a picture, no B-frames: what hardware encoders and browsers send.
"""

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

WIDTH, HEIGHT, FPS, GOP = 1280, 720, 30, 60
RATE_HZ = 48_000
SECONDS = 10
VIDEO_BIT_RATE, AUDIO_BIT_RATE = 2_000_000, 64_000
LAYOUTS = {1: "mono", 2: "stereo"}


def video_clip(folder: Path) -> Path:
    """Return the Annex B file of pictures, made if it is not there yet."""
    path = folder / "720p30-2000k.h264"
    if not path.exists():
        _write(path, _write_video)
    return path


def audio_clip(folder: Path, channels: int) -> Path:
    """Return the Ogg file of sound in one or two channels, made if it is not there yet."""
    path = folder / f"opus-64k-{LAYOUTS[channels]}.ogg"
    if not path.exists():
        _write(path, lambda draft: _write_audio(draft, channels))
    return path


def _write(path: Path, write: Callable[[Path], None]) -> None:
    """Write under another name first, so that an interrupted run leaves no half clip."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"draft-{path.name}")
    write(draft)
    draft.rename(path)


def _write_video(path: Path) -> None:
    # A rate that varies as little as an encoder's for calls: one second of buffer, and no look-ahead.
    options = {"preset": "veryfast", "tune": "zerolatency", "profile": "baseline", "slices": "1", "nal-hrd": "none"}
    options |= {
        "x264-params": f"keyint={GOP}:min-keyint={GOP}:scenecut=0:sliced-threads=0:vbv-maxrate=2200:vbv-bufsize=2200"
    }
    with av.open(str(path), "w", format="h264") as out:
        video = out.add_stream("libx264", rate=FPS, options=options)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.bit_rate = VIDEO_BIT_RATE
        for picture in _pictures():
            out.mux(video.encode(picture))
        out.mux(video.encode())


def _write_audio(path: Path, channels: int) -> None:
    with av.open(str(path), "w", format="ogg") as out:
        audio = out.add_stream("libopus", rate=RATE_HZ, layout=LAYOUTS[channels])
        audio.bit_rate = AUDIO_BIT_RATE
        for sound in _sounds(channels):
            out.mux(audio.encode(sound))
        out.mux(audio.encode())


def _pictures() -> Iterator[av.VideoFrame]:
    """Grain that moves: enough to code for the bit rate to be reached in every picture."""
    random = np.random.default_rng(720)
    noise = random.integers(0, 24, (HEIGHT + 2 * FPS * SECONDS, WIDTH), dtype=np.uint8)
    ramp = np.tile(np.linspace(30, 200, WIDTH, dtype=np.uint8), (HEIGHT, 1))
    grey = np.full((HEIGHT // 2, WIDTH), 128, dtype=np.uint8)
    for n in range(FPS * SECONDS):
        picture = np.roll(ramp, 6 * n, axis=1) + noise[2 * n : 2 * n + HEIGHT]
        x, y = (int(side * (0.5 + 0.3 * turn)) for side, turn in _circle(n))
        picture[y - 60 : y + 60, x - 60 : x + 60] = 16
        frame = av.VideoFrame.from_ndarray(np.vstack([picture, grey]), format="yuv420p")
        frame.pts, frame.time_base = n, Fraction(1, FPS)
        yield frame


def _circle(n: int) -> tuple[tuple[int, float], tuple[int, float]]:
    angle = 2 * math.pi * n / (4 * FPS)
    return (WIDTH, math.cos(angle)), (HEIGHT, math.sin(angle))


def _sounds(channels: int) -> Iterator[av.AudioFrame]:
    """A chord with noise over it, so that no coder finds silence to skip; the second channel differs."""
    random = np.random.default_rng(48)
    for second in range(SECONDS):
        time = second + np.arange(RATE_HZ) / RATE_HZ
        planes = [_channel(time, channel, random) for channel in range(channels)]
        frame = av.AudioFrame.from_ndarray(np.stack(planes).astype(np.float32), "fltp", LAYOUTS[channels])
        frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, second * RATE_HZ, Fraction(1, RATE_HZ)
        yield frame


def _channel(time: npt.NDArray[np.float64], channel: int, random: np.random.Generator) -> npt.NDArray[np.float64]:
    tones = sum(0.1 * np.sin(2 * np.pi * (220 + 40 * channel) * overtone * time) for overtone in (1, 2.5, 4))
    return tones * (1 + 0.5 * np.sin(2 * np.pi * 3 * time)) + 0.02 * random.standard_normal(time.size)
