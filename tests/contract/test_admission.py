"""Who may start a job: exactly as many as a project's share, and nobody on a recorder that is full or does not run."""

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import text, update
from structlog.testing import capture_logs
from support.engine import APP, RULE, SLOT, a_command, a_dying_recorder, a_recorder, an_office, until
from support.recordings import ScriptedRecordings

from soloist.clock import utc_now
from soloist.jobs import schema
from soloist.jobs.fence import Told
from soloist.jobs.untaken import UntakenJobsError, UntakenWatch
from soloist.model.admission import Condition, LoadState, Shares
from soloist.model.errors import JobLimitError
from soloist.model.event import FileStarted
from soloist.model.ids import AppId, ProjectId, RoomId
from soloist.model.rule import RecordFormat

pytestmark = pytest.mark.anyio


async def test_of_a_burst_exactly_as_many_are_accepted_as_the_project_may_have(database_url):
    async with an_office(database_url, limits=Shares(live_per_project_max=7)) as office:
        starts = (office.start(room_id=RoomId(f"room{number}")) for number in range(30))
        answers = await asyncio.gather(*starts, return_exceptions=True)

        accepted = [answer for answer in answers if not isinstance(answer, Exception)]
        assert len(accepted) == 7
        assert all(isinstance(answer, JobLimitError) for answer in answers if isinstance(answer, Exception))
        await office.stop(accepted[0])
        await office.start(room_id=RoomId("another"))


async def test_a_recorder_holds_no_more_jobs_than_it_may(database_url):
    port = ScriptedRecordings(files_count=0)
    async with (
        an_office(database_url, limits=Shares(jobs_per_recorder_max=2)) as office,
        a_recorder(database_url, port),
    ):
        jobs = [await office.start(room_id=RoomId(f"room{number}")) for number in range(2)]
        with pytest.raises(JobLimitError, match="recorder holds 2 jobs"):
            await office.start(room_id=RoomId("one too many"))
        await office.stop(jobs[0])
        await until(lambda: port.opened[0].finished_with)
        await until(lambda: starts(office))


async def test_a_start_is_refused_while_its_recorder_says_that_it_is_full(database_url):
    told = Told(Condition(LoadState.FULL, "it holds 950 of 1000 descriptors"))
    async with (
        an_office(database_url) as office,
        a_recorder(database_url, ScriptedRecordings(), told=lambda _: told),
    ):
        await until(lambda: told_state(office, "full"))
        with pytest.raises(JobLimitError, match="950 of 1000 descriptors"):
            await office.start()

        told = Told(Condition(LoadState.SHEDDING, "busy"), {"dev": 3, "other": 2})
        await until(lambda: told_state(office, "shedding"))
        with pytest.raises(JobLimitError, match="has its share"):
            await office.start()

        told = Told(Condition(LoadState.SHEDDING, "busy"), {"dev": 2, "other": 3})
        await until(lambda: starts(office))


async def test_recordings_that_write_are_counted_over_all_recorders(database_url):
    told = Told(writing={"dev": 2})
    async with an_office(database_url, limits=Shares(recordings_per_project_max=3)) as office:
        async with office.database.begin() as connection:
            other = {"slot": "node1/1", "owner": "node1/1#x", "seen_at": text("clock_timestamp()")}
            await connection.execute(schema.slots.insert().values(other | {"writing": {"dev": 1}}))
        async with a_recorder(database_url, ScriptedRecordings(), told=lambda _: told):
            await until(lambda: told_state(office, "ok"))
            with pytest.raises(JobLimitError, match="records 3 streams"):
                await office.start()


async def test_a_recorder_that_was_not_heard_of_for_a_minute_gets_no_job(database_url, monkeypatch):
    # The database of this test was started a moment ago: what is measured against its start is shortened.
    monkeypatch.setattr("soloist.jobs.admission.SILENT_S_MAX", 0.5)
    async with an_office(database_url) as office:
        await office.start(room_id=RoomId("before any recorder ran"))
        async with a_recorder(database_url, ScriptedRecordings()):
            await until(lambda: told_state(office, "ok"))
        await asyncio.sleep(0.6)
        with pytest.raises(JobLimitError, match="does not run"):
            await office.start()
        assert len(await office.listed()) == 1


