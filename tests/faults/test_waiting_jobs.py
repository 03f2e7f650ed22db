"""Jobs whose participants never come cost nobody anything: neither another project's start, nor its pictures (S2)."""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.crash_verdict import lost_pictures
from support.instance import Instance, instance, until
from support.sdk import Sdk
from support.steady import steady_publisher
from support.takes import take
from support.waiting import start_many

PROJECTS, JOBS_EACH = 1, 1000
"""Three thousand of three projects were measured in the same way (ADR 0016), but take too long to begin for a test."""
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@pytest.fixture(scope="module")
def service() -> Iterator[Instance]:
    with instance() as running:
        yield running


def test_a_start_beside_a_thousand_waiting_jobs_records_within_a_second(
    service: Instance, clip: Path, tell: Callable[[str], None]
) -> None:
    with (
        take(service, clip, "beside") as beside,
        steady_publisher(clip, service.whip_url("late", "alice"), service.folder / "notes-late") as late,
    ):
        beside.await_recording()
        until(lambda: late.frames_count, 20, "nobody publishes")
        pid = service.pid("recorder")
        before_kb = resident_kb(pid)
        for number in range(PROJECTS):
            start_many(service._database_url, f"idle{number}", JOBS_EACH, like=beside.job_id)
        began_s = time.time()
        job = Sdk(service.url).create(room_id="late", user_id="alice", max_idle_time=60)
        first_s = until(lambda: first_media_s(service, job.job_id), 15, "nothing is recorded")
        until(lambda: untaken_count(service) == 0, 120, "waiting jobs are not taken")
        used_before_s, at_s = cpu_s(pid), time.monotonic()
        time.sleep(3)
        cpu = (cpu_s(pid) - used_before_s) / (time.monotonic() - at_s)
        each_kb = (resident_kb(pid) - before_kb) / (PROJECTS * JOBS_EACH)
        for job_id in (beside.job_id, job.job_id):
            Sdk(service.url).stop(job_id)
        (file,) = beside.finished()

    tell(
        f"beside {PROJECTS * JOBS_EACH} waiting jobs: first media {first_s - began_s:.2f} s after the start, "
        f"{each_kb:.0f} kB a job, {cpu:.0%} of a core with two recordings"
    )
    assert first_s - began_s < 1.0
    assert each_kb < 60
    assert lost_pictures(file) == []
    assert file.complaints == ()


def first_media_s(service: Instance, job_id: str) -> float | None:
    """Return when the job's first file begins, Unix seconds."""
    rows = service.query("SELECT extract(epoch FROM min(started_at)) FROM files WHERE job_id = %s", job_id)
    return float(rows[0][0]) if rows[0][0] is not None else None


def untaken_count(service: Instance) -> int:
    return int(service.query("SELECT count(*) FROM jobs WHERE state = 'INIT'")[0][0])


def resident_kb(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def test_a_thousand_waiting_jobs_do_not_keep_a_recording_from_its_files_when_the_service_stops(
    service: Instance, clip: Path
) -> None:
    with take(service, clip, "drained") as taken:
        taken.await_recording()
        service.stop()
        manifests = [json.loads(path.read_text()) for path in service.bucket.rglob(f"*{taken.job_id}*.json")]
        (file,) = taken.files
    assert len(manifests) == 1
    assert lost_pictures(file) == []
    assert file.complaints == ()
