"""One participant floods its own room with tiny packets of sound: a neighbour's recording lacks nothing."""

import json
import time
from pathlib import Path

from support.crash_verdict import lost_pictures
from support.flood import TINY_OPUS, flood
from support.instance import Instance, until
from support.sdk import Sdk
from support.takes import take

FLOOD_S = 8
STOP_S = 5


def test_25_000_packets_of_sound_a_second_cost_a_neighbour_nothing_and_are_declared(
    service: Instance, clip: Path
) -> None:
    attack = Sdk(service.url).create(room_id="mallory", user_id="mallory", max_idle_time=60)
    with take(service, clip, "victim") as taken:
        taken.await_recording()
        with flood(service.whip_url("mallory", "mallory"), TINY_OPUS, per_s=25_000, seconds=FLOOD_S) as sending:
            sent = sending.finish(3 * FLOOD_S)
            stopped_s = time.monotonic()
            Sdk(service.url).stop(attack.job_id)
            until(lambda: "JobEnded" in service.events(attack.job_id), 30, "the attacker's job does not end")
            assert time.monotonic() - stopped_s < STOP_S
        taken.publisher.process.terminate()
        taken.publisher.process.wait(10)
        time.sleep(0.5)
        taken.stop()
        (file,) = taken.finished()
    assert sent["packets"] > 15_000 * FLOOD_S, "the flood was none"
    assert file.complaints == ()
    assert lost_pictures(file) == []
    assert file.pictures >= taken.publisher.frames_count
    assert missing(service, taken.job_id) == []
    assert ("audio", "fault", "overload") in missing(service, attack.job_id)
    assert "session_over_budget" in service.log.read_text()


def missing(service: Instance, job_id: str) -> list[tuple[str, str, str]]:
    """Return what a job's manifests declare missing: kind, cause, detail."""
    holes = []
    for path in service.bucket.rglob(f"*{job_id}*.json"):
        holes += json.loads(path.read_text())["missing"]
    return [(hole["kind"], hole["cause"], hole["detail"]) for hole in holes]
