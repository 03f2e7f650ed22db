"""What `/metrics` counts of the database."""

from datetime import timedelta

import pytest
from sqlalchemy import insert, update
from support.database import connected
from support.engine import APP, PROJECT, an_office
from support.telling import callbacks_of, set_callback, tell_files

from soloist.clock import utc_now
from soloist.jobs import schema
from soloist.jobs.tally import tally
from soloist.model.ids import RoomId

pytestmark = pytest.mark.anyio


async def test_jobs_are_counted_by_state_and_files_by_how_far_they_got(database_url):
    async with an_office(database_url) as office, connected(database_url) as database:
        live, settling, ended = [await office.start(room_id=RoomId(f"room{number}")) for number in range(3)]
        for job in (settling, ended):
            await office.stop(job)
        async with database.begin() as connection:
            at = utc_now() + timedelta(seconds=1)
            for job, ended_at in ((settling, None), (ended, at)):
                await connection.execute(
                    update(schema.jobs).where(schema.jobs.c.job_id == job.job_id).values(ended_at=ended_at)
                )
            for job, state in ((live, "STARTED"), (live, "COMPLETED"), (settling, "STARTED"), (ended, "STARTED")):
                row = {"job_id": job.job_id, "key": state, "epoch": 1, "format": "MP4", "state": state}
                await connection.execute(insert(schema.files).values(**row, started_at=at))

        counted = await tally(database)

    assert counted.jobs == {("INIT", ""): 1, ("STOPPED", "TENANT_STOP"): 2}
    assert counted.files == {"open": 1, "published": 1, "pending": 1, "unpublished": 1}


async def test_notices_are_counted_by_how_far_their_telling_got(database_url):
    async with an_office(database_url) as office:
        before = await tally(office.database)
        await set_callback(office, "https://shop.example/")
        await tell_files(office, await office.start(), count=2)
        async with office.database.begin() as connection:
            await connection.execute(update(schema.deliveries).where(schema.deliveries.c.seq == 2).values(state="DEAD"))
            ago = schema.deliveries.c.created_at - timedelta(minutes=5)
            await connection.execute(
                update(schema.deliveries).where(schema.deliveries.c.seq == 3).values(created_at=ago)
            )
        waiting = await tally(office.database)
        await callbacks_of(office).pause(PROJECT, APP, paused=True)
        paused = await tally(office.database)

    assert (before.notices, before.oldest_notice_s) == ({"WAITING": 0, "DELIVERED": 0, "DEAD": 0, "SKIPPED": 0}, 0)
    assert waiting.notices == {"WAITING": 3, "DELIVERED": 0, "DEAD": 1, "SKIPPED": 0}
    assert 300 <= waiting.oldest_notice_s < 330
    assert (paused.oldest_notice_s, paused.callbacks_paused) == (0, 1)
