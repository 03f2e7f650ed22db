"""The pictures and the sound that publishers of the fidelity runs send, encoded once and kept under build/.

Picture `n` shows its number, whose it is, and white for the first tenth of each second; sound beeps with it and hums
softly between, so that silence is missing sound. What a decoded picture should look like is known to the last block.
"""

import hashlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from interop.clips import write_ivf
from support import media
from support.probe import counter_of

from fidelity.plan import KEY_MS
from soloist.model.media import Codec, Sample

FOLDER = Path(__file__).parents[1] / "build" / "fidelity"
GROUND = 0.05
BLOCK = 16
DAMAGE = 40.0
"""A block whose mean is this far from what it should be, of 255, is damaged: coding costs less than a tenth of it."""
LONGEST_S = 90


@dataclass(frozen=True, slots=True)
class Clip:
    """One encoding of the pattern."""

    codec: Codec = Codec.H264
    size: tuple[int, int] = (320, 180)
    fps: int = 30
    identity: int = 1
    seconds: int = LONGEST_S

    @property
    def key_every(self) -> int:
        """Pictures from one keyframe to the next."""
        return self.fps * KEY_MS // 1000

    def samples(self) -> tuple[Sample, ...]:
        """Encode it."""
        width, height = self.size
        fields = {"width": width, "height": height, "fps": self.fps, "gop": self.key_every, "identity": self.identity}
        # At its usual haste SVT's AV1 encoder spoils a picture now and then.
        options = (("preset", "9"),) if self.codec is Codec.AV1 else ()
        return media.video_samples.__wrapped__(self.codec, self.seconds, **fields, options=options)

    def path(self) -> Path:
        """Return its IVF file, written at the first call."""
        width, height = self.size
        name = f"{self.codec.value}-{width}x{height}-{self.fps}-{self.identity}-{self.seconds}"
        return _kept(name, self.codec, self.samples)


@dataclass(frozen=True, slots=True)
class Sound:
    """One encoding of the sound."""

    seconds: int = LONGEST_S
    channels: int = 1

    def samples(self) -> tuple[Sample, ...]:
        """Encode it."""
        return media.opus_samples.__wrapped__(self.seconds, channels=self.channels, ground=GROUND)

    def path(self) -> Path:
        """Return its IVF file, written at the first call."""
        return _kept(f"opus-{self.seconds}-{self.channels}", Codec.OPUS, self.samples)


@cache
def _version() -> str:
    """Name what encodes: another source makes other clips."""
    sources = Path(media.__file__).read_bytes() + Path(__file__).read_bytes()
    return hashlib.sha256(sources).hexdigest()[:8]


_writing = threading.Lock()
"""Encoders for real time do not encode the same thing twice alike: everyone has to have the same file."""


def _kept(name: str, codec: Codec, make: Callable[[], tuple[Sample, ...]]) -> Path:
    path = FOLDER / f"{name}-{_version()}.ivf"
    with _writing:
        if not path.exists():
            FOLDER.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(f".{os.getpid()}")
            write_ivf(part, codec, make())
            part.rename(path)
    return path


def read_ivf(path: Path) -> list[bytes]:
    """Return the frames of an IVF file."""
    body, at, frames = path.read_bytes(), 32, []
    while at < len(body):
        size = int.from_bytes(body[at : at + 4], "little")
        frames.append(body[at + 12 : at + 12 + size])
        at += 12 + size
    return frames


@dataclass(frozen=True, slots=True)
class Seen:
    """What a decoded picture shows."""

    number: int | None
    """None: its check bits do not hold."""
    identity: int
    is_damaged: bool


def look(luma: "np.ndarray", fps: int) -> Seen:
    """Read a decoded picture and hold every block of it against what it should be."""
    number, identity = counter_of(luma), _identity(luma)
    if number is None:
        return Seen(None, identity, is_damaged=True)
    height, width = luma.shape
    is_flash = number % fps < fps // 10
    wanted = media.picture(number, flash=is_flash, width=width, height=height, identity=identity)[:height]
    # The decoder's grey is of full range, the pattern's of video range.
    worst = float(np.abs(_blocks(luma) - (_blocks(wanted) - 16) * 255 / 219).max())
    return Seen(number, identity, is_damaged=worst > DAMAGE)


def _identity(luma: "np.ndarray") -> int:
    height, width = luma.shape
    top, bottom = height // media.COUNTER_HEIGHT_SHARE, height // media.IDENTITY_HEIGHT_SHARE
    row = luma[top + 2 : bottom - 2].mean(axis=0)
    edges = [index * width // media.IDENTITY_BITS for index in range(media.IDENTITY_BITS + 1)]
    bits = [row[left + 4 : right - 4].mean() > 128 for left, right in pairwise(edges)]
    return int("".join("01"[bool(bit)] for bit in bits), 2)


def _blocks(luma: "np.ndarray") -> "np.ndarray":
    """Return the mean of each block; what does not fill a block at the right and below is left out."""
    height, width = luma.shape[0] // BLOCK * BLOCK, luma.shape[1] // BLOCK * BLOCK
    cut = luma[:height, :width].astype(np.float32)
    return cut.reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK).mean(axis=(1, 3))


@lru_cache(maxsize=64)
def digests_of(path: Path, codec: Codec) -> tuple[str, ...]:
    """Return the digest of each frame of a clip's file."""
    return tuple(digest(frame, codec) for frame in read_ivf(path))


def digest(frame: bytes, codec: Codec) -> str:
    """Return the SHA-256 of a frame; of H.264, of its slices, as containers write the rest in ways of their own."""
    if codec is not Codec.H264:
        return hashlib.sha256(frame).hexdigest()
    slices = [unit for unit in _units(frame) if unit[0] & 0x1F in SLICES]
    return hashlib.sha256(b"\0".join(slices)).hexdigest()


SLICES = (1, 5)
"""NAL unit types. Spec: ITU-T H.264 table 7-1."""


def _units(frame: bytes) -> list[bytes]:
    """Return the NAL units of an access unit: after lengths of four bytes, or after start codes (annex B)."""
    units, at = [], 0
    while at + 4 < len(frame):
        size = int.from_bytes(frame[at : at + 4], "big")
        units.append(frame[at + 4 : at + 4 + size])
        at += 4 + size
    if at != len(frame):
        units = frame.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]
    return [unit.rstrip(b"\0") for unit in units if unit]
