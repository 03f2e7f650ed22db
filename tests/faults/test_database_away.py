"""PostgreSQL is frozen for 10 s, then down for 60 s, while a participant is recorded: nobody notices in the file."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from support.crash_verdict import lost_pictures
from support.database import RestartableServer, restartable_server
from support.instance import Instance, descendants, instance
from support.takes import Take, take

Outage = tuple[Callable[[RestartableServer], AbstractContextManager[None]], int]
"""How the database goes away, and for how many seconds."""


@pytest.fixture(scope="module")
def database() -> Iterator[RestartableServer]:
    with restartable_server() as server:
        yield server


@pytest.fixture(scope="module")
def service(database: RestartableServer) -> Iterator[Instance]:
    with instance(environment={"SOLOIST_DATABASE_URL": database.url}) as running:
        running.database_url = database.url
        yield running


@contextlib.contextmanager
def frozen(database: RestartableServer) -> Iterator[None]:
    """Stop every process of the server without ending it: connections stay open and say nothing."""
    pids = [database._process.pid, *descendants(database._process.pid)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def stopped(database: RestartableServer) -> Iterator[None]:
    """Take the server away as an operator would."""
    database.stop()
    try:
        yield
    finally:
        database.start()


@pytest.mark.parametrize("outage", [(frozen, 10), (stopped, 60)], ids=["frozen_10_s", "stopped_60_s"])
def test_recording_goes_on_without_postgresql_and_nothing_is_doubled(
    service: Instance, database: RestartableServer, clip: Path, outage: Outage
) -> None:
    away, seconds = outage
    with take(service, clip, f"r{seconds}") as taken:
        taken.await_recording()
        (spooled,) = taken.spooled()
        with away(database):
            size_bytes = spooled.stat().st_size
            time.sleep(seconds)
            assert spooled.stat().st_size > size_bytes + 5_000 * seconds
        _lives_on(taken)
        time.sleep(8)  # Longer than the reaper waits before it takes what looks dead for dead.
        _lives_on(taken)
        taken.stop()
        (file,) = taken.finished()

    assert file.complaints == ()
    assert file.ends_s["video"] - file.begins_s["video"] > seconds
    assert lost_pictures(file) == []
    assert taken.events == ["JobAccepted", "JobTaken", "FileStarted", "FileCompleted", "JobEnded"]


def _lives_on(taken: Take) -> None:
    """The job runs under the epoch it was first taken with, and nothing went on to another file."""
    service = taken.service
    service.wait_healthy()
    assert taken.state == ("RUNNING", 1)
    assert len(list((service.spool / taken.job_id).rglob("*.mp4"))) == 1
