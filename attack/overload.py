"""Overload by honest streams: three times what two cores carry, and what every file says of what it lacks.

The streams are small and their sound is stereo made AAC, so that recording them costs far more than sending them. Each
picture sent has a digest of its own, so each is either in its file or it is not; one that is not must lie in a stretch
that the manifest declares as `fault`.
"""

import json
import subprocess
import tempfile
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from support.burnt_in import read_sound
from support.go import go_build
from support.instance import Instance, until
from support.media import opus_samples

from attack.watch import Watch
from fidelity.evidence import sound_spans
from fidelity.pattern import GROUND, Clip, digest
from fidelity.service import Job, Rule, Service
from soloist.model.media import Codec

ROOT = Path(__file__).parents[1]
STREAMS, SECONDS = 240, 60.0
NORMAL_S = 5.0
"""How long after the load the service may take to be as before."""
FIRST_PICTURE_S = 1.0
FRAME_MS, PACKET_MS = 1000 / 30, 20.0
EDGE_MS = 1.5 * FRAME_MS
"""How far a declared edge may lie from the picture beside it."""
SOUND_MS = 200.0
"""How much sound may be neither in the file nor declared: what the coder begins late after each stretch."""
SEND_S = 400.0
"""Joining takes its time on cores that have none."""


@dataclass
class Streamed:
    """One stream: what was sent, and what became of it."""

    user: str
    sent: int
    kept: int = 0
    declared: int = 0
    """Not in the file and within a stretch that is declared as overload."""
    complaints: list[str] = field(default_factory=list)

    def complain(self, text: str) -> None:
        """Note what is wrong with it."""
        self.complaints.append(f"{self.user}: {text}")


@dataclass(frozen=True, slots=True)
class Hole:
    """A stretch that a manifest declares missing."""

    kind: str
    start_ms: float
    end_ms: float
    cause: str
    """With its detail."""


@dataclass
class Overload:
    """What a run came to."""

    streams: list[Streamed]
    late_ms: float
    """How far the worst sender fell behind its own clock: what it never sent in time is not the recorder's."""
    normal_s: float
    complaints: list[str]

    def __str__(self) -> str:
        sent = sum(stream.sent for stream in self.streams)
        kept = sum(stream.kept for stream in self.streams)
        declared = sum(stream.declared for stream in self.streams)
        whole = sum(stream.sent == stream.kept for stream in self.streams)
        return (
            f"{len(self.streams)} streams sent {sent} pictures: {kept} in files, {declared} declared as overload, "
            f"{sent - kept - declared} neither; {whole} streams whole; senders at most {self.late_ms:.0f} ms late; "
            f"normal after {self.normal_s:.1f} s"
        )


def overload(service: Service, count: int = STREAMS, seconds: float = SECONDS) -> Overload:
    """Record so many streams at once; return what the files hold and say."""
    with tempfile.TemporaryDirectory() as folder:
        video, digests = _video(Path(folder), seconds)
        audio = _audio(Path(folder))
        jobs = [service.start("crowd", f"p{number}", Rule()) for number in range(count)]
        with Watch(service.instance) as watch:
            url = f"{service.instance.url}/whip/{jobs[0].app}/{jobs[0].room}/p{{n}}"
            clips = ["-video", str(video), "-audio", str(audio)]
            sent = _send(["-url", url, *clips, "-publishers", str(count), "-duration", f"{seconds:g}s"])
            normal_s, complaints = _until_normal(service)
        for job in jobs:
            service.stop(job)
        streams = [
            _judge(service, job, digests, told)
            for job, told in zip(jobs, sorted(sent, key=lambda told: int(told["number"])), strict=True)
        ]
    complaints += [said for stream in streams for said in stream.complaints][:20]
    if watch.health_share < 1.0:
        complaints.append(f"health was well in {watch.health_share:.0%} of the looks")
    return Overload(streams, max(float(told["late_ms_max"]) for told in sent), normal_s, complaints)


def _video(folder: Path, seconds: float) -> tuple[Path, list[str]]:
    samples = Clip(size=(160, 90), seconds=round(seconds) + 2).samples()
    path = folder / "crowd.h264"
    path.write_bytes(b"".join(bytes(sample.data) for sample in samples))
    return path, [digest(bytes(sample.data), Codec.H264) for sample in samples]


def _audio(folder: Path) -> Path:
    path = folder / "crowd.ogg"
    with av.open(str(path), "w", format="ogg") as out:
        stream = out.add_stream("libopus", rate=48_000, layout="stereo")
        out.start_encoding()
        for sample in opus_samples(10, channels=2, ground=GROUND):
            packet = av.Packet(bytes(sample.data))
            packet.stream, packet.time_base = stream, Fraction(1, sample.rate_hz)
            packet.pts = packet.dts = sample.pts_ticks
            packet.duration = sample.duration_ticks
            out.mux(packet)
    return path


