"""How soon after the 201 the first picture is in the file, of a participant who publishes already."""

import json
import time
from pathlib import Path

import av
from support.browser import Tab
from support.recorded import wait_for_files
from support.sdk import Sdk
from support.server import Server

FIRST_FRAME_S_MAX = 1.0


def test_of_a_participant_already_publishing_the_first_frame_is_in_the_file_within_1_s_of_the_201(
    server: Server, sdk: Sdk, tab: Tab, room: str
) -> None:
    tab.join("alice", server.whip_url(room, "alice"), token="devtoken")
    tab.wait(2)

    job = sdk.create(room_id=room, user_id="alice").job_id
    answered_ns = time.time_ns()
    on_disk_s = (first_bytes_ns(server.data / "spool", job) - answered_ns) / 1e9
    tab.wait(3)
    sdk.stop(job)
    (path,) = wait_for_files(server.bucket, job, extension=".mp4")
    (manifest,) = wait_for_files(server.bucket, job, extension=".json")

    first_frame_s = (first_picture_ns(path, manifest) - answered_ns) / 1e9
    print(f"first picture {first_frame_s:.3f} s after the 201, first bytes on disk {on_disk_s:.3f} s after it")
    assert first_frame_s < FIRST_FRAME_S_MAX


def first_bytes_ns(spool: Path, job: str) -> int:
    """Wait for the job's open file to hold something; return when it did, by the wall clock."""
    deadline = time.monotonic() + 10
    while not any(job in str(path) and path.stat().st_size for path in spool.rglob("*.mp4")):
        assert time.monotonic() < deadline, f"nothing of job {job} in the spool"
        time.sleep(0.005)
    return time.time_ns()


def first_picture_ns(path: Path, manifest: Path) -> int:
    """Return when the file's first picture was, by the wall clock its manifest names."""
    said = json.loads(manifest.read_text())
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packet = next(packet for packet in container.demux(stream) if packet.pts is not None)
        assert packet.time_base is not None
        pts_ns = int(packet.pts * packet.time_base * 1_000_000_000)
    return int(said["origin"]["unix_ns"]) + said["files"][0]["start_ns"] + pts_ns
