"""What recorded files hold, by decoders that are not ours: every picture, every beep, every packet, where sound is.

Files are laid on the pattern's time by what their manifest says of them, so that several files of one recording, or the
segments of a playlist, make one run of media.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import av
import numpy as np
from support.burnt_in import onsets_in, read_sound
from support.recorded import ffmpeg_complaints

from fidelity.pattern import digest, look
from fidelity.plan import Absence
from soloist.model.media import Codec

RATE_HZ = 48_000
SOUND_LEVEL = 0.012
"""Below this root mean square there is no sound: the hum's is three times as much."""
SOUND_WINDOW = 240
"""5 ms: two periods of the hum."""
BEEP_MS = 100.0
SOUND_PAUSE_MS = 15.0
"""Shorter silence is between two waves."""
BLACK = 16
"""A picture without a point as bright as this, of 255, is black; the pattern's darkest has white in its counter."""
EDGE_MS = 1.0
"""A file's ticks round."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One picture as a viewer sees it, at a moment of the pattern's time."""

    at_ms: float
    captured_ms: float | None
    """When the pattern says it was taken; None if it cannot be read."""
    identity: int
    is_damaged: bool
    size: tuple[int, int]
    is_black: bool = False


@dataclass
class Evidence:
    """Everything of one recording, milliseconds of the pattern's time."""

    starts_ms: float = 0.0
    ends_ms: float = 0.0
    pictures: list[Shown] = field(default_factory=list)
    beeps_ms: list[float] = field(default_factory=list)
    sound: list[tuple[float, float]] = field(default_factory=list)
    """Stretches in which there is sound."""
    packets: list[tuple[float, str]] = field(default_factory=list)
    """Each packet of sound as it lies in the file: time and SHA-256."""
    payloads: list[tuple[float, str]] = field(default_factory=list)
    """Each picture as it lies in the files: time and digest."""
    declared: list[Absence] = field(default_factory=list)
    layers: list[dict[str, Any]] = field(default_factory=list)
    skew_ppm: dict[str, float] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    is_copied: bool = False

    def moved(self, ms: float) -> "Evidence":
        """Return it with every time later by so much."""
        return replace(
            self,
            starts_ms=self.starts_ms + ms,
            ends_ms=self.ends_ms + ms,
            pictures=[replace(picture, at_ms=picture.at_ms + ms) for picture in self.pictures],
            beeps_ms=[beep + ms for beep in self.beeps_ms],
            sound=[(start + ms, end + ms) for start, end in self.sound],
            packets=[(at + ms, digest) for at, digest in self.packets],
            payloads=[(at + ms, digest) for at, digest in self.payloads],
            declared=[replace(a, start_ms=a.start_ms + ms, end_ms=a.end_ms + ms) for a in self.declared],
        )


@dataclass(frozen=True, slots=True)
class Reader:
    """How a publisher's pictures are read, and compared."""

    codec: Codec
    pictures: Callable[[Path], Iterable[Shown]]
    """Every picture of a file, at its time in the file."""


def gather(
    manifests: Iterable[dict[str, Any]], path_of: Callable[[str], Path], reader: Reader, epoch_ns: int
) -> Evidence:
    """Read all files of a recording's manifests; `path_of(key)` says where an object lies."""
    found = Evidence(starts_ms=float("inf"))
    declared: dict[tuple[Any, ...], Absence] = {}
    for manifest in manifests:
        shift_ms = (int(manifest["origin"]["unix_ns"]) - epoch_ns) / 1e6
        for missing in manifest["missing"]:
            start, end = shift_ms + missing["start_ns"] / 1e6, shift_ms + missing["end_ns"] / 1e6
            absence = Absence(missing["kind"], start, end, missing["cause"], missing["detail"])
            declared[(absence.kind, round(start), round(end))] = absence
        for track in manifest["tracks"]:
            found.layers += track.get("layers", [])
            found.is_copied |= track["kind"] == "audio" and not track["transcoded"]
            for clock in track["clocks"]:
                found.skew_ppm[track["kind"]] = clock["skew_ppm"]
        for file in manifest["files"]:
            found.files.append(file["key"])
            found.starts_ms = min(found.starts_ms, shift_ms + file["start_ns"] / 1e6)
            found.ends_ms = max(found.ends_ms, shift_ms + file["end_ns"] / 1e6)
            _read(found, path_of(file["key"]), shift_ms + file["start_ns"] / 1e6, reader)
    found.declared = sorted(declared.values(), key=lambda absence: absence.start_ms)
    return without_ours(found)


