"""What a job's files say of the crashes they were written through, and whether that is within the promise.

The promise: a kill costs at most the open fragment beside the time the publisher was not connected, and every hole is
declared as `fault` by the file after it. Reads files by ffmpeg and pymp4, and manifests as JSON; nothing of ours.
"""

import json
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from support.mp4_boxes import read_boxes
from support.probe import counters
from support.recorded import ffmpeg_complaints

FRAGMENT_S = 1.0
"""What a kill may cost beside the publisher's absence."""
RESTART_S = 0.3
"""What a restart in order may cost beside it: files are closed, and sessions end, a moment after it is asked for."""
DECLARED_S = 0.05
"""How exactly a declared hole meets the ends of the files."""

Blow = tuple[float, float]
"""When something was killed, Unix seconds, and for how long the publisher was then away."""


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """One file: where its media begins and ends on the wall clock, by kind, and what its manifest declares missing."""

    path: Path
    begins_s: dict[str, float]
    ends_s: dict[str, float]
    pictures: int
    faults: dict[str, tuple[float, float]]
    """By kind, from when until when ours was the fault, Unix seconds."""
    complaints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hole:
    """The time between two files."""

    length_s: float
    lost_s: float
    """Its length beside the publisher's absence."""
    allowed_s: float
    kills_at_s: tuple[float, ...]
    is_declared: bool


@dataclass(slots=True)
class Verdict:
    """What came out, and what is wrong with it."""

    holes: list[Hole]
    sent: int
    kept: int
    complaints: list[str] = field(default_factory=list)


def read_files(bucket: Path, job_id: str = "") -> list[RecordedFile]:
    """Return the MP4 files under a folder, of one job if given, oldest first."""
    return sorted(
        (_read(path) for path in bucket.rglob(f"*{job_id}*.mp4" if job_id else "*.mp4")),
        key=lambda file: min(file.begins_s.values()),
    )


def _read(path: Path) -> RecordedFile:
    manifest = json.loads(path.with_suffix(".json").read_text())
    zero_s = (int(manifest["origin"]["unix_ns"]) + manifest["files"][0]["start_ns"]) / 1e9
    origin_s = int(manifest["origin"]["unix_ns"]) / 1e9
    begins, ends, pictures = {}, {}, 0
    boxes = read_boxes(path)
    complaints = [f"{path.name}: ffmpeg says {said}"] if (said := ffmpeg_complaints(path)) else []
    complaints += [f"{path.name} is still fragmented"] if boxes.is_fragmented else []
    for track in boxes.tracks:
        kind = {"vide": "video", "soun": "audio"}[track.handler]
        begins[kind] = zero_s + track.delay_s
        ends[kind] = begins[kind] + track.ticks / track.rate_hz
        pictures += len(track.sizes) if kind == "video" else 0
    faults = {
        hole["kind"]: (origin_s + hole["start_ns"] / 1e9, origin_s + hole["end_ns"] / 1e9)
        for hole in manifest["missing"]
        if hole["cause"] == "fault"
    }
    return RecordedFile(path, begins, ends, pictures, faults, tuple(complaints))


def lost_pictures(file: RecordedFile, loop: int = 600) -> list[int]:
    """Return the numbers that are missing among the pictures of a file whose clip has `loop` of them, over and over."""
    numbers = [number for _, number in counters(file.path) if number is not None]
    lost = []
    for before, after in pairwise(numbers):
        lost += [number % loop for number in range(before + 1, before + (after - before) % loop)]
    return lost + [-1] * (file.pictures - len(numbers))


def judge(files: list[RecordedFile], kills: list[Blow], restarts: list[Blow], *, sent: int) -> Verdict:
    """Hold the holes between files against what kills and restarts may have cost."""
    holes = [_hole(before, after, kills, restarts) for before, after in pairwise(files)]
    complaints = [complaint for file in files for complaint in file.complaints]
    for hole, file in zip(holes, files[1:], strict=True):
        if hole.lost_s > hole.allowed_s:
            complaints.append(f"{file.path.name}: {hole.lost_s:.2f} s lost before it, {hole.allowed_s:.2f} allowed")
        if not hole.is_declared:
            complaints.append(f"{file.path.name} does not declare the {hole.length_s:.2f} s before it: {file.faults}")
        if not hole.kills_at_s:
            complaints.append(f"{file.path.name}: a hole of {hole.length_s:.2f} s that no kill explains")
    return Verdict(holes, sent, sum(file.pictures for file in files), complaints)


def _hole(before: RecordedFile, after: RecordedFile, kills: list[Blow], restarts: list[Blow]) -> Hole:
    began_s, ended_s = max(before.ends_s.values()), min(after.begins_s.values())
    in_it = [blow for blow in (*kills, *restarts) if began_s - 1 < blow[0] < ended_s]
    absent_s = _absence_s(in_it)
    allowed_s = sum(FRAGMENT_S if blow in kills else RESTART_S for blow in in_it)
    is_declared = all(
        kind in after.faults
        and abs(after.faults[kind][0] - before.ends_s[kind]) < DECLARED_S
        and abs(after.faults[kind][1] - after.begins_s[kind]) < DECLARED_S
        for kind in after.begins_s.keys() & before.ends_s.keys()
    )
    length_s = ended_s - began_s
    return Hole(length_s, length_s - absent_s, allowed_s, tuple(at for at, _ in in_it), is_declared)


def _absence_s(blows: list[Blow]) -> float:
    """Return for how long the publisher was away; a second blow meanwhile does not count twice."""
    total_s, until_s = 0.0, 0.0
    for at_s, away_s in sorted(blows):
        total_s += max(0.0, at_s + away_s - max(at_s, until_s))
        until_s = max(until_s, at_s + away_s)
    return total_s
