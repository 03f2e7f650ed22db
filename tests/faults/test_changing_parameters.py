"""A sender changes its pictures' profile 300 times a second: it loses pictures, and its neighbour none."""

import json
import time
from pathlib import Path

from support.crash_verdict import lost_pictures
from support.flood import flood
from support.instance import Instance, until
from support.media import HIGH_PROFILE, video_samples
from support.sdk import Sdk
from support.takes import take

from soloist.model.media import Codec
from soloist.recording.turnover import FILES_BURST, FILES_PER_S

SECONDS = 8
PER_S = 300
DESCRIPTORS_MAX = 250


def in_one_packet(picture: bytes) -> bytes:
    """Return a picture's NAL units as one RTP payload, STAP-A. Spec: RFC 6184 §5.7.1."""
    units = [unit for unit in picture.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1") if unit]
    units = [unit for unit in units if unit[0] & 0x1F in (5, 7, 8)]
    return b"\x78" + b"".join(len(unit).to_bytes(2, "big") + unit for unit in units)


def changing() -> list[bytes]:
    """Return keyframes of 64 x 64 in baseline and high profile."""
    kinds = [video_samples(Codec.H264, 1 / 30, width=64, height=64)[0]]
    kinds += [video_samples(Codec.H264, 1 / 30, width=64, height=64, options=HIGH_PROFILE)[0]]
    return [in_one_packet(sample.data) for sample in kinds]


def descriptors_of(service: Instance) -> int:
    return sum(1 for _ in Path(f"/proc/{service.pid('recorder')}/fd").iterdir())


def test_hundreds_of_changes_a_second_cost_only_who_makes_them(service: Instance, clip: Path) -> None:
    job = Sdk(service.url).create(room_id="mallory", user_id="mallory")
    with take(service, clip, "victim") as taken:
        taken.await_recording()
        before, most = descriptors_of(service), 0
        with flood(
            service.whip_url("mallory", "mallory"),
            changing(),
            per_s=PER_S,
            seconds=SECONDS,
            codec="h264",
            ticks=90_000 // PER_S,
        ) as sending:
            while sending.process.poll() is None:
                most = max(most, descriptors_of(service))
                time.sleep(0.2)
        taken.publisher.process.terminate()
        taken.publisher.process.wait(10)
        time.sleep(0.5)
        taken.stop()
        (file,) = taken.finished()
    assert file.complaints == ()
    assert lost_pictures(file) == []
    assert file.pictures >= taken.publisher.frames_count
    assert most - before < DESCRIPTORS_MAX

    assert sending.told["packets"] > SECONDS * PER_S / 2
    Sdk(service.url).stop(job.job_id)
    until(lambda: "JobEnded" in service.events(job.job_id), 20, "its files are not finished")
    manifests = [json.loads(path.read_text()) for path in service.bucket.rglob(f"*{job.job_id}*.json")]
    assert 2 <= len(manifests) <= FILES_BURST + (SECONDS + 4) * FILES_PER_S
    holes = [hole for manifest in manifests for hole in manifest["missing"]]
    assert {hole["detail"] for hole in holes if hole["cause"] == "fault"} == {"too_many_changes"}
