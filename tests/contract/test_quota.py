"""What a project may keep: beyond it no job starts, the message says of what, and other projects are not affected."""

import anyio
import pytest
from sqlalchemy import event, insert
from support.database import connected
from support.engine import PROJECT, an_office

from soloist.api.errors import render_error
from soloist.clock import utc_now
from soloist.jobs import schema
from soloist.jobs.quota import COUNTED_EVERY_S, QuotaKeeper
from soloist.model.admission import Quota, Shares
from soloist.model.errors import QuotaError
from soloist.model.ids import ProjectId, RoomId

pytestmark = pytest.mark.anyio


async def record(database, job, *, state="COMPLETED", gigabytes=1.5, hours=2.0):
    row = {"job_id": job.job_id, "key": state, "epoch": 1, "format": "MP4", "state": state, "started_at": utc_now()}
    sizes = {"size_bytes": int(gigabytes * 1e9), "duration_ms": int(hours * 3_600_000)}
    async with database.begin() as connection:
        await connection.execute(insert(schema.files).values(**row, **sizes))


@pytest.mark.parametrize(
    ("quota", "noun", "setting"),
    [
        (Quota(jobs_max=1), "1 jobs", "SOLOIST_PROJECT_JOBS_MAX"),
        (Quota(files_max=1), "1 files", "SOLOIST_PROJECT_FILES_MAX"),
        (Quota(gigabytes_max=1.5), "1.5 GB", "SOLOIST_PROJECT_GIGABYTES_MAX"),
        (Quota(hours_max=2), "2 hours", "SOLOIST_PROJECT_HOURS_MAX"),
    ],
)
async def test_a_project_that_keeps_as_much_as_it_may_starts_no_job_and_is_told_why(database_url, quota, noun, setting):
    async with an_office(database_url) as before, connected(database_url) as database:
        await record(database, await before.start())
        async with an_office(database_url, limits=Shares(quota=quota)) as office:
            with pytest.raises(QuotaError) as caught:
                await office.start(room_id=RoomId("another"))
        other = QuotaKeeper(database, quota)
        await other.check(ProjectId("other"))

    assert noun in str(caught.value)
    assert setting in str(caught.value)
    assert b"RTC.00001007" in render_error(caught.value, "id").body


async def test_what_is_below_a_quota_or_still_being_recorded_does_not_count(database_url):
    quota = Quota(jobs_max=10, files_max=1, gigabytes_max=1.5, hours_max=2)
    async with an_office(database_url, limits=Shares(quota=quota)) as office, connected(database_url) as database:
        await record(database, await office.start(), state="STARTED")

        await office.start(room_id=RoomId("another"))


async def test_a_project_is_counted_once_in_ten_seconds(database_url):
    now = [0.0]
    async with an_office(database_url) as office, connected(database_url) as database:
        keeper = QuotaKeeper(database, Quota(files_max=1), seconds=lambda: now[0])
        await keeper.check(PROJECT)
        await record(database, await office.start())
        await keeper.check(PROJECT)
        now[0] += COUNTED_EVERY_S

        with pytest.raises(QuotaError):
            await keeper.check(PROJECT)


async def test_starts_that_ask_at_once_wait_for_one_count_and_files_are_counted_only_where_bounded(database_url):
    async with connected(database_url) as database:
        statements = []
        event.listen(database.sync_engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
        for quota in (Quota(jobs_max=10), Quota(jobs_max=10, hours_max=1)):
            keeper = QuotaKeeper(database, quota)
            async with anyio.create_task_group() as starts:
                for _ in range(30):
                    starts.start_soon(keeper.check, PROJECT)

    assert sum("FROM jobs" in statement for statement in statements) == 2
    assert sum("FROM files" in statement for statement in statements) == 1