def without_ours(found: Evidence) -> Evidence:
    """Leave out what playlists show in a hole, but only where a picture is declared missing.

    That is black while the camera is off, and the first picture after it, which stands in it beforehand.
    """
    dark = [(absence.start_ms - EDGE_MS, absence.end_ms) for absence in found.declared if absence.kind == "video"]
    ours = [
        p.at_ms
        for p, following in zip_longest(found.pictures, found.pictures[1:])
        if (p.is_black or (following and p.captured_ms is not None and p.captured_ms == following.captured_ms))
        and any(start <= p.at_ms < end for start, end in dark)
    ]
    return replace(
        found,
        pictures=[picture for picture in found.pictures if picture.at_ms not in ours],
        payloads=[(at, told) for at, told in found.payloads if all(abs(at - dark_at) > EDGE_MS for dark_at in ours)],
    )


def _read(found: Evidence, path: Path, starts_ms: float, reader: Reader) -> None:
    """Add what one file holds; its zero is `starts_ms`."""
    if complaint := ffmpeg_complaints(path):
        found.complaints.append(f"ffmpeg on {path.name}: {complaint.splitlines()[0]}")
    kinds, zero_ms = _packets(found, path, starts_ms, reader.codec)
    if "video" in kinds:
        found.pictures += [replace(shown, at_ms=shown.at_ms + zero_ms) for shown in reader.pictures(path)]
    if "audio" in kinds:
        sound = read_sound(path)
        spans = [(start + zero_ms, end + zero_ms) for start, end in sound_spans(sound)]
        found.sound += spans
        found.beeps_ms += [at for at in (zero_ms + beep * 1000 for beep in _beeps(sound)) if _is_whole(at, spans)]


def _packets(found: Evidence, path: Path, starts_ms: float, codec: Codec) -> tuple[set[str], float]:
    """Add a file's packets; return what tracks it has and what its time 0 is in the pattern's time."""
    with av.open(str(path)) as container:
        all_packets = [p for p in container.demux() if p.pts is not None and p.size and p.stream.type in KINDS]
        at_ms = [float(packet.pts * packet.time_base) * 1000 for packet in all_packets]
        # A playlist's segments count from where their muxer began; other files from 0.
        zero_ms = starts_ms - (min(at_ms) if path.suffix == ".m3u8" else 0.0)
        for at, packet in zip(at_ms, all_packets, strict=True):
            if packet.stream.type == "audio":
                found.packets.append((zero_ms + at, hashlib.sha256(bytes(packet)).hexdigest()))
            else:
                found.payloads.append((zero_ms + at, digest(bytes(packet), codec)))
        return {packet.stream.type for packet in all_packets}, zero_ms


KINDS = ("audio", "video")


def pattern_reader(codec: Codec, fps: int) -> Reader:
    """Return how the pattern's pictures are read."""

    def read(path: Path) -> Iterator[Shown]:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                luma = frame.to_ndarray(format="gray")
                seen = look(luma, fps)
                captured = None if seen.number is None else seen.number * 1000 / fps
                at_ms = float(frame.pts * frame.time_base) * 1000
                size, is_black = (frame.width, frame.height), int(luma.max()) < BLACK
                yield Shown(at_ms, captured, seen.identity, seen.is_damaged, size, is_black)

    return Reader(codec, read)


def sound_spans(sound: "np.ndarray") -> list[tuple[float, float]]:
    """Return the stretches of a sound in which something is heard, milliseconds from its beginning."""
    count = len(sound) // SOUND_WINDOW
    if not count:
        return []
    windows = sound[: count * SOUND_WINDOW].reshape(count, SOUND_WINDOW)
    heard = np.concatenate([[False], np.sqrt((windows**2).mean(axis=1)) > SOUND_LEVEL, [False]])
    step_ms = SOUND_WINDOW * 1000 / RATE_HZ
    edges = [float(edge) * step_ms for edge in np.flatnonzero(heard[1:] != heard[:-1])]
    spans: list[tuple[float, float]] = []
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        if spans and start - spans[-1][1] < SOUND_PAUSE_MS:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return spans


def _beeps(sound: "np.ndarray") -> list[float]:
    return onsets_in(sound) if np.abs(sound).max(initial=0.0) > 0.25 else []


def _is_whole(beep_ms: float, spans: list[tuple[float, float]]) -> bool:
    """Return whether a beep's beginning is heard: where sound begins or comes back within one, it is not."""
    return any(start <= beep_ms - BEEP_MS - 10 and beep_ms + 30 <= end for start, end in spans)
