"""What a file holds by ffprobe, ffmpeg and PyAV's decoders: never by our own code.

Reads the pictures of `support.media`: flash against beep, and the number burnt into each picture.
"""

import json
import statistics
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np

from support.burnt_in import beep_onsets
from support.media import CHECK_BITS, COUNTER_BITS, COUNTER_HEIGHT_SHARE, counter_check


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """One stream by ffprobe."""

    kind: str
    codec: str
    tag: str
    packets: int
    start_s: Fraction | None
    duration_s: Fraction | None
    """As declared for the stream; None where the container has none."""
    width: int
    height: int
    channels: int


@dataclass(frozen=True, slots=True)
class FileFacts:
    """One file by ffprobe."""

    duration_s: Fraction | None
    tags: dict[str, str]
    streams: tuple[StreamFacts, ...]
    complaints: str
    """What ffprobe said while it read every packet."""

    def stream(self, kind: str) -> StreamFacts:
        """Return the stream of a kind."""
        return next(stream for stream in self.streams if stream.kind == kind)


@dataclass(frozen=True, slots=True)
class Sync:
    """Beep against flash: positive if sound is late."""

    offsets_ms: tuple[float, ...]

    @property
    def median_ms(self) -> float:
        """The median offset."""
        return statistics.median(self.offsets_ms)

    @property
    def worst_ms(self) -> float:
        """The offset furthest from zero."""
        return max(self.offsets_ms, key=abs)


def probe(path: Path) -> FileFacts:
    """Return what ffprobe finds in a file, every packet counted."""
    command = ["ffprobe", "-v", "warning", "-count_packets", "-show_streams", "-show_format", "-of", "json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    body = json.loads(done.stdout)
    duration = body["format"].get("duration")
    tags = {name.lower(): value for name, value in body["format"].get("tags", {}).items()}
    streams = tuple(_stream(stream) for stream in body["streams"])
    return FileFacts(Fraction(duration) if duration else None, tags, streams, done.stderr)


def _stream(body: dict) -> StreamFacts:
    base = Fraction(body["time_base"])
    start, duration = body.get("start_pts"), body.get("duration_ts")
    return StreamFacts(
        body["codec_type"],
        body["codec_name"],
        body["codec_tag_string"],
        int(body.get("nb_read_packets", 0)),
        start * base if start is not None else None,
        duration * base if duration is not None else None,
        body.get("width", 0),
        body.get("height", 0),
        body.get("channels", 0),
    )


def decode_warnings(path: Path) -> str:
    """Return what ffmpeg says while it decodes all of a file; empty if nothing."""
    command = ["ffmpeg", "-nostdin", "-v", "warning", "-i", str(path), "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.stderr + (f"ffmpeg ended with {done.returncode}" if done.returncode else "")


def packet_times(path: Path, kind: str) -> list[Fraction]:
    """Return when each packet of a stream is shown, in seconds."""
    with av.open(str(path)) as container:
        stream = next(stream for stream in container.streams if stream.type == kind)
        packets = container.demux(stream)
        return [packet.pts * packet.time_base for packet in packets if packet.pts is not None and packet.size]


def payloads(path: Path, kind: str) -> list[bytes]:
    """Return each packet's bytes as the container holds them."""
    with av.open(str(path)) as container:
        stream = next(stream for stream in container.streams if stream.type == kind)
        return [bytes(packet) for packet in container.demux(stream) if packet.size]


def counters(path: Path) -> list[tuple[float, int | None]]:
    """Return each picture's time in seconds and burnt-in number; None where its check bits do not hold."""
    with av.open(str(path)) as container:
        return [(frame.time, counter_of(frame.to_ndarray(format="gray"))) for frame in container.decode(video=0)]


def counter_of(luma: np.ndarray) -> int | None:
    """Return the number burnt into a picture; None where its check bits do not hold."""
    height, width = luma.shape
    count = COUNTER_BITS + CHECK_BITS
    row = luma[height // COUNTER_HEIGHT_SHARE // 4 : height // COUNTER_HEIGHT_SHARE * 3 // 4].mean(axis=0)
    bits = 0
    for index in range(count):
        left, right = index * width // count, (index + 1) * width // count
        margin = (right - left) // 4
        bits = bits << 1 | int(row[left + margin : right - margin].mean() > 128)
    number = bits >> CHECK_BITS
    return number if counter_check(number) == bits & 0xF else None


def flashes(path: Path) -> list[float]:
    """Return when the picture below the counter turns white, in seconds."""
    with av.open(str(path)) as container:
        levels = []
        for frame in container.decode(video=0):
            luma = frame.to_ndarray(format="gray")
            levels.append((frame.time, float(luma[luma.shape[0] // 4 : luma.shape[0] // 2].mean())))
    return [now for (_, before), (now, after) in pairwise(levels) if before < 140 <= after]


def sync(path: Path) -> Sync:
    """Return how far each beep is from the flash it belongs to."""
    beeps = beep_onsets(path)
    nearest = [(min(beeps, key=lambda beep: abs(beep - flash), default=None), flash) for flash in flashes(path)]
    pairs = [(beep, flash) for beep, flash in nearest if beep is not None and abs(beep - flash) < 0.5]
    return Sync(tuple((beep - flash) * 1000 for beep, flash in pairs))
