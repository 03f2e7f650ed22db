"""Reads back what the test page burns into its pictures and beeps into its sound (see `pages/painter.js`)."""

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

COLUMNS, ROWS = 14, 4
BEEP_HZ = 1000
BEEP_PERIOD_S = 1.0


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a file."""

    pts_s: float
    """Presentation time in the file, seconds."""
    time_ms: int | None
    """Burnt-in capture time, low 32 bits of the milliseconds since 1970; None if the checksum does not hold."""
    number: int | None
    is_flash: bool
    size: tuple[int, int]


def read_pictures(path: Path) -> list[Picture]:
    """Return every picture of a file, in order of presentation."""
    with av.open(str(path)) as container:
        return [
            _read(frame.to_ndarray(format="gray"), float(frame.pts * frame.time_base))
            for frame in container.decode(video=0)
        ]


def _read(luma: np.ndarray, pts_s: float) -> Picture:
    height, width = luma.shape
    bits = [_block(luma, bit % COLUMNS, bit // COLUMNS) > 128 for bit in range(COLUMNS * ROWS)]
    values = np.packbits(bits).tolist()
    check = 7
    for value in values[:-1]:
        check = (check * 31 + value) & 0xFF
    is_whole = check == values[-1]
    time_ms = int.from_bytes(values[:4], "big") if is_whole else None
    number = int.from_bytes(values[4:6], "big") if is_whole else None
    is_flash = bool(luma[int(height * 0.6) : int(height * 0.85)].mean() > 128)
    return Picture(pts_s, time_ms, number, is_flash, (width, height))


def _block(luma: np.ndarray, column: int, row: int) -> float:
    """Return the mean of the middle of a block, away from its neighbours' ringing."""
    height, width = luma.shape
    left, right = column * width / COLUMNS, (column + 1) * width / COLUMNS
    top, bottom = row * height / 2 / ROWS, (row + 1) * height / 2 / ROWS
    x, y = (right - left) * 0.25, (bottom - top) * 0.25
    return float(luma[round(top + y) : round(bottom - y), round(left + x) : round(right - x)].mean())


def beep_onsets(path: Path) -> list[float]:
    """Return when each beep begins, in seconds of the file's time, by the energy at the beep's pitch."""
    return onsets_in(read_sound(path))


def read_sound(path: Path) -> np.ndarray:
    """Return a file's sound, mono at 48 kHz from the file's zero on; silent where nothing is."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler("flt", "mono", 48_000)
        pieces = []
        for frame in container.decode(stream):
            pieces += [(float(r.pts * r.time_base), r.to_ndarray()[0]) for r in resampler.resample(frame)]
    return _lay_out(pieces)


def _lay_out(pieces: list[tuple[float, np.ndarray]]) -> np.ndarray:
    """Place the pieces by their own times, so that a hole in the sound does not shift what follows."""
    end = max(round(start * 48_000) + len(samples) for start, samples in pieces)
    sound = np.zeros(end, np.float32)
    for start, samples in pieces:
        first = round(start * 48_000)
        kept = samples[max(0, -first) :]
        sound[max(0, first) : max(0, first) + len(kept)] = kept
    return sound


def onsets_in(sound: np.ndarray) -> list[float]:
    """Return when each beep in a sound begins, seconds."""
    times = np.arange(len(sound)) / 48_000
    mixed = sound * np.exp(-2j * np.pi * BEEP_HZ * times)
    window = 96  # Two periods: fine enough for a millisecond, long enough to tell 1000 Hz from the 220 Hz ground.
    sums = np.concatenate([[0], np.cumsum(mixed)])
    envelope = np.abs(sums[window:] - sums[:-window]) / window
    # The threshold follows the usual level of beeps, not the loudest one: an AAC encoder may overshoot on a pure tone.
    level = float(np.median(envelope[envelope > envelope.max() / 4]))
    is_loud = envelope > level / 2
    rises = np.flatnonzero(is_loud[1:] & ~is_loud[:-1]) + 1
    # Half the level is reached when half the window lies in the beep.
    onsets = [float(rise + window / 2) / 48_000 for rise in rises]
    return [onset for n, onset in enumerate(onsets) if n == 0 or onset - onsets[n - 1] > BEEP_PERIOD_S / 2]
