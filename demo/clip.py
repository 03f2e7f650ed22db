"""A test clip with a moving picture and a tone: H.264 without B-frames and Opus, as a WebRTC publisher sends them.

Each second a white flash and a beep begin together, so that what is recorded can be measured for lip sync.
"""

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

WIDTH, HEIGHT, FPS = 640, 360, 30
RATE_HZ = 48_000
FLASH_FRAMES = 3
BEEP_S = FLASH_FRAMES / FPS


def write_clip(path: Path, seconds: int) -> None:
    """Write `seconds` of the clip to `path` (Matroska)."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "tune": "zerolatency"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.gop_size, video.codec_context.max_b_frames = FPS, 0
        video.bit_rate = 800_000
        audio = out.add_stream("libopus", rate=RATE_HZ, layout="stereo")
        audio.bit_rate = 64_000
        for second in range(seconds):
            for frame in _pictures(second):
                out.mux(video.encode(frame))
            for sound in _sound(second):
                out.mux(audio.encode(sound))
        out.mux(video.encode())
        out.mux(audio.encode())


def _pictures(second: int) -> Iterator[av.VideoFrame]:
    ramp = np.tile(np.linspace(30, 120, WIDTH, dtype=np.uint8), (HEIGHT, 1))
    for n in range(FPS):
        picture = np.roll(ramp, 4 * (second * FPS + n), axis=1)
        if n < FLASH_FRAMES:
            picture = np.full_like(ramp, 235)
        angle = 2 * math.pi * (second * FPS + n) / (4 * FPS)
        x, y = int(WIDTH / 2 + 200 * math.cos(angle)), int(HEIGHT / 2 + 100 * math.sin(angle))
        picture[y - 20 : y + 20, x - 20 : x + 20] = 16
        yield _frame(picture, second * FPS + n)


def _frame(picture: npt.NDArray[np.uint8], n: int) -> av.VideoFrame:
    grey = np.full((HEIGHT // 2, WIDTH), 128, dtype=np.uint8)
    frame = av.VideoFrame.from_ndarray(np.vstack([picture, grey]), format="yuv420p")
    frame.pts, frame.time_base = n, Fraction(1, FPS)
    return frame


def _sound(second: int) -> Iterator[av.AudioFrame]:
    time = np.arange(RATE_HZ) / RATE_HZ
    tone = 0.05 * np.sin(2 * np.pi * 220 * time)
    tone += np.where(time < BEEP_S, 0.7 * np.sin(2 * np.pi * 1000 * time), 0)
    samples = np.repeat((tone * 32767).astype(np.int16), 2).reshape(1, -1)
    for start in range(0, RATE_HZ, 960):
        frame = av.AudioFrame.from_ndarray(samples[:, 2 * start : 2 * (start + 960)], format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, second * RATE_HZ + start, Fraction(1, RATE_HZ)
        yield frame
