"""`make bench-transcode`: what making H.264 of VP8 costs beside keeping it, and sound alone beside sound and picture.

Each line runs one recording through the real path as fast as it goes (frames, timeline, line, child process, sink) and
counts user and system time of this process and of its children, for each second of media. Nothing is received by a
network here; what that costs is in `make bench`, the same for all of these.
"""

import argparse
import json
import os
import resource
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from support.frames import FrameValue
from support.jobs import a_job, a_rule
from support.media import opus_samples, video_samples
from support.stage import Stage, a_publisher, frames_of, merged

from soloist.model.media import Codec, Kind
from soloist.model.rule import AudioMode, Vp8Mode

SECONDS, FPS = 20, 30
SIZES = {"360p": (640, 360, 700_000), "720p": (1280, 720, 2_000_000)}
LOOK_S = 0.1
"""How often a recorder's media thread looks for answers of its children while media flows."""
JSON = Path(__file__).resolve().parent.parent / "build" / "bench" / "transcode.json"


@dataclass(frozen=True)
class Row:
    """One kind of recording."""

    name: str
    recorder_ms: float
    """CPU of the recorder's side, milliseconds for each second of media: median of the rounds."""
    child_ms: float
    """CPU of the child process."""

    @property
    def whole_ms(self) -> float:
        """Both."""
        return self.recorder_ms + self.child_ms


def main() -> None:
    """Measure, print, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of which the median is told; default %(default)s")
    rounds = parser.parse_args().rounds
    rows = [measured(name, run, rounds) for name, run in recordings().items()]
    table = Table(title=f"CPU ms for each second of media, median of {rounds}, {os.cpu_count()} cores")
    for heading in ("recording", "recorder", "child", "together"):
        table.add_column(heading, justify="left" if heading == "recording" else "right")
    for row in rows:
        table.add_row(row.name, f"{row.recorder_ms:.1f}", f"{row.child_ms:.1f}", f"{row.whole_ms:.1f}")
    Console(width=100).print(table)
    JSON.parent.mkdir(parents=True, exist_ok=True)
    JSON.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


def recordings() -> dict[str, Callable[[], None]]:
    """Return what is measured, by name."""
    sound = frames_of(opus_samples(SECONDS, channels=2), Codec.OPUS, rtp_zero=7)
    found: dict[str, Callable[[], None]] = {}
    for size, (width, height, bit_rate) in SIZES.items():
        encoded = video_samples(Codec.VP8, SECONDS, width=width, height=height, gop=60, bit_rate=bit_rate)
        pictures = frames_of(encoded, Codec.VP8, size=(width, height))
        for name, vp8 in (("kept (WebM)", Vp8Mode.WEBM), ("as H.264 (MP4)", Vp8Mode.H264)):
            found[f"VP8 {size} {name}, Opus"] = recording(pictures, sound, vp8, AudioMode.COPY)
        if size == "720p":
            h264 = video_samples(Codec.H264, SECONDS, width=width, height=height, gop=60, bit_rate=bit_rate)
            pictures = frames_of(h264, Codec.H264, size=(width, height))
            for mode in AudioMode:
                found[f"H.264 720p, {mode}"] = recording(pictures, sound, Vp8Mode.WEBM, mode, codec=Codec.H264)
    for mode in AudioMode:
        found[f"sound alone, {mode}"] = recording([], sound, Vp8Mode.WEBM, mode)
    return found


def recording(
    pictures: list[FrameValue], sound: list[FrameValue], vp8: Vp8Mode, mode: AudioMode, *, codec: Codec = Codec.VP8
) -> Callable[[], None]:
    """Return what records these frames once."""
    kinds = (Kind.AUDIO, Kind.VIDEO) if pictures else (Kind.AUDIO,)
    frames = merged(pictures, sound)

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            stage = Stage(Path(folder), a_job(rule=a_rule(audio=mode), vp8=vp8), look_s=LOOK_S)
            alice = a_publisher(kinds=kinds, codec=codec)
            stage.recording.on_attached(alice)
            stage.play(alice, frames)
            stage.stop()
            (ended,) = stage.ended
            if ended.summary.frames.get(Kind.VIDEO, 0) != len(pictures):
                raise SystemExit(f"pictures are missing: {ended.summary.frames} of {len(pictures)}")

    return run


def measured(name: str, run: Callable[[], None], rounds: int) -> Row:
    """Run a recording a few times; return what it cost."""
    own, children = [], []
    for _ in range(rounds):
        before = [cpu_s(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        run()
        own.append(cpu_s(resource.RUSAGE_SELF) - before[0])
        children.append(cpu_s(resource.RUSAGE_CHILDREN) - before[1])
    return Row(name, *(statistics.median(seconds) * 1000 / SECONDS for seconds in (own, children)))


def cpu_s(who: int) -> float:
    """Return user and system time of this process or of its children that have ended, seconds."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
