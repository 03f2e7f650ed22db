"""kill -9 of each process while it works, and a hundred more at random instants by `make crash`."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.crash_trial import Trial
from support.database import private_folder

BLOWS = ("recorder", "api", "postgres", "supervisor", "restart")


@pytest.fixture(scope="module")
def trial() -> Iterator[Trial]:
    """One service that suffered every blow once, in this order, under one job."""
    with private_folder() as folder:
        done = Trial(0, seed=7, blows=BLOWS, folder=folder)
        done.run()
        yield done


def test_no_blow_loses_the_job_a_file_or_more_than_the_open_fragment(trial: Trial) -> None:
    assert trial.error is None
    assert trial.verdict is not None
    assert trial.verdict.complaints == []


def test_kill_9_of_the_recorder_continues_the_job_under_the_next_epoch(trial: Trial) -> None:
    assert next(kill.epoch for kill in trial.kills if kill.victim == "recorder") == 2


def test_kill_9_of_the_api_or_of_postgresql_leaves_recordings_alone(trial: Trial) -> None:
    assert {kill.epoch for kill in trial.kills if kill.victim in ("api", "postgres")} == {
        [kill.epoch for kill in trial.kills if kill.victim == "recorder"][-1]
    }
    holes_at = {at for hole in trial.verdict.holes for at in hole.kills_at_s}
    assert not holes_at & {kill.at_s for kill in trial.kills if kill.victim in ("api", "postgres")}


def test_kill_9_of_the_supervisor_takes_every_process_along_and_the_next_start_goes_on(trial: Trial) -> None:
    before = [kill.epoch for kill in trial.kills if kill.victim == "postgres"][-1]
    assert [kill.epoch for kill in trial.kills if kill.victim == "supervisor"] == [before + 1]


def test_every_restart_is_declared_as_fault_by_the_file_after_it(trial: Trial) -> None:
    assert len(trial.verdict.holes) >= 3
    assert all(hole.is_declared for hole in trial.verdict.holes)


def test_random_kills_cost_no_job_and_no_file() -> None:
    script = Path(__file__).resolve().parents[2] / "scripts" / "crash.py"
    done = subprocess.run([sys.executable, script, "6", "--trials", "2"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
