"""`soloist backup` of a running service, `soloist restore` into an empty folder, and what neither takes."""

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import psycopg
import pytest
from rich.console import Console
from support.database import private_folder
from support.instance import Instance, until
from support.sdk import Sdk

from soloist.service.admin import Office
from soloist.service.backup import read_contents, restore_backup, write_backup
from soloist.service.errors import StartError

COMPARED = ("projects", "apps", "credentials", "tokens", "record_rules", "jobs", "files", "job_events")


def soloist(*arguments, **variables):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SOLOIST_")}
    command = [sys.executable, "-m", "soloist", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, env={**inherited, **variables}, timeout=60, check=False
    )


COLUMNS = {
    "jobs": "job_id, project_id, app_id, room_id, participant_id, rule, created_at, idle_timeout",
    "credentials": "access_key, secret_key, project_id",
    "record_rules": "app_id, rule_id, location, body",
}
"""Of tables whose other columns a start may change."""


def rows_of(service: Instance, table: str) -> list[str]:
    return sorted(map(str, service.query(f"SELECT {COLUMNS.get(table, '*')} FROM {table}")))  # noqa: S608 - ours


def office_of(database_url: str, folder: Path) -> Office:
    return Office(database_url, Console(file=io.StringIO()), data=folder)


@pytest.fixture(scope="module")
def backed_up():
    """A service with a job, live when it was backed up; its rows then, and the file."""
    with private_folder() as folder:
        service = Instance(folder, (), {})
        service.start()
        try:
            sdk = Sdk(service.url)
            live = sdk.create(room_id="room", user_id="user", max_idle_time=43_200)
            until(lambda: sdk.show(live.job_id).state == "RUNNING", 20, "the job does not run")
            over = sdk.create(room_id="room", user_id="other")
            sdk.stop(over.job_id)
            until(lambda: service.events(over.job_id)[-1] == "JobEnded", 20, "the job does not end")
            done = soloist(
                "backup", folder / "backup.zip", SOLOIST_DATA=str(service.data), SOLOIST_RUNTIME=str(service.runtime)
            )
            rows = {table: rows_of(service, table) for table in COMPARED}
            names = [(service.data / name).read_text() for name in ("node_id", "object_key")]
        finally:
            service.stop()
        assert done.returncode == 0, done.stderr
        yield folder / "backup.zip", rows, names, (live.job_id, over.job_id), done.stdout


def test_a_backup_of_a_running_service_is_for_its_owner_and_says_what_is_in_it(backed_up):
    path, _, _, _, said = backed_up

    assert path.stat().st_mode & 0o777 == 0o600
    assert "2 jobs" in said
    assert "secrets" in said
    assert [left.name for left in path.parent.glob(".backup*")] == []


def test_a_restored_service_has_what_was_there_and_goes_on_with_live_jobs(backed_up):
    path, rows, (node_id, object_key), (live, over), _ = backed_up
    with private_folder() as folder:
        service = Instance(folder, (), {})
        done = soloist("restore", path, SOLOIST_DATA=str(service.data), SOLOIST_RUNTIME=str(service.runtime))
        assert done.returncode == 0, done.stderr
        assert (service.data / "node_id").read_text() == node_id
        assert (service.data / "object_key").read_text() == object_key
        service.start()
        try:
            sdk = Sdk(service.url)
            until(lambda: service.job(live)[1] == 2, 20, "nobody takes the live job")
            assert sdk.show(live).state == "RUNNING"
            assert sdk.show(over).stop_reason == "TENANT_STOP"
            assert service.events(over)[-1] == "JobEnded"
            for table in set(COMPARED) - {"job_events"}:
                assert rows_of(service, table) == rows[table], table
            assert set(rows["job_events"]) < set(rows_of(service, "job_events"))
            sdk.stop(live)
            until(lambda: service.events(live)[-1] == "JobEnded", 20, "the live job does not end")
        finally:
            service.stop()


def test_nothing_is_restored_over_what_is_there(backed_up, database_url, tmp_path):
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO projects VALUES ('mine')")

    with pytest.raises(StartError, match=r"The database is not empty \(projects\)"):
        restore_backup(office_of(database_url, tmp_path), backed_up[0], read_contents(backed_up[0]))

    assert list(tmp_path.iterdir()) == []


def test_a_backup_is_never_written_over_another_file(database_url, tmp_path):
    (tmp_path / "there.zip").write_text("mine")

    with pytest.raises(StartError, match="choose another name"):
        write_backup(office_of(database_url, tmp_path), tmp_path / "there.zip")

    assert (tmp_path / "there.zip").read_text() == "mine"


def cut(data):
    return data[: len(data) // 2]


def flipped(data):
    place = data.index(b"tables/job_events.copy") + 80
    return data[:place] + bytes([data[place] ^ 255]) + data[place + 1 :]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (cut, "only the beginning"),
        (lambda data: data[:-10], "no backup"),
        (flipped, "only the beginning of one|damaged in tables/job_events.copy"),
        (lambda _data: b"", "no backup"),
        (lambda _data: b"CREATE TABLE jobs (", "no backup"),
    ],
)
def test_a_file_that_is_no_whole_backup_is_refused(backed_up, tmp_path, spoil, says):
    bad = tmp_path / "bad.zip"
    bad.write_bytes(spoil(backed_up[0].read_bytes()))

    with pytest.raises(StartError, match=says):
        read_contents(bad)


def test_the_command_refuses_such_a_file_in_a_sentence_and_makes_nothing(tmp_path):
    (tmp_path / "bad.zip").write_text("CREATE TABLE jobs (")

    done = soloist("restore", tmp_path / "bad.zip", SOLOIST_DATA=str(tmp_path / "data"), SOLOIST_RUNTIME=str(tmp_path))

    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "no backup" in done.stderr
    assert not (tmp_path / "data").exists()


def rewritten(source: Path, target: Path, *, without: str = "", change=lambda text: text) -> None:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            if name != without:
                data = old.read(name)
                new.writestr(name, change(data.decode()) if name == "soloist.json" else data)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"without": "soloist.json"}, "is no backup of Soloist"),
        ({"without": "tables/jobs.copy"}, "lacks the table jobs"),
        ({"change": lambda text: text.replace("soloist-backup-1", "soloist-backup-9")}, "backup of another kind"),
        ({"change": lambda text: text.replace('"join_key"', '"key_of_the_future"')}, "newer Soloist"),
        ({"change": lambda text: text.replace('"node_id": "', '"node_id": "../')}, "is no backup of Soloist"),
    ],
)
def test_a_foreign_or_newer_backup_is_refused_by_name(backed_up, tmp_path, how, says):
    rewritten(backed_up[0], tmp_path / "other.zip", **how)

    with pytest.raises(StartError, match=says):
        read_contents(tmp_path / "other.zip")


def test_a_backup_whose_rows_do_not_fit_restores_nothing(backed_up, database_url, tmp_path):
    with zipfile.ZipFile(backed_up[0]) as old, zipfile.ZipFile(tmp_path / "odd.zip", "w") as new:
        for name in old.namelist():
            new.writestr(name, b"1\t2\n" if name == "tables/jobs.copy" else old.read(name))

    with pytest.raises(StartError, match="does not take"):
        restore_backup(office_of(database_url, tmp_path), tmp_path / "odd.zip", read_contents(tmp_path / "odd.zip"))

    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM projects").fetchone() == (0,)
    assert not (tmp_path / "node_id").exists()
