"""What is published is recorded where an app's automatic recording is on, on a real PostgreSQL (R45)."""

from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update
from structlog.testing import capture_logs
from support.engine import APP, PROJECT, RULE, a_command, an_office

from soloist.clock import utc_now
from soloist.jobs import schema, store
from soloist.jobs.apps import AppService
from soloist.jobs.automatic import FAILED_PAUSE, AutomaticRecording
from soloist.model.ids import AppId, ParticipantId, RoomId
from soloist.model.job import JobEvent, JobState
from soloist.model.media import Kind, NegotiatedTrack, TrackSource
from soloist.sources.ingest import StreamKey
from soloist.sources.rooms import PublishedStream

pytestmark = pytest.mark.anyio

BOTH = frozenset(Kind)


class Rooms:
    """Rooms with whatever a test puts into them."""

    def __init__(self):
        self.published = []

    def streams(self):
        return self.published

    def add(self, participant, *, source=TrackSource.CAMERA, kinds=BOTH, app=APP, age_s=1.0, room_age_s=1.0):
        key = StreamKey(app, RoomId("room1"), ParticipantId(participant), source)
        tracks = tuple(NegotiatedTrack(kind.value, kind, ()) for kind in kinds)
        self.published.append(PublishedStream(key, tracks, age_s, room_age_s))


@asynccontextmanager
async def a_house(database_url, *, since_s=60.0, rule=RULE, clock=utc_now):
    """Yield an office whose app records automatically for `since_s`, its rooms, and what reconciles them."""
    async with an_office(database_url) as office:
        await switch(office, rule, since_s)
        rooms = Rooms()
        yield office, rooms, AutomaticRecording(office.database, rooms, office.jobs, clock=clock)


async def switch(office, rule, since_s=60.0):
    values = {"auto_rule_id": rule, "auto_since": utc_now() - timedelta(seconds=since_s)}
    async with office.database.begin() as connection:
        await connection.execute(update(schema.apps).where(schema.apps.c.app_id == APP).values(values))


async def jobs_of(office):
    """Return the live jobs by stream name, oldest first."""
    jobs = await office.listed()
    return {job.stream_name: job for job in reversed(jobs) if job.is_live}


async def test_every_published_stream_gets_one_job_named_by_the_app(database_url):
    async with a_house(database_url) as (office, rooms, automatic):
        rooms.add("alice")
        rooms.add("alice", source=TrackSource.SCREEN, kinds=frozenset({Kind.VIDEO}))
        rooms.add("bob", kinds=frozenset({Kind.AUDIO}))
        rooms.add("carol", source=TrackSource.SCREEN)
        await automatic.reconcile()
        await automatic.reconcile()

        jobs = await jobs_of(office)
        names = ["alice_av_m", "alice_v_a", "bob_av_m", "carol_av_a"]
        assert sorted(jobs) == [f"demo_room1_{name}" for name in names]
        assert {job.state for job in jobs.values()} == {JobState.INIT}
        assert {job.rule.rule_id for job in jobs.values()} == {RULE}


async def test_a_room_that_began_before_the_mode_was_switched_on_is_left_alone(database_url):
    async with a_house(database_url, since_s=10.0) as (office, rooms, automatic):
        rooms.add("alice", room_age_s=11.0)
        await automatic.reconcile()
        assert await jobs_of(office) == {}

        rooms.published = [replace(rooms.published[0], room_age_s=9.0)]
        await automatic.reconcile()
        assert len(await jobs_of(office)) == 1


async def test_nothing_is_recorded_while_the_mode_is_off_or_the_app_is_disabled(database_url):
    async with a_house(database_url, rule=None) as (office, rooms, automatic):
        rooms.add("alice")
        rooms.add("bob", app=AppId("none"))
        await automatic.reconcile()
        assert await jobs_of(office) == {}

        await switch(office, RULE)
        await AppService(office.database).enable(PROJECT, APP, enabled=False)
        await automatic.reconcile()
        assert await jobs_of(office) == {}


async def test_a_stream_that_a_customer_records_already_gets_no_second_job(database_url):
    async with a_house(database_url) as (office, rooms, automatic):
        asked = await office.start()
        rooms.add("alice")
        await automatic.reconcile()

        assert list(await jobs_of(office)) == [asked.stream_name]


async def test_a_job_that_was_stopped_on_order_stays_stopped_until_the_stream_is_published_anew(database_url):
    async with a_house(database_url) as (office, rooms, automatic):
        rooms.add("alice", age_s=5.0)
        await automatic.reconcile()
        (job,) = (await jobs_of(office)).values()
        await office.stop(job)
        await automatic.reconcile()
        assert await jobs_of(office) == {}

        rooms.published = [replace(rooms.published[0], age_s=0.0)]
        await automatic.reconcile()
        assert len(await jobs_of(office)) == 1


async def test_a_stream_whose_job_failed_gets_another_after_a_pause(database_url):
    later = timedelta(0)
    async with a_house(database_url, clock=lambda: utc_now() + later) as (office, rooms, automatic):
        rooms.add("alice")
        await automatic.reconcile()
        (job,) = (await jobs_of(office)).values()
        async with office.database.begin() as connection:
            await store.move(connection, store.Claim(job.job_id, job.epoch), JobEvent.FAILED, utc_now())
        await automatic.reconcile()
        assert await jobs_of(office) == {}

        later = FAILED_PAUSE
        await automatic.reconcile()
        assert len(await jobs_of(office)) == 1


async def test_a_stream_whose_room_was_idle_for_too_long_is_recorded_when_it_is_back(database_url):
    async with a_house(database_url) as (office, rooms, automatic):
        job = await office.jobs.start(PROJECT, replace(a_command(), automatic=True))
        async with office.database.begin() as connection:
            await store.move(connection, store.Claim(job.job_id, job.epoch), JobEvent.IDLE_TOO_LONG, utc_now())
        rooms.add("alice")
        await automatic.reconcile()

        assert len(await jobs_of(office)) == 1


async def test_a_refusal_is_told_once_and_stops_no_other_stream(database_url):
    async with a_house(database_url, rule="gone") as (office, rooms, automatic):
        rooms.add("alice")
        rooms.add("bob")
        with capture_logs() as lines:
            for _ in range(3):
                await automatic.reconcile()
        assert [line["event"] for line in lines] == ["stream_not_recorded"] * 2
        assert await jobs_of(office) == {}

        await switch(office, RULE)
        await automatic.reconcile()
        assert len(await jobs_of(office)) == 2
