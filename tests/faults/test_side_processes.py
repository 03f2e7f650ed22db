"""Forwarders begin with media, so many as there may be, within their memory; the jobs of the others are recorded."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.crash_verdict import lost_pictures, read_files
from support.forwarded import ForwardJob, forwarders
from support.instance import Instance, instance, until
from support.steady import steady_publisher

NOBODY = "rtmp://127.0.0.1:9/live/key"


@pytest.fixture(scope="module")
def service() -> Iterator[Instance]:
    with instance(environment={"SOLOIST_PROJECT_FORWARDERS_MAX": "1"}) as running:
        yield running


def limit_of(pid: int, name: str) -> int:
    """Return a process's limit, 0 for none. Spec: proc(5), limits."""
    found = re.search(rf"{name} +(\d+)", Path(f"/proc/{pid}/limits").read_text())
    return int(found[1]) if found else 0


def test_forwarders_begin_with_media_in_bounded_numbers_and_give_way(
    service: Instance, clip: Path, tmp_path: Path
) -> None:
    jobs = [ForwardJob(service.url, room, "alice", (f"{NOBODY}-{room}",)) for room in ("one", "two")]
    time.sleep(2)
    assert not forwarders(service), "nobody has sent anything"
    with (
        steady_publisher(clip, service.whip_url("one", "alice"), tmp_path / "one") as first,
        steady_publisher(clip, service.whip_url("two", "alice"), tmp_path / "two") as second,
    ):
        until(lambda: sorted(job.states for job in jobs)[-1] == ["waiting"], 20, "both have forwarders")
        (child,) = forwarders(service)
        until(lambda: limit_of(child, "Max address space") == 512 << 20, 20, "it has no bound of memory")
        scores = [int(Path(f"/proc/{pid}/oom_score_adj").read_text()) for pid in (child, service.pid("recorder") or 0)]
        assert scores[0] > scores[1]
        waiting = next(job for job in jobs if job.states == ["waiting"])
        assert "as many forwarders" in waiting.targets[0]["last_error"]
        publishers = {"one": first, "two": second}
        for publisher in publishers.values():
            publisher.process.terminate()
            publisher.process.wait(10)
    for job in jobs:
        job.stop()
    for job in jobs:
        until(lambda job=job: "JobEnded" in service.events(job.job_id), 20, "it does not end")
        (file,) = read_files(service.bucket, job.job_id)
        assert lost_pictures(file) == []
    until(lambda: not forwarders(service), 10, "a forwarder is left")
