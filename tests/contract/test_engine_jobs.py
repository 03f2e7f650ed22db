"""A job from start to end on a real PostgreSQL and a real engine, with a recording that only says what it is told."""

import asyncio
import time
from datetime import timedelta

import pytest
from support.engine import APP, PROJECT, a_command, a_recorder, an_office, until
from support.recordings import ScriptedRecordings

from soloist.jobs.apps import AppService
from soloist.model.admission import Shares
from soloist.model.errors import (
    AppDisabledError,
    InternalError,
    InvalidValueError,
    JobDoneError,
    JobLimitError,
    JobRunningError,
    NotFoundError,
)
from soloist.model.ids import AppId, JobId, ProjectId, RoomId
from soloist.model.job import JobState, StopReason, UpdateJob

pytestmark = pytest.mark.anyio

ENDED_WITH_A_FILE = [("JobAccepted", 0), ("JobTaken", 1), ("FileStarted", 1), ("FileCompleted", 1), ("JobEnded", 1)]


async def test_a_started_job_is_taken_and_ends_with_its_files_told_in_order(database_url):
    port = ScriptedRecordings()
    async with an_office(database_url) as office, a_recorder(database_url, port):
        job = await office.start()
        assert job.state is JobState.INIT
        await until(lambda: port.opened)
        assert (await office.show(job)).state is JobState.RUNNING

        await office.stop(job)

        stopped = await office.show(job)
        assert (stopped.state, stopped.stop_reason) == (JobState.STOPPED, StopReason.TENANT_STOP)
        await until(lambda: port.opened[0].finished_with)
        assert port.opened[0].finished_with == [StopReason.TENANT_STOP]
        await until(lambda: _ended(office, job))
        assert await office.events(job) == ENDED_WITH_A_FILE


async def test_a_job_reaches_the_recorder_within_tens_of_milliseconds(database_url):
    port = ScriptedRecordings()
    async with an_office(database_url) as office, a_recorder(database_url, port):
        delays = []
        for index in range(20):
            began = time.monotonic()
            await office.start(room_id=RoomId(f"room{index}"))
            accepted = time.monotonic()
            await until(lambda count=index: len(port.opened) > count)
            delays.append((accepted - began, time.monotonic() - accepted))
    starts, dispatches = (sorted(column) for column in zip(*delays, strict=True))
    assert starts[18] < 0.1
    assert dispatches[10] < 0.1


async def test_a_job_whose_room_stays_empty_ends_as_idle(database_url):
    port = ScriptedRecordings(files_count=0)
    async with an_office(database_url) as office, a_recorder(database_url, port):
        job = await office.start()
        await until(lambda: port.opened)

        port.opened[0].went_idle.set()

        await until(lambda: _ended(office, job))
        assert (await office.show(job)).stop_reason is StopReason.EXCEED_MAX_IDLE_TIME
        assert (await office.start()).job_id != job.job_id


async def test_a_recording_that_fails_ends_its_job_with_the_reason_in_words(database_url):
    port = ScriptedRecordings()
    async with an_office(database_url) as office, a_recorder(database_url, port):
        job = await office.start()
        await until(lambda: port.opened)

        port.opened[0].failure.set_result(InternalError("The disk is full; free some space."))

        await until(lambda: _ended(office, job))
        shown = await office.show(job)
        assert (shown.stop_reason, shown.description) == (
            StopReason.INTERNAL_ERROR,
            "The disk is full; free some space.",
        )
        assert (await office.events(job))[-2:] == [("FileCompleted", 1), ("JobEnded", 1)]


async def test_a_recording_that_cannot_be_opened_ends_its_job(database_url):
    port = ScriptedRecordings(refusal=InternalError("No bucket."))
    async with an_office(database_url) as office, a_recorder(database_url, port):
        job = await office.start()
        await until(lambda: _ended(office, job))
        assert (await office.show(job)).description == "No bucket."


async def test_a_job_stopped_before_any_recorder_took_it_ends_at_once(database_url):
    port = ScriptedRecordings()
    async with an_office(database_url) as office:
        job = await office.start()
        await office.stop(job)
        assert await office.events(job) == [("JobAccepted", 0), ("JobEnded", 0)]
        async with a_recorder(database_url, port):
            other = await office.start()
            await until(lambda: port.opened)
    assert [recording.job.job_id for recording in port.opened] == [other.job_id]


