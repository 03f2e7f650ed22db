"""What is in a media file: every value is read back from the file itself, by decoding all of it.

Imports PyAV and nothing else, so that it can be run on any file: `python inspect_file.py FILE`.
Sync is measured where a white flash and a loud beep begin together: each beep against the flash nearest to it.
"""

import statistics
import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
from av.audio.resampler import AudioResampler
from av.container import InputContainer

RATE_HZ = 48_000
PAIR_S_MAX = 0.5
"""A flash and a beep further apart than this do not belong together."""
QUIET_S = 0.3
"""What follows a beep sooner than this is still the same beep."""


@dataclass(slots=True)
class FileReport:
    """One file, measured."""

    path: Path
    container: str
    size_bytes: int
    duration_s: float
    """As the file declares it."""
    video_codec: str | None = None
    width: int = 0
    height: int = 0
    video_frames: int = 0
    audio_codec: str | None = None
    channels: int = 0
    audio_frames: int = 0
    """Coded packets of sound."""
    start_offset_ms: float | None = None
    """How much later sound begins than pictures; None without both."""
    offset_ms: float | None = None
    """How much later the beep is than the flash, the median; None if no pair was found."""
    offset_worst_ms: float | None = None
    """The same of the pair furthest apart."""
    warnings: list[str] = field(default_factory=list)
    """What the decoders complained of."""

    def rows(self) -> list[tuple[str, str]]:
        """Return what to print, as pairs of name and value."""
        rows = [
            ("container", self.container),
            ("size", f"{self.size_bytes / 1e6:.2f} MB"),
            ("duration", f"{self.duration_s:.3f} s"),
        ]
        if self.video_codec:
            rows.append(("video", f"{self.video_codec}, {self.width}x{self.height}, {self.video_frames} frames"))
        if self.audio_codec:
            layout = {1: "mono", 2: "stereo"}.get(self.channels, f"{self.channels} channels")
            rows.append(("audio", f"{self.audio_codec}, {layout}, {self.audio_frames} packets"))
        if self.start_offset_ms is not None:
            rows.append(("audio starts", f"{self.start_offset_ms:+.1f} ms from video"))
        if self.offset_ms is not None and self.offset_worst_ms is not None:
            text = f"{self.offset_ms:+.1f} ms at the median, {self.offset_worst_ms:+.1f} ms at worst"
            rows.append(("A/V offset", text))
        rows.append(("decoder warnings", "; ".join(self.warnings) or "none"))
        return rows


def inspect_file(path: Path) -> FileReport:
    """Return what is in a file.

    Raises:
        av.error.FFmpegError: the file cannot be opened or decoded.
    """
    before = av.logging.get_level()
    av.logging.set_level(av.logging.WARNING)
    try:
        with av.logging.Capture(local=False) as logs, av.open(str(path)) as container:
            report = _declared(path, container)
            _measure(report, container)
    finally:
        av.logging.set_level(before)
    report.warnings = [f"{source}: {text.strip()}" for _, source, text in logs]
    return report


def _declared(path: Path, container: InputContainer) -> FileReport:
    """Return what the file says of itself."""
    duration_s = float(Fraction(container.duration or 0, av.time_base))
    report = FileReport(path, container.format.name, path.stat().st_size, duration_s)
    for video in container.streams.video[:1]:
        report.video_codec, report.width, report.height = video.codec_context.name, video.width, video.height
    for audio in container.streams.audio[:1]:
        report.audio_codec, report.channels = audio.codec_context.name, audio.channels
    return report


def _measure(report: FileReport, container: InputContainer) -> None:
    """Decode the file once and fill in what can only be counted or seen."""
    sound = _Sound()
    lights: list[tuple[float, float]] = []
    starts: dict[str, Fraction] = {}
    for packet in container.demux():
        kind = packet.stream.type
        if packet.pts is not None and packet.time_base is not None:
            starts.setdefault(kind, packet.pts * packet.time_base)
            report.audio_frames += kind == "audio"
        for frame in packet.decode():
            if isinstance(frame, av.VideoFrame):
                report.video_frames += 1
                lights.append((frame.time or 0.0, _brightness(frame)))
            elif isinstance(frame, av.AudioFrame):
                sound.add(frame)
    if "audio" in starts and "video" in starts:
        report.start_offset_ms = float((starts["audio"] - starts["video"]) * 1000)
    offsets = _offsets_ms(list(_flashes(lights)), list(sound.onsets()))
    if offsets:
        report.offset_ms = statistics.median(offsets)
        report.offset_worst_ms = max(offsets, key=abs)


def _brightness(frame: av.VideoFrame) -> float:
    """Return a picture's mean brightness, 0 to 255."""
    small = frame.reformat(width=32, height=32, format="gray")
    plane = small.planes[0]
    rows = bytes(plane)
    return sum(sum(rows[y * plane.line_size : y * plane.line_size + 32]) for y in range(32)) / 1024


def _flashes(lights: list[tuple[float, float]]) -> Iterator[float]:
    """Yield when the picture turns bright, in seconds: from below to above half way between darkest and brightest."""
    if not lights:
        return
    levels = [level for _, level in lights]
    half = (min(levels) + max(levels)) / 2
    if max(levels) - min(levels) < 50:
        return
    for (_, before), (moment, after) in pairwise(lights):
        if before < half <= after:
            yield moment


class _Sound:
    """The loudness of the sound, millisecond by millisecond."""

    def __init__(self) -> None:
        self._resampler = AudioResampler(format="s16", layout="mono", rate=RATE_HZ)
        self._runs: list[tuple[float, array[int]]] = []

    def add(self, frame: av.AudioFrame) -> None:
        """Take in one frame of sound."""
        for mono in self._resampler.resample(frame):
            samples = array("h", bytes(mono.planes[0])[: 2 * mono.samples])
            self._runs.append((mono.time or 0.0, samples))

    def onsets(self) -> Iterator[float]:
        """Yield when a beep begins, in seconds: the first sample over a third of the loudest, after quiet."""
        limit = max((max(samples, default=0) for _, samples in self._runs), default=0) / 3
        quiet_since = 0.0
        for start, samples in self._runs if limit > 300 else ():
            for at in range(0, len(samples), 48):
                piece = samples[at : at + 48]
                if max(piece) <= limit:
                    continue
                first = next(index for index, value in enumerate(piece) if value > limit)
                moment = start + (at + first) / RATE_HZ
                if moment - quiet_since >= QUIET_S:
                    yield moment
                quiet_since = start + (at + len(piece)) / RATE_HZ


def _offsets_ms(flashes: list[float], beeps: list[float]) -> list[float]:
    """Return how much later each beep is than the flash nearest to it."""
    pairs = [(min(flashes, key=lambda flash: abs(flash - beep)), beep) for beep in beeps] if flashes else []
    return [(beep - flash) * 1000 for flash, beep in pairs if abs(beep - flash) <= PAIR_S_MAX]


if __name__ == "__main__":
    for name, value in inspect_file(Path(sys.argv[1])).rows():
        print(f"{name:18}{value}")
