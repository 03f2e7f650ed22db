"""Spool files that no recorder will come back for: their job has ended, or nothing is known of it any more."""

import json
import os
from dataclasses import replace

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs
from support.database import connected
from support.engine import an_office
from support.filed import Desk
from support.jobs import a_job

from soloist.jobs.sweep import Sweeper
from soloist.keeping.shelf import Shelf
from soloist.model.rule import StorageAddress
from soloist.storage.spool import Spool

pytestmark = pytest.mark.anyio

END = "UPDATE jobs SET state = 'STOPPED', epoch = 1, ended_at = now() WHERE job_id = :job_id"


@pytest.fixture
async def office(database_url):
    async with an_office(database_url) as opened:
        yield opened


@pytest.fixture
async def sweeper(database_url, tmp_path):
    async with connected(database_url) as database:
        yield Sweeper(database, shelf_of(tmp_path), quiet_s=0)


def shelf_of(folder, *locations):
    return Shelf(Spool(folder / "spool"), dict.fromkeys(("cn-north-4", *locations), folder / "storage"))


async def left_behind(folder, job):
    """Return a desk whose recorder was killed after four seconds of recording."""
    desk = Desk(folder, replace(job, epoch=1))
    desk.play(4)
    await desk.die()
    assert {"00000.mp4", "00000.mp4.note"} == set(desk.spooled)
    return desk


async def execute(office, statement, **values):
    async with office.database.begin() as connection:
        done = await connection.execute(text(statement), values)
        return done.all() if done.returns_rows else []


def manifests(desk):
    return [json.loads(path.read_text()) for key, path in desk.objects.items() if key.endswith(".json")]


async def test_a_file_that_a_job_left_when_it_ended_is_published_and_told(office, sweeper, tmp_path):
    job = await office.start()
    desk = await left_behind(tmp_path, job)
    await execute(office, END, job_id=job.job_id)

    assert await sweeper.sweep()

    assert desk.spooled == []
    (manifest,) = manifests(desk)
    (file,) = await execute(office, "SELECT key, state, sha256 FROM files")
    assert (file.key, file.state, file.sha256) == (
        manifest["files"][0]["key"], "COMPLETED", manifest["files"][0]["sha256"],
    )  # fmt: skip
    assert [kind for kind, _ in await office.events(job)] == ["JobAccepted", "FileStarted", "FileCompleted"]


async def test_a_file_of_a_forgotten_job_is_published_and_its_manifest_knows_the_job(sweeper, tmp_path):
    desk = await left_behind(tmp_path, a_job(job_id="forgotten"))

    assert await sweeper.sweep()

    assert desk.spooled == []
    (manifest,) = manifests(desk)
    told = manifest["job"]
    assert (told["job_id"], told["app_id"], told["room_id"], told["participant_id"], told["video"]) == (
        "forgotten", "demo", "room1", "alice", "camera",
    )  # fmt: skip
    assert manifest["files"][0]["duration_ns"] > 3e9


async def test_what_a_job_that_has_not_ended_has_in_the_spool_is_its_recorders(office, sweeper, tmp_path):
    desk = await left_behind(tmp_path, await office.start())
    stopped = await office.start(room_id="room2")
    other = await left_behind(tmp_path, stopped)
    await execute(office, "UPDATE jobs SET state = 'STOPPED', epoch = 1 WHERE job_id = :job_id", job_id=stopped.job_id)

    assert await sweeper.sweep()

    assert len(desk.spooled) == 4
    assert desk.objects == other.objects == {}


async def test_a_job_without_a_row_is_not_forgotten_while_it_is_written_to(database_url, tmp_path):
    desk = await left_behind(tmp_path, a_job(job_id="forgotten"))
    async with connected(database_url) as database:
        sweeper = Sweeper(database, shelf_of(tmp_path), quiet_s=60)

        assert not await sweeper.sweep()
        assert len(desk.spooled) == 2

        for path in (tmp_path / "spool").rglob("*"):
            os.utime(path, (0, 0))
        assert await sweeper.sweep()
        assert desk.spooled == []


async def ruin_note(folder):
    (folder / "00000.mp4.note").write_bytes(b'{"key": "../../etc/passwd"}')


async def ruin_media(folder):
    (folder / "00000.mp4").write_bytes(b"\xff" * 100_000)


async def lose_note(folder):
    (folder / "00000.mp4.note").unlink()


async def empty_media(folder):
    """A header of ours, and then nothing that can be read."""
    path = folder / "00000.mp4"
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b"moof") - 4] + bytes(100_000))


@pytest.mark.parametrize("harm", [ruin_note, ruin_media, lose_note, empty_media])
async def test_what_cannot_be_published_stays_and_its_folder_is_named_once(sweeper, tmp_path, harm):
    desk = await left_behind(tmp_path, a_job(job_id="forgotten"))
    folder = tmp_path / "spool" / "forgotten" / "1"
    await harm(folder)
    before = {path.name: path.stat().st_size for path in folder.iterdir()}

    with capture_logs() as lines:
        for _ in range(3):
            assert await sweeper.sweep()

    assert {path.name: path.stat().st_size for path in folder.iterdir()} == before
    assert desk.objects == {}
    warned = [line for line in lines if line["event"] == "spool_folder_kept"]
    assert [(line["folder"], line["files"]) for line in warned] == [(str(folder.parent), sorted(before))]


async def test_a_bucket_that_refuses_a_forgotten_file_is_asked_again(database_url, tmp_path):
    address = StorageAddress("later", "dev", "recordings")
    job = a_job(job_id="forgotten")
    desk = await left_behind(tmp_path, replace(job, rule=replace(job.rule, address=address)))
    locations = {"cn-north-4": tmp_path / "storage"}
    async with connected(database_url) as database:
        sweeper = Sweeper(database, Shelf(Spool(tmp_path / "spool"), locations), quiet_s=0)
        with capture_logs() as lines:
            await sweeper.sweep()
            await sweeper.sweep()
        assert len(desk.spooled) == 2
        assert [line["event"] for line in lines].count("spool_folder_kept") == 1

        locations["later"] = tmp_path / "storage"
        await sweeper.sweep()
        assert desk.spooled == []
        assert len(manifests(desk)) == 1
