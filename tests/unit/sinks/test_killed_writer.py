"""kill -9 at any instant costs less than a second of media, and the file needs no repair to be read (rule R31)."""

import os
import random
import subprocess
import sys
from pathlib import Path

from support.mp4_boxes import read_boxes
from support.probe import packet_times, probe

from soloist.sinks.mp4_index import write_index

WRITER = Path(__file__).with_name("writer.py")


def killed(path: Path, codec: str, gop: int) -> float:
    """Write a file in another process, kill it somewhere between 2 and 6 s of media; return how far it had got."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    until_s = random.Random(seed).uniform(2, 6)
    environment = os.environ | {"PYTHONPATH": str(WRITER.parents[2])}
    command = [sys.executable, str(WRITER), str(path), codec, str(gop), "7"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as writer:
        assert writer.stdout is not None
        written_s = next(moment for moment in map(float, writer.stdout) if moment >= until_s)
        writer.kill()
        rest = [float(line) for line in writer.stdout if line.strip()]
    return rest[-1] if rest else written_s


def test_killed_mp4_lost_less_than_a_second_though_keyframes_are_ten_apart(tmp_path):
    path = tmp_path / "a.mp4"
    written_s = killed(path, "h264", 300)

    tracks = read_boxes(path).tracks
    assert all(track.delay_s + track.ticks / track.rate_hz > written_s - 1 for track in tracks)
    assert probe(path).stream("video").packets == len(tracks[0].sizes)

    write_index(path)

    indexed = read_boxes(path)
    assert [track.sizes for track in indexed.tracks] == [track.sizes for track in tracks]
    facts = probe(path)
    assert (facts.complaints, facts.stream("audio").packets) == ("", len(tracks[1].sizes))


def test_killed_webm_lost_less_than_a_second(tmp_path):
    path = tmp_path / "a.webm"
    written_s = killed(path, "vp8", 30)

    assert packet_times(path, "video")[-1] > written_s - 1
    assert packet_times(path, "audio")[-1] > written_s - 1
    assert {stream.codec for stream in probe(path).streams} == {"vp8", "opus"}
