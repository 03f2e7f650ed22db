"""A publisher in a process of its own that comes back whenever it is sent away, and notes when it was connected.

Run as a program it publishes a clip over and over by `soloist.publisher`, writing its progress as JSON lines. The clip
is encoded beforehand, so that a publisher costs little more than its packets.
"""

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from soloist.model.errors import SoloistError
from soloist.model.media import Codec, Sample
from soloist.publisher import PublishProgress, publish
from support.media import opus_samples, video_samples


def write_clip(path: Path, *, seconds: int = 20, with_keyframes: bool = True) -> Path:
    """Write a clip of numbered pictures (H.264, a keyframe a second) and beeps (stereo Opus), to be copied as it is."""
    pictures = [sample for sample in video_samples(Codec.H264, seconds) if with_keyframes or not sample.is_keyframe]
    return write_matroska(path, pictures, opus_samples(seconds, channels=2))


def write_matroska(path: Path, pictures: Sequence[Sample], packets: Sequence[Sample]) -> Path:
    """Write coded pictures (H.264, 320 x 180) and packets of stereo Opus as they are."""
    with av.open(str(path), "w", format="matroska") as out:
        video = out.add_stream("libx264", rate=30)
        video.width, video.height, video.pix_fmt = 320, 180, "yuv420p"
        video.codec_context.max_b_frames = 0
        audio = out.add_stream("libopus", rate=48_000, layout="stereo")
        written = []
        for stream, samples in ((video, pictures), (audio, packets)):
            for sample in samples:
                packet = av.Packet(sample.data)
                packet.stream, packet.time_base = stream, Fraction(1, sample.rate_hz)
                packet.pts = packet.dts = sample.pts_ticks
                packet.duration, packet.is_keyframe = sample.duration_ticks, sample.is_keyframe
                written.append((sample.pts_ns, packet))
        out.start_encoding()
        for _, packet in sorted(written, key=lambda entry: entry[0]):
            out.mux(packet)
    return path


@dataclass(frozen=True, slots=True)
class Span:
    """One stretch of sending without interruption, Unix seconds."""

    began_s: float
    ended_s: float
    frames: int


@dataclass
class SteadyPublisher:
    """A running publisher and its notes."""

    process: "subprocess.Popen[bytes]"
    notes: Path

    @property
    def spans(self) -> list[Span]:
        """When it sent, session by session."""
        rows = [json.loads(line) for line in self.notes.read_text().splitlines() if line.endswith("}")]
        sessions: dict[tuple[int, int], list[dict[str, float]]] = {}
        for row in rows:
            if row["frames"] or row["packets"]:
                sessions.setdefault((row["run"], row["session"]), []).append(row)
        return [Span(_began_s(notes[0]), notes[-1]["at"], int(notes[-1]["frames"])) for notes in sessions.values()]

    @property
    def frames_count(self) -> int:
        """Pictures sent so far, in all sessions."""
        return sum(span.frames for span in self.spans)

    def connected_after(self, moment_s: float) -> float | None:
        """Return when a session began to send that was not there at a moment, Unix seconds; None if not yet."""
        return min((span.began_s for span in self.spans if span.began_s > moment_s), default=None)


def _began_s(note: dict[str, float]) -> float:
    """Return when a session's first packet went out, from its first note: sound goes out every 20 ms."""
    return note["at"] - note["packets"] * 0.02


@contextlib.contextmanager
def steady_publisher(clip: Path, url: str, notes: Path) -> Iterator[SteadyPublisher]:
    """Publish `clip` over and over until the end of the `with`."""
    notes.touch()
    command = [sys.executable, "-m", "support.steady", str(clip), url, str(notes)]
    folder = Path(__file__).resolve().parent.parent
    with subprocess.Popen(
        command, cwd=folder, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            yield SteadyPublisher(process, notes)
        finally:
            process.terminate()


def main(clip: str, url: str, notes: str) -> None:
    """Publish until terminated; whatever ends a session, begin the next."""
    run = 0
    with Path(notes).open("w", buffering=1) as out:
        while True:
            run += 1
            note = _Note(out, run)
            with contextlib.suppress(SoloistError):
                publish(Path(clip), url, "devtoken", loop=True, retry_for_s=60, on_progress=note)
            time.sleep(0.2)


class _Note:
    """Writes progress down with the time, and with the first media time of each session taken back to its beginning."""

    def __init__(self, out, run):
        self._out = out
        self._run = run
        self._session = -1
        self._before = (0, 0)
        self._last = (0, 0)

    def __call__(self, progress: PublishProgress) -> None:
        if progress.reconnects_count != self._session:
            self._session = progress.reconnects_count
            self._before = self._last
        self._last = (progress.frames_count, progress.audio_packets_count)
        row = {
            "at": time.time(),
            "run": self._run,
            "session": self._session,
            "frames": self._last[0] - self._before[0],
            "packets": self._last[1] - self._before[1],
        }
        self._out.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        main(*sys.argv[1:])