async def test_a_job_nobody_takes_is_an_alarm_until_somebody_does(database_url):
    async with an_office(database_url) as office:
        job = await office.start()
        watch = UntakenWatch(office.database, [SLOT])
        elsewhere = UntakenWatch(office.database, ["node2/0"])
        await watch.look()
        await watch.probe()
        await _age(office, job, "6 seconds")

        with capture_logs() as logs:
            for _ in range(3):
                await watch.look()
        await elsewhere.look()
        await elsewhere.probe()

        assert watch.last.count == 1
        assert 6 <= watch.last.oldest_s < 60
        with pytest.raises(UntakenJobsError, match="1 jobs wait"):
            await watch.probe()
        assert [(line["log_level"], line["event"]) for line in logs] == [("error", "jobs_untaken")]
        async with a_recorder(database_url, ScriptedRecordings()):
            await until(lambda: is_quiet(watch))


async def is_quiet(watch):
    await watch.look()
    return watch.last.count == 0


async def _age(office, job, interval):
    table = schema.jobs
    async with office.database.begin() as connection:
        aged = update(table).where(table.c.job_id == job.job_id)
        await connection.execute(aged.values(created_at=text(f"clock_timestamp() - interval '{interval}'")))


async def told_state(office, state):
    async with office.database.connect() as connection:
        found = await connection.scalar(text("SELECT state FROM slots WHERE slot = :slot"), {"slot": SLOT})
    return found == state


async def starts(office):
    try:
        return await office.start(room_id=RoomId("once there is room"))
    except JobLimitError:
        return None


async def test_a_project_that_starts_a_hundred_jobs_keeps_nobody_elses_waiting(database_url):
    order = ScriptedRecordings()
    async with an_office(database_url) as office:
        for number in range(20):
            await office.start(room_id=RoomId(f"room{number}"))
        other = await another_project(office)
        late = await office.jobs.start(other, a_command(app_id=AppId("theirs"), room_id=RoomId("late")))
        async with a_recorder(database_url, order):
            await until(lambda: len(order.opened) == 21)

        assert late.job_id in [recording.job.job_id for recording in order.opened[:2]]


async def test_after_a_crash_what_was_recorded_is_taken_first_and_then_each_project_in_turn(database_url):
    first, second = ScriptedRecordings(), ScriptedRecordings()
    async with an_office(database_url) as office:
        other = await another_project(office)
        async with a_dying_recorder(database_url, first):
            for number in range(10):
                await office.start(room_id=RoomId(f"room{number}"))
            recorded = await office.start(room_id=RoomId("recorded"))
            waiting = await office.jobs.start(other, a_command(app_id=AppId("theirs"), room_id=RoomId("late")))
            await until(lambda: len(first.opened) == 12)
            (journal,) = [each.journal for each in first.opened if each.job.job_id == recorded.job_id]
            await journal.file_started(FileStarted("open.mp4", RecordFormat.MP4, utc_now()))
        async with a_recorder(database_url, second):
            await until(lambda: len(second.opened) == 12)

    order = [recording.job.job_id for recording in second.opened]
    assert order.index(recorded.job_id) <= 1
    assert order.index(waiting.job_id) <= 3


async def another_project(office):
    """Return a project of its own, with the app `theirs`."""
    app = await office.accounts.app_anywhere(APP)
    rule = await office.accounts.rule(APP, RULE)
    await office.accounts.create_app(replace(app, app_id=AppId("theirs"), project_id=ProjectId("other")))
    await office.accounts.save_rule(replace(rule, app_id=AppId("theirs")), utc_now())
    return ProjectId("other")
