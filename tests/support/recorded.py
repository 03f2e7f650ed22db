"""What a recorded file says of itself and of its sender; every figure is measured by decoding the file."""

import itertools
import statistics
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import av
import numpy as np

from support.burnt_in import Picture, onsets_in, read_pictures, read_sound

GROUND_LEVEL = 0.01
"""A third of how loud the page is between its beeps."""


def wait_for_files(bucket: Path, job_id: str, *, extension: str, count: int = 1, within_s: float = 60.0) -> list[Path]:
    """Return a job's finished files of one kind, in order of name, once there are at least `count`."""
    deadline = time.monotonic() + within_s
    while len(found := sorted(bucket.rglob(f"*{job_id}*{extension}"))) < count:
        if time.monotonic() > deadline:
            there = sorted(str(path.relative_to(bucket)) for path in bucket.rglob("*") if path.is_file())
            raise AssertionError(f"no {extension} of job {job_id} within {within_s} s; the bucket holds {there}")
        time.sleep(0.05)
    return found


def ffmpeg_complaints(path: Path, *options: str) -> str:
    """Return what ffmpeg says while it decodes the whole file, read with `options`; empty if nothing is wrong."""
    # In the file's own time base: by default ffmpeg would round times to the frame rate it guesses, and complain of two
    # pictures that a camera took less than half a period apart.
    command = [
        "ffmpeg",
        "-v",
        # Each message as often as it is given, not "Last message repeated": that line names nothing.
        "repeat+warning",
        "-nostdin",
        *options,
        "-i",
        str(path),
        "-enc_time_base",
        "-1",
        "-f",
        "null",
        "-",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.stderr if done.returncode == 0 else done.stderr or f"ffmpeg ended with {done.returncode}"


@dataclass
class Recorded:
    """One file with the test page's pictures and beeps in it."""

    path: Path
    near_ms: int
    """Any moment of the recording, milliseconds since 1970, from which burnt-in times are completed."""

    @cached_property
    def pictures(self) -> list[Picture]:
        """Every picture, in order; of one that a playlist shows early, and again at its time, the second."""
        found = read_pictures(self.path)
        if self.path.suffix != ".m3u8":
            return found
        pairs = itertools.zip_longest(found, found[1:])
        return [one for one, after in pairs if not after or one.number is None or one.number != after.number]

    @property
    def readable(self) -> list[Picture]:
        """The pictures whose checksum holds."""
        return [picture for picture in self.pictures if picture.time_ms is not None]

    def captured_ms(self, picture: Picture) -> int:
        """Return when a picture was taken, milliseconds since 1970."""
        assert picture.time_ms is not None
        epoch = self.near_ms >> 32 << 32
        candidates = (epoch + picture.time_ms + shift for shift in (-(1 << 32), 0, 1 << 32))
        return min(candidates, key=lambda moment: abs(moment - self.near_ms))

    @property
    def captured_span_s(self) -> float:
        """From the first to the last picture's capture, seconds."""
        return (self.captured_ms(self.readable[-1]) - self.captured_ms(self.readable[0])) / 1000

    @cached_property
    def durations_s(self) -> dict[str, float]:
        """How long each track lasts, by kind: from its first packet's beginning to its last one's end.

        FFmpeg guesses the last one's length, from the frame rate, where a track begins later than its MP4 file.
        """
        return {kind: _span(times) for kind, times in self._times.items()}

    @cached_property
    def last_begins_s(self) -> dict[str, float]:
        """How long after its track's first packet the last one begins, by kind."""
        return {kind: times[-1][0] - times[0][0] for kind, times in self._times.items()}

    @cached_property
    def _times(self) -> dict[str, list[tuple[float, float]]]:
        """When each packet begins and how long it lasts, seconds, in order and by kind."""
        with av.open(str(self.path)) as container:
            times: dict[str, list[tuple[float, float]]] = {stream.type: [] for stream in container.streams}
            for packet in container.demux():
                if packet.size and packet.pts is not None:
                    lasts = float((packet.duration or 0) * packet.time_base)
                    times[packet.stream.type].append((float(packet.pts * packet.time_base), lasts))
        return {kind: sorted(packets) for kind, packets in times.items()}

    @cached_property
    def packets_count(self) -> dict[str, int]:
        """Packets of each track, by kind."""
        with av.open(str(self.path)) as container:
            return dict(Counter(packet.stream.type for packet in container.demux() if packet.size))

    @cached_property
    def codecs(self) -> dict[str, str]:
        """Codec of each track, by kind."""
        with av.open(str(self.path)) as container:
            return {stream.type: stream.codec_context.codec.canonical_name for stream in container.streams}

    @cached_property
    def beeps_s(self) -> list[float]:
        """When beeps begin, in file time. Where sound begins within one, nothing of the page is heard before it."""
        sound = read_sound(self.path)
        return [onset_s for onset_s in onsets_in(sound) if _hears_ground(sound, onset_s)]

    @property
    def av_offsets_ms(self) -> list[float]:
        """How much later each beep is in the file than the flash of the same second; negative if earlier.

        The flash is taken at the exact second by its picture's own burnt-in time, so the frame rate does not matter.
        """
        return [offset for _, offset in self._av_offsets]

    @property
    def av_offset_of_second_ms(self) -> dict[int, float]:
        """The same by the second, since 1970, in which the picture was taken."""
        return dict(self._av_offsets)

    @cached_property
    def _av_offsets(self) -> list[tuple[int, float]]:
        offsets = []
        for before, picture in itertools.pairwise(self.pictures):
            if picture.is_flash and not before.is_flash and picture.time_ms is not None:
                second, late_ms = divmod(self.captured_ms(picture), 1000)
                second_s = picture.pts_s - late_ms / 1000
                nearest = min(self.beeps_s, key=lambda beep: abs(beep - second_s), default=None)
                if nearest is not None and abs(nearest - second_s) < 0.5:
                    offsets.append((second, (nearest - second_s) * 1000))
        return offsets

    @property
    def av_offset_median_ms(self) -> float:
        """Median of the A/V offset's size."""
        return statistics.median(abs(offset) for offset in self.av_offsets_ms)

    @property
    def av_offset_worst_ms(self) -> float:
        """Largest size of the A/V offset."""
        return max(abs(offset) for offset in self.av_offsets_ms)

    def holes(self, sent: list[dict]) -> list[int]:
        """Return the RTP times of pictures that were sent between the file's first and last, but are not in it.

        Pictures are told apart by the distance between their times, which passes from RTP to the file unchanged.
        """
        first, ticks = self._sent_index(sent)
        present = {round((p.pts_s - self.pictures[0].pts_s) * 90_000) for p in self.pictures}
        last = max(present)
        return [
            tick for tick in ticks[first:] if tick - ticks[first] <= last + 45
            and not any(abs(tick - ticks[first] - have) <= 45 for have in present)
        ]  # fmt: skip

    def _sent_index(self, sent: list[dict]) -> tuple[int, list[int]]:
        """Return which sent picture is the file's first, and all sent times unwrapped."""
        ticks = [0]
        for before, after in itertools.pairwise(sent):
            ticks.append(ticks[-1] + ((after["rtp"] - before["rtp"] + (1 << 31)) % (1 << 32)) - (1 << 31))
        distances = [round((p.pts_s - self.pictures[0].pts_s) * 90_000) for p in self.pictures[:60]]
        keys = [n for n, picture in enumerate(sent) if picture["key"]]
        return max(keys, key=lambda n: _agreement(ticks, n, distances)), ticks


def _span(times: list[tuple[float, float]]) -> float:
    (first, _), (last, lasts) = times[0], times[-1]
    # WebM need not say how long its last picture lasts; then it is as long as the one before.
    return last - first + (lasts or last - times[-2][0])


def _agreement(ticks: list[int], first: int, distances: list[int]) -> int:
    """Return how many of the file's first pictures a run of sent ones from `first` explains."""
    run = [tick - ticks[first] for tick in ticks[first : first + 80]]
    return sum(any(abs(tick - distance) <= 45 for tick in run) for distance in distances)


def _hears_ground(sound: np.ndarray, onset_s: float) -> bool:
    """Return whether the page is heard 60 to 30 ms before a beep: closer to it, a codec spreads the beep itself."""
    before = sound[max(0, round((onset_s - 0.06) * 48_000)) : max(0, round((onset_s - 0.03) * 48_000))]
    return before.size > 0 and float(np.sqrt(np.mean(before**2))) > GROUND_LEVEL
