"""A database with an account, a job service and a recorder's engine over it, without any media."""

import asyncio
import contextlib
import os
import time
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from soloist.jobs import schema
from soloist.jobs.accounts import Accounts, App
from soloist.jobs.engine import Engine, EngineSettings
from soloist.jobs.listing import JobFilter
from soloist.jobs.queue import open_engine
from soloist.jobs.service import JobService
from soloist.model.ids import AppId, ParticipantId, ProjectId, RoomId, RuleId
from soloist.model.job import StartJob
from soloist.model.media import Codec, Tier, TrackSource
from support.database import connected
from support.jobs import NOW, a_rule

PROJECT = ProjectId("dev")
APP = AppId("demo")
RULE = RuleId("rule1")
SLOT = "node1/0"


@dataclass
class Office:
    """What the API has: the database and the job service."""

    url: str
    database: AsyncEngine
    accounts: Accounts
    jobs: JobService

    async def start(self, **changes):
        return await self.jobs.start(PROJECT, a_command(**changes))

    async def stop(self, job):
        await self.jobs.stop(PROJECT, APP, job.job_id)

    async def show(self, job):
        return await self.jobs.show(PROJECT, APP, job.job_id)

    async def listed(self):
        """Return the project's jobs, newest first."""
        page = await self.jobs.page(PROJECT, JobFilter(), number=0, size=100)
        return [entry.job for entry in page.entries]

    async def events(self, job):
        """Return the job's events as (type, epoch), in order; their numbers must count from one."""
        table = schema.job_events
        query = select(table).where(table.c.job_id == job.job_id).order_by(table.c.seq)
        async with self.database.connect() as connection:
            rows = (await connection.execute(query)).all()
        assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
        return [(row.type, row.epoch) for row in rows]


@contextlib.asynccontextmanager
async def an_office(url, *, limits=None):
    """Yield an office whose project has the app `demo` with the rules `rule1` and `rule2`."""
    async with connected(url) as database:
        accounts = Accounts(database)
        await accounts.create_app(App(APP, PROJECT, "demo", True, "00" * 32, (Codec.H264,), NOW))
        await accounts.save_rule(a_rule(rule_id=RULE), NOW)
        address = a_rule().address
        elsewhere = type(address)("elsewhere", address.project_id, address.bucket)
        await accounts.save_rule(a_rule(rule_id=RuleId("rule2"), address=elsewhere), NOW)
        yield Office(url, database, accounts, JobService(database, open_engine(url), [SLOT], limits=limits))


@contextlib.asynccontextmanager
async def a_recorder(url, port, *, slot=SLOT, drain_s=5.0, keep=timedelta(days=30), told=None):
    """Run a recorder's engine over `port`, which tells `told` of itself; drain it at the end."""
    async with connected(url) as database:
        settings = EngineSettings(url, slot, os.urandom(2).hex(), drain_s, keep)
        engine = Engine(settings, database, port, told=told)
        task = asyncio.create_task(engine.run())
        await asyncio.wait_for(engine.wait_ready(), 15)
        try:
            yield engine
        finally:
            await engine.drain()
            await asyncio.wait_for(task, 15)


@contextlib.asynccontextmanager
async def a_dying_recorder(url, port):
    """Run a recorder whose process ends without a word: no drain, nothing told to the engine."""
    async with connected(url) as database:
        engine = Engine(EngineSettings(url, SLOT, os.urandom(2).hex()), database, port)
        task = asyncio.create_task(engine.run())
        await asyncio.wait_for(engine.wait_ready(), 15)
        before = asyncio.all_tasks()
        yield engine
        async with database.begin() as connection:
            held = (await connection.execute(text("SELECT id FROM procrastinate_jobs WHERE status = 'doing'"))).all()
        for one in [task, *(asyncio.all_tasks() - before), *(other for other in before if "job " in other.get_name())]:
            one.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with database.begin() as connection:  # As the crash would have left it.
            await connection.execute(
                text("UPDATE procrastinate_jobs SET status = 'doing' WHERE id = ANY(:ids)"),
                {"ids": [row.id for row in held]},
            )


def a_command(**changes):
    """Return a start command for alice's camera in room1."""
    values = {
        "app_id": APP,
        "room_id": RoomId("room1"),
        "participant_id": ParticipantId("alice"),
        "with_audio": True,
        "video": TrackSource.CAMERA,
        "tier": Tier.FHD,
        "idle_timeout": timedelta(seconds=30),
        "rule_id": RULE,
    }
    return StartJob(**(values | changes))


async def until(condition, *, seconds=20.0):
    """Wait until `condition()`, or the coroutine it returns, is true; return what it was."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        found = await found if asyncio.iscoroutine(found) else found
        if found:
            return found
        assert time.monotonic() < deadline, "it did not come to that in time"
        await asyncio.sleep(0.01)