async def test_stopping_twice_changes_nothing(database_url):
    async with an_office(database_url) as office:
        job = await office.start()
        await office.stop(job)
        first = await office.show(job)
        await office.stop(job)
        assert await office.show(job) == first


async def test_a_second_job_for_a_live_stream_is_refused_and_leaves_nothing(database_url):
    async with an_office(database_url) as office:
        await office.start()
        with pytest.raises(JobRunningError):
            await office.start()
        assert len(await office.listed()) == 1


async def test_of_twenty_equal_starts_at_once_one_succeeds(database_url):
    async with an_office(database_url) as office:
        answers = await asyncio.gather(*(office.start() for _ in range(20)), return_exceptions=True)
    assert sum(1 for answer in answers if not isinstance(answer, Exception)) == 1
    assert all(isinstance(answer, JobRunningError) for answer in answers if isinstance(answer, Exception))


async def test_camera_screen_and_sound_of_one_participant_are_three_jobs(database_url):
    async with an_office(database_url) as office:
        for video in ("camera", "screen", None):
            await office.start(video=video)
        with pytest.raises(JobRunningError):
            await office.start(video=None)


async def test_what_a_start_refers_to_is_checked_in_the_documented_order(database_url):
    async with an_office(database_url, limits=Shares(live_per_project_max=1)) as office:
        with pytest.raises(NotFoundError):
            await office.start(app_id=AppId("nowhere"), rule_id="nothing")
        with pytest.raises(NotFoundError):
            await office.jobs.start(ProjectId("stranger"), a_command())
        with pytest.raises(InvalidValueError, match="record_rule_id"):
            await office.start(rule_id="nothing")
        await office.start()
        with pytest.raises(JobLimitError):
            await office.start()
        await AppService(office.database).enable(PROJECT, APP, enabled=False)
        with pytest.raises(AppDisabledError):
            await office.start(rule_id="nothing")


async def test_a_suspension_reaches_the_running_recording_and_the_next_one(database_url):
    port = ScriptedRecordings()
    async with an_office(database_url) as office:
        async with a_recorder(database_url, port):
            job = await office.start()
            await until(lambda: port.opened)
            await office.jobs.suspend(PROJECT, APP, job.job_id, suspended=True)
            await until(lambda: port.opened[0].suspensions == [True])
        async with a_recorder(database_url, port):
            await until(lambda: len(port.opened) == 2)
            assert port.opened[1].job.suspended
            await office.jobs.suspend(PROJECT, APP, job.job_id, suspended=False)
            await until(lambda: port.opened[1].suspensions == [False])


async def test_an_update_reaches_the_running_recording(database_url):
    port = ScriptedRecordings()
    async with an_office(database_url) as office, a_recorder(database_url, port):
        job = await office.start()
        await until(lambda: port.opened)

        updated = await office.jobs.update(PROJECT, APP, job.job_id, UpdateJob("rule2"))

        assert updated.rule.rule_id == "rule2"
        assert updated.updated_at > job.updated_at
        await until(lambda: port.opened[0].rules)
        assert [rule.rule_id for rule in port.opened[0].rules] == ["rule2"]


async def test_an_update_to_the_same_rule_changes_nothing_and_to_an_unknown_one_is_refused(database_url):
    async with an_office(database_url) as office:
        job = await office.start()
        assert await office.jobs.update(PROJECT, APP, job.job_id, UpdateJob("rule1")) == job
        with pytest.raises(InvalidValueError, match="record_rule_id"):
            await office.jobs.update(PROJECT, APP, job.job_id, UpdateJob("nothing"))
        await office.stop(job)
        with pytest.raises(JobDoneError):
            await office.jobs.update(PROJECT, APP, job.job_id, UpdateJob("rule2"))


async def test_a_job_is_found_only_by_its_own_project_and_app(database_url):
    async with an_office(database_url) as office:
        job = await office.start(idle_timeout=timedelta(seconds=5))
        assert (await office.show(job)) == job
        for project, app, job_id in (
            (ProjectId("stranger"), APP, job.job_id),
            (PROJECT, AppId("other"), job.job_id),
            (PROJECT, APP, JobId("0" * 32)),
        ):
            with pytest.raises(NotFoundError):
                await office.jobs.show(project, app, job_id)
            with pytest.raises(NotFoundError):
                await office.jobs.stop(project, app, job_id)


def _ended(office, job):
    async def look():
        return (await office.events(job))[-1][0] == "JobEnded"

    return look()
