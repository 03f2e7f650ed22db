"""How many frames a side's files hold, counted from the files themselves."""

import struct
from dataclasses import dataclass
from pathlib import Path

import av

OPUS_TICKS = 960
"""Length of one Opus frame of 20 ms at 48 kHz."""


@dataclass(frozen=True)
class Kept:
    """What one stream's files hold."""

    video_frames: int
    audio_frames: int
    """Opus frames: counted where they were kept; from the length of the sound where it is AAC."""

    def __add__(self, other: "Kept") -> "Kept":
        return Kept(self.video_frames + other.video_frames, self.audio_frames + other.audio_frames)


NOTHING = Kept(0, 0)


def kept_in_mp4(path: Path) -> Kept:
    """Count the packets of an MP4's tracks."""
    counts = {"video": 0, "audio": 0}
    with av.open(str(path)) as file:
        is_aac = any(stream.codec_context.name == "aac" for stream in file.streams.audio)
        ticks = 0
        for packet in file.demux():
            if packet.size:
                counts[packet.stream.type] += 1
                if packet.stream.type == "audio" and packet.time_base is not None:
                    ticks += round((packet.duration or 0) * packet.time_base * 48_000)
    audio = round(ticks / OPUS_TICKS) if is_aac else counts["audio"]
    return Kept(counts["video"], audio)


def kept_raw(folder: Path, name: str) -> Kept:
    """Count the packets of `name`.h264 and `name`.ogg."""
    return Kept(_packets(folder / f"{name}.h264"), _packets(folder / f"{name}.ogg"))


def kept_in_lengths(folder: Path) -> Kept:
    """Count length-prefixed frames of all *.video and *.audio files."""
    return Kept(*(sum(_lengths(path) for path in folder.glob(f"*.{kind}")) for kind in ("video", "audio")))


def _packets(path: Path) -> int:
    if not path.exists() or not path.stat().st_size:
        return 0
    with av.open(str(path)) as file:
        return sum(1 for packet in file.demux() if packet.size)


def _lengths(path: Path) -> int:
    data, at, count = path.read_bytes(), 0, 0
    while at + 4 <= len(data):
        at += 4 + struct.unpack_from(">I", data, at)[0]
        count += 1
    return count
