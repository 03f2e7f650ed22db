"""A sender's RTP clock leaps by a second and a half with each packet: its file is no longer than it took."""

import json
import time

from support.flood import TINY_OPUS, flood
from support.instance import Instance, until
from support.sdk import Sdk

SECONDS = 8
LEAP_TICKS = 72_000
"""Of 48 kHz: 1.5 s."""
TOLERANCE_S = 6
"""2.5 s before the first packet, 2.5 s after the last, and what it takes to connect and to stop."""


def test_steps_of_the_clock_make_no_more_file_than_there_was_time(service: Instance) -> None:
    job = Sdk(service.url).create(room_id="leaps", user_id="mallory", video_type="")
    began_s = time.monotonic()
    with flood(service.whip_url("leaps", "mallory"), TINY_OPUS, per_s=8, seconds=SECONDS, ticks=LEAP_TICKS) as sending:
        sending.process.wait(30)
    lasted_s = time.monotonic() - began_s
    Sdk(service.url).stop(job.job_id)
    until(lambda: "JobEnded" in service.events(job.job_id), 20, "its file is not finished")

    assert sending.told["packets"] * LEAP_TICKS / 48_000 > 4 * SECONDS
    (path,) = service.bucket.rglob(f"*{job.job_id}*.json")
    (file,) = json.loads(path.read_text())["files"]
    assert file["duration_ns"] / 1e9 < lasted_s + TOLERANCE_S
    assert file["duration_ns"] / 1e9 > SECONDS / 2