def _send(options: list[str]) -> list[dict[str, Any]]:
    """Run the senders of `make bench` to their end; return what each says it sent."""
    binary = go_build(ROOT / "benchmarks" / "load", "load")
    command = [str(binary), "-bearer", "devtoken", "-parallel", "16", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SEND_S, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    finished = next((line for line in lines if line["event"] == "finished"), None)
    if finished is None:
        raise RuntimeError(f"the senders failed: {done.stderr[-600:]}")
    return list(finished["publishers"])


def _until_normal(service: Service) -> tuple[float, list[str]]:
    """Return how long it takes until health is well, nothing waits and starts are admitted; and if that is too long."""
    complaints, ended = [], time.monotonic()
    until(lambda: _is_calm(service.instance), 60, "the recorder does not become calm within a minute")
    normal_s = time.monotonic() - ended
    if normal_s > NORMAL_S:
        complaints.append(f"normal only {normal_s:.1f} s after the load")
    return normal_s, complaints


def _is_calm(instance: Instance) -> bool:
    try:
        with urllib.request.urlopen(f"{instance.url}/soloist/v1/health", timeout=3) as answer:  # noqa: S310 - our own
            is_well = answer.status == 200
        with urllib.request.urlopen(f"{instance.url}/metrics", timeout=3) as answer:  # noqa: S310 - our own
            lines = answer.read().decode().splitlines()
    except OSError:
        return False
    waiting = [line for line in lines if line.startswith(("soloist_media_queue_bytes{", "soloist_load_full{"))]
    return is_well and all(float(line.rpartition(" ")[2]) == 0 for line in waiting)


def _judge(service: Service, job: Job, digests: list[str], told: dict[str, Any]) -> Streamed:
    """Look for each picture in the files, and for those that are not there in what is declared."""
    stream = Streamed(job.user, int(told["video_frames"]))
    shown: list[tuple[float, str]] = []
    heard: list[tuple[float, float]] = []
    holes: set[Hole] = set()
    for manifest in service.manifests(job):
        holes |= {_hole(missing) for missing in manifest["missing"]}
        for file in manifest["files"]:
            starts_ms, path = file["start_ns"] / 1e6, service.path(file["key"])
            _read(path, starts_ms, shown)
            heard += [(starts_ms + start, starts_ms + end) for start, end in sound_spans(read_sound(path))]
    _judge_pictures(stream, shown, digests, [hole for hole in holes if hole.kind == "video"])
    begins_ms = min((start for start, _ in heard), default=0.0)
    quiet_ms = _quiet_ms(begins_ms, begins_ms + int(told["audio_frames"]) * PACKET_MS, heard, holes)
    if quiet_ms > SOUND_MS:
        stream.complain(f"{quiet_ms:.0f} ms of sound neither in the file nor declared")
    if wrong := [hole for hole in holes if hole.cause != "fault, overload"]:
        stream.complain(f"declared otherwise: {wrong[:2]}")
    return stream


def _judge_pictures(stream: Streamed, shown: list[tuple[float, str]], digests: list[str], dark: list[Hole]) -> None:
    zero_ms = _zero_ms(shown, digests)
    if zero_ms is None:
        stream.complain(f"no picture at all, declared {dark[:2]}")
        return
    there = {round((at - zero_ms) / FRAME_MS): told for at, told in shown}
    if strangers := [number for number, told in there.items() if digests[number] != told]:
        stream.complain(f"{len(strangers)} pictures out of place, the first {strangers[0]}")
    stream.kept = len(there)
    absent = [number for number in range(stream.sent) if number not in there]
    undeclared = [number for number in absent if not _lies_in(zero_ms + number * FRAME_MS, dark)]
    stream.declared = len(absent) - len(undeclared)
    if undeclared:
        stream.complain(f"{len(undeclared)} pictures missing, undeclared, from {undeclared[0]} on")


def _hole(missing: dict[str, Any]) -> Hole:
    cause = ", ".join(filter(None, (missing["cause"], missing.get("detail", ""))))
    return Hole(missing["kind"], missing["start_ns"] / 1e6, missing["end_ns"] / 1e6, cause)


def _lies_in(at_ms: float, holes: list[Hole]) -> bool:
    return any(hole.start_ms - EDGE_MS <= at_ms <= hole.end_ms + EDGE_MS for hole in holes)


def _zero_ms(shown: list[tuple[float, str]], digests: list[str]) -> float | None:
    """Return when picture 0 would be shown, by those pictures of which there is only one like it."""
    counts = Counter(digests)
    number_of = {told: number for number, told in enumerate(digests) if counts[told] == 1}
    zeros = sorted(at - number_of[told] * FRAME_MS for at, told in shown if told in number_of)
    return zeros[len(zeros) // 2] if zeros else None


def _read(path: Path, starts_ms: float, shown: list[tuple[float, str]]) -> None:
    """Note when each picture is shown, and its digest."""
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            if packet.size and packet.pts is not None and packet.time_base is not None:
                at_ms = starts_ms + float(packet.pts * packet.time_base) * 1000
                shown.append((at_ms, digest(bytes(packet), Codec.H264)))


def _quiet_ms(start_ms: float, end_ms: float, heard: list[tuple[float, float]], holes: set[Hole]) -> float:
    """Return how much of a stretch is neither heard nor declared missing; the senders are never silent."""
    declared = [(hole.start_ms - EDGE_MS, hole.end_ms + EDGE_MS) for hole in holes if hole.kind == "audio"]
    quiet_ms, at_ms = 0.0, start_ms
    for start, end in sorted([*heard, *declared]):
        quiet_ms += max(0.0, min(start, end_ms) - at_ms)
        at_ms = max(at_ms, end)
    return quiet_ms + max(0.0, end_ms - at_ms)
