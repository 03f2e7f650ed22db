"""`make soak`: half an hour of twenty real streams, and whether the service grows.

Every other stream is recorded as MP4 (a new file every five minutes), the rest as HLS, with sound as AAC: the paths
that keep something per file and per segment. Memory is looked at every ten seconds; after the warm-up a line is laid
through it (Theil-Sen: the median of the slopes between all pairs of looks, which single bumps do not bend).
Exit status 1: recorder or whole service grow by more than 1 MB an hour and stream, or a frame is not in a file.
"""

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path

from bench import BUILD, build_programs, machine, say
from kept import NOTHING, Kept, kept_in_mp4
from media import audio_clip, video_clip
from sides import RunningSoloist, Soloist
from usage import memory_by_process

from soloist.model.rule import AudioMode, RecordFormat

FORMATS = (RecordFormat.MP4, RecordFormat.HLS)
LOOK_S, TIDY_S = 10.0, 30.0
MP4_CYCLE_S = 300
GROWTH_BYTES_MAX = 1_000_000
"""An hour and stream. Rule R43, and the tolerances of recording."""
JUDGED = ("recorder", "service")
HOUR_S = 3600.0


@dataclass
class Soak:
    """What was seen so far: (seconds since the first look, bytes) by process, and frames found in finished files."""

    looks: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    kept: Kept = NOTHING
    files: int = 0
    segments: int = 0

    def look(self, pid: int, at_s: float) -> None:
        """Note the memory of every process, and their sum."""
        found = memory_by_process(pid)
        for name, size in {**found, "service": sum(found.values())}.items():
            self.looks.setdefault(name, []).append((at_s, size))

    def tidy(self, bucket: Path, *, is_over: bool = False) -> None:
        """Count and remove what is finished, as a customer's lifecycle rule would: half an hour fills many disks."""
        now = time.time()
        for path in bucket.rglob("*.mp4"):
            self.kept += kept_in_mp4(path)
            self.files += 1
            path.unlink()
        for path in bucket.rglob("*.ts"):
            if is_over or now - path.stat().st_mtime > TIDY_S:
                self.segments += 1
                path.unlink()


def main() -> None:
    """Record, look, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0, help="how long; default %(default)s")
    parser.add_argument("--warm-minutes", type=float, default=6.0, help="not judged; default %(default)s")
    parser.add_argument("--streams", type=int, default=20, help="publishers; default %(default)s")
    options = parser.parse_args()
    load = build_programs()["load"]
    side = Soloist(AudioMode.AAC, 1, FORMATS, MP4_CYCLE_S)
    soak = Soak()
    with side.running(options.streams) as running:
        sent = send(running, soak, load, options)
        running.finish()
        soak.tidy(running.server.bucket, is_over=True)
    sys.exit(report(soak, sent, options))


def send(running: RunningSoloist, soak: Soak, load: str, options: argparse.Namespace) -> Kept:
    """Publish until the time is over, looking at memory meanwhile; return what was sent to be MP4."""
    command = [load, "-url", running.url, "-publishers", str(options.streams), "-duration", f"{options.minutes}m"]
    command += ["-video", str(video_clip(BUILD)), "-audio", str(audio_clip(BUILD, 1)), "-bearer", "devtoken", "-twcc"]
    over = threading.Event()
    tidying = threading.Thread(target=_tidy_until, args=(over, soak, running.server.bucket))
    tidying.start()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            began = time.monotonic()
            while process.poll() is None:
                at_s = time.monotonic() - began
                soak.look(running.pid, at_s)
                tell(soak, at_s, options.minutes * 60)
                time.sleep(LOOK_S)
            events = [json.loads(line) for line in process.stdout or ()]
        finally:
            process.kill()
            over.set()
            tidying.join()
    publishers = events[-1]["publishers"]
    in_mp4 = (one for one in publishers if FORMATS[one["number"] % len(FORMATS)] is RecordFormat.MP4)
    return sum((Kept(one["video_frames"], one["audio_frames"]) for one in in_mp4), NOTHING)


def _tidy_until(over: threading.Event, soak: Soak, bucket: Path) -> None:
    while not over.wait(TIDY_S):
        soak.tidy(bucket)


def tell(soak: Soak, at_s: float, total_s: float) -> None:
    """Say once a minute how things stand."""
    if int(at_s / 60) != int((at_s - LOOK_S) / 60) or at_s < LOOK_S:
        sizes = ", ".join(f"{name} {looks[-1][1] / 1e6:.1f}" for name, looks in sorted(soak.looks.items()))
        say(f"{at_s / 60:.0f} of {total_s / 60:.0f} min: MB {sizes}; {soak.files} files, {soak.segments} segments")


def growth_of(looks: list[tuple[float, int]], warm_s: float) -> float:
    """Return how much a process grows, bytes an hour, after the warm-up."""
    steady = [look for look in looks if look[0] >= warm_s]
    slopes = [(after - before) / (end - begin) for (begin, before), (end, after) in combinations(steady, 2)]
    return statistics.median(slopes) * HOUR_S


def report(soak: Soak, sent: Kept, options: argparse.Namespace) -> int:
    """Print and write the result; return the exit status."""
    growth = {name: growth_of(looks, options.warm_minutes * 60) for name, looks in soak.looks.items() if len(looks) > 2}
    result = {
        "machine": machine(),
        "streams": options.streams,
        "minutes": options.minutes,
        "sent_to_mp4": asdict(sent),
        "kept_in_mp4": asdict(soak.kept),
        "files": soak.files,
        "segments": soak.segments,
        "megabytes_last": {name: round(looks[-1][1] / 1e6, 1) for name, looks in sorted(soak.looks.items())},
        "growth_kilobytes_an_hour_and_stream": {
            name: round(bytes_h / options.streams / 1e3, 1) for name, bytes_h in sorted(growth.items())
        },
    }
    text = json.dumps(result, indent=1)
    (BUILD / "soak.json").write_text(text + "\n")
    print(text)
    faults = [f"{name} grows" for name in JUDGED if growth[name] / options.streams > GROWTH_BYTES_MAX]
    faults += ["frames are missing"] if soak.kept != sent else []
    for fault in faults:
        say(f"failed: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    main()
