"""A real S3 server that answers 503, hangs, is full or refuses the credential while a job is recorded and stopped."""

import hashlib
import json
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from support.database import private_folder
from support.faulty_store import FaultyStore, faulty_store
from support.instance import Instance, until
from support.probe import decode_warnings
from support.s3 import versitygw
from support.takes import Take, take

FRAME_NS = 1_000_000_000 // 30


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyStore]:
    with versitygw(tmp_path_factory.mktemp("s3")) as server, faulty_store(server) as store:
        yield store


@pytest.fixture(scope="module")
def service(store: FaultyStore) -> Iterator[Instance]:
    """A service whose only location is the store; it waits a second for an answer instead of a minute."""
    quick = {**store.server.setting, "request_timeout_s": 1.0, "patience_s": 0.5}
    environment = {"SOLOIST_STORAGE": json.dumps({"cn-north-4": quick})}
    with private_folder() as folder:
        running = Instance(folder, environment=environment)
        running.start()
        try:
            yield running
        finally:
            store.fault = ""
            running.stop()


def objects_pending(service: Instance) -> float:
    with urllib.request.urlopen(f"{service.url}/metrics", timeout=5) as answer:  # noqa: S310 - our own
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("soloist_objects_pending{"))


def told_files(taken: Take) -> list[tuple[str, int, str]]:
    """Return key, size and checksum of the job's files, as they were told."""
    query = "SELECT key, size_bytes, sha256 FROM files WHERE job_id = %s AND state = 'COMPLETED' ORDER BY started_at"
    return taken.service.query(query, taken.job_id)


def test_a_start_tells_of_every_bucket_that_a_rule_names(service: Instance) -> None:
    until(lambda: "bucket_ready" in service.log.read_text(), 30, "no bucket was looked at")

    (line,) = [line for line in service.log.read_text().splitlines() if "bucket_ready" in line]
    for said in ("bucket=recordings", "location=cn-north-4", "creates_only=True"):
        assert said in line


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("unavailable", "The storage location failed"),
        ("hanging", "The storage location "),
        ("full", "The storage location has no room left"),
        ("denied", "The storage location refused access"),
    ],
)
def test_a_recording_outlives_what_its_store_does(  # noqa: PLR0917 - pytest's fixtures
    service: Instance, store: FaultyStore, clip: Path, tmp_path: Path, fault: str, says: str
) -> None:
    with take(service, clip, f"room-{fault}") as taken:
        taken.await_recording()
        store.fault = fault
        said = len(service.log.read_text())
        taken.stop()
        until(lambda: says in service.log.read_text()[said:], 30, "nobody is told what the store does")
        assert taken.state[0] == "STOPPED"
        assert told_files(taken) == []
        assert "JobEnded" not in taken.events
        assert objects_pending(service) >= 1
        assert len(taken.spooled()) == 1

        store.fault = ""
        until(lambda: "JobEnded" in taken.events, 40, f"the end is not told: {taken.events}")

    assert taken.events[-2:] == ["FileCompleted", "JobEnded"]
    assert taken.spooled() == []
    assert objects_pending(service) == 0
    ((key, size, sha256),) = told_files(taken)
    held = store.behind.objects()
    assert (len(held[key]), hashlib.sha256(held[key]).hexdigest()) == (size, sha256)
    assert json.loads(held[key.replace(".mp4", ".json")])["files"][0]["sha256"] == sha256
    (tmp_path / "file.mp4").write_bytes(held[key])
    assert decode_warnings(tmp_path / "file.mp4") == ""


def test_a_recording_goes_on_while_its_store_answers_503_and_loses_nothing(
    service: Instance, store: FaultyStore, clip: Path, tmp_path: Path
) -> None:
    """Scaled by the settings: eight seconds of refusals are a dozen tries of the whole file."""
    service.cut_every(3)
    with take(service, clip, "room-cut") as taken:
        taken.await_recording()
        store.fault = "unavailable"
        until(lambda: len(taken.spooled()) >= 3, 30, "the recording does not go on")
        assert taken.state == ("RUNNING", 1)
        assert objects_pending(service) >= 2
        store.fault = ""
        until(lambda: len(told_files(taken)) >= 2, 40, "nothing is published")
        taken.stop()
        until(lambda: "JobEnded" in taken.events, 40, f"the end is not told: {taken.events}")

    held, told = store.behind.objects(), told_files(taken)
    assert len(told) >= 3
    assert [hashlib.sha256(held[key]).hexdigest() for key, _, _ in told] == [sha256 for _, _, sha256 in told]
    manifests = [json.loads(held[key.replace(".mp4", ".json")]) for key, _, _ in told]
    files = [manifest["files"][0] for manifest in manifests]
    for before, after in pairwise(files):
        assert abs(after["start_ns"] - before["end_ns"]) < FRAME_NS
    assert taken.events.count("FileCompleted") == len(told)
    (tmp_path / "last.mp4").write_bytes(held[told[-1][0]])
    assert decode_warnings(tmp_path / "last.mp4") == ""
