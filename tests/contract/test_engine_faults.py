"""What becomes of jobs when a recorder dies, is shut down, loses its jobs, or when PostgreSQL goes away for a while."""

import asyncio
import signal
from datetime import timedelta

import pytest
from procrastinate.jobs import Status
from procrastinate.worker import Worker
from sqlalchemy import insert, text, update
from support.database import restartable_server
from support.engine import SLOT, a_dying_recorder, a_recorder, an_office, until
from support.jobs import NOW
from support.recordings import ScriptedRecordings, a_file

from soloist.jobs import schema
from soloist.jobs.outage import SILENCE_S
from soloist.jobs.queue import open_engine, queue_of_slot
from soloist.jobs.reaper import adopt_orphans, forget_old, reap, rehome_jobs
from soloist.jobs.worker import FencedJobManager, TypedWorker, new_worker
from soloist.keeping.port import EpochLostError
from soloist.model.errors import NotFoundError
from soloist.model.ids import RoomId
from soloist.model.job import JobState, StopReason

pytestmark = pytest.mark.anyio


async def test_a_recorder_shut_down_finishes_its_files_and_the_next_goes_on_with_the_job(database_url):
    first, second = ScriptedRecordings(), ScriptedRecordings()
    async with an_office(database_url) as office:
        async with a_recorder(database_url, first):
            job = await office.start()
            await until(lambda: first.opened)
        assert first.opened[0].finished_with == [None]
        assert (await office.show(job)).state is JobState.RUNNING

        async with a_recorder(database_url, second):
            await until(lambda: second.opened)
            assert (second.opened[0].job.job_id, second.opened[0].job.epoch) == (job.job_id, 2)
            await office.stop(job)
            await until(lambda: second.opened[0].finished_with)
    assert second.opened[0].finished_with == [StopReason.TENANT_STOP]


async def test_a_job_that_ended_too_long_ago_is_forgotten_by_the_engine_itself(database_url):
    port = ScriptedRecordings()
    async with an_office(database_url) as office:
        async with a_recorder(database_url, port):
            old, live = await office.start(), await office.start(room_id=RoomId("room2"))
            await until(lambda: len(port.opened) == 2)
            await office.stop(old)
            await until(lambda: has_ended(office, old))
        async with a_recorder(database_url, ScriptedRecordings(), keep=timedelta(0)):
            await until(lambda: is_forgotten(office, old))
            assert (await office.show(live)).state is JobState.RUNNING


async def has_ended(office, job):
    return ("JobEnded", 1) in await office.events(job)


async def is_forgotten(office, job):
    try:
        await office.show(job)
    except NotFoundError:
        return True
    return False


async def test_what_a_dead_recorder_held_is_taken_at_once_by_its_successor(database_url):
    first, second = ScriptedRecordings(), ScriptedRecordings()
    async with an_office(database_url) as office:
        async with a_dying_recorder(database_url, first):
            jobs = [await office.start(room_id=RoomId(f"room{index}")) for index in range(5)]
            await until(lambda: len(first.opened) == 5)
        async with a_recorder(database_url, second):
            await until(lambda: len(second.opened) == 5, seconds=2)
            assert {recording.job.job_id for recording in second.opened} == {job.job_id for job in jobs}
            assert {recording.job.epoch for recording in second.opened} == {2}


async def test_a_job_stopped_while_no_recorder_ran_is_settled_by_the_next(database_url):
    first, second = ScriptedRecordings(), ScriptedRecordings(files_count=0)
    async with an_office(database_url) as office:
        async with a_dying_recorder(database_url, first):
            job = await office.start()
            await until(lambda: first.opened)
        await office.stop(job)
        assert (await office.show(job)).stop_reason is StopReason.TENANT_STOP
        async with a_recorder(database_url, second):
            await until(lambda: _ended(office, job))
    assert [(one.job.state, one.finished_with) for one in second.opened] == [
        (JobState.STOPPED, [StopReason.TENANT_STOP])
    ]


async def test_a_job_taken_by_another_recorder_is_dropped_without_publishing(database_url):
    port = ScriptedRecordings()
    async with an_office(database_url) as office, a_recorder(database_url, port):
        job = await office.start()
        await until(lambda: port.opened)

        await _set(office, job, epoch=7)

        await until(lambda: port.opened[0].is_abandoned)
        assert port.opened[0].finished_with == []
        with pytest.raises(EpochLostError):
            await port.opened[0].journal.file_completed(a_file("late.mp4"))
        assert [kind for kind, _ in await office.events(job)] == ["JobAccepted", "JobTaken"]


async def test_a_stop_whose_notification_was_lost_arrives_within_two_seconds(database_url):
    port = ScriptedRecordings()
    async with an_office(database_url) as office, a_recorder(database_url, port):
        job = await office.start()
        await until(lambda: port.opened)

        await _set(office, job, state="STOPPED", stop_reason="TENANT_STOP")

        await until(lambda: port.opened[0].finished_with, seconds=2)
        await until(lambda: _ended(office, job))


async def test_a_fact_journaled_twice_is_told_once(database_url):
    port = ScriptedRecordings(files_count=0)
    async with an_office(database_url) as office, a_recorder(database_url, port):
        job = await office.start()
        await until(lambda: port.opened)
        for _ in range(2):
            await port.opened[0].journal.file_completed(a_file("once.mp4"))
        assert (await office.events(job))[2:] == [("FileCompleted", 1)]


async def test_work_the_engine_lost_sight_of_is_queued_again(database_url):
    port = ScriptedRecordings()
    async with an_office(database_url) as office:
        job = await office.start()
        async with office.database.begin() as connection:
            await connection.execute(text("DELETE FROM procrastinate_jobs"))
        assert await adopt_orphans(office.database, open_engine(office.url), SLOT) == 1
        async with a_recorder(database_url, port):
            await until(lambda: port.opened)
    assert port.opened[0].job.job_id == job.job_id


async def test_work_of_a_worker_that_vanished_is_reaped_and_goes_on_in_the_same_recording(database_url):
    port = ScriptedRecordings()
    async with an_office(database_url) as office, a_recorder(database_url, port):
        job = await office.start()
        await until(lambda: port.opened)
        worker = new_worker(database_url, queue_of_slot(SLOT), None)
        async with office.database.begin() as connection:
            await connection.execute(text("UPDATE procrastinate_jobs SET worker_id = NULL"))
        async with worker.app.open_async():
            assert await reap(worker.app, queue_of_slot(SLOT), 3.0) == 1
        await until(lambda: _is_doing(office))
        await office.stop(job)
        await until(lambda: _ended(office, job))
    assert len(port.opened) == 1


async def test_a_worker_that_lost_its_work_can_neither_finish_nor_requeue_it(database_url):
    port = ScriptedRecordings()
    async with an_office(database_url) as office, a_recorder(database_url, port):
        await office.start()
        await until(lambda: port.opened)
        zombie = new_worker(database_url, queue_of_slot(SLOT), None)
        async with zombie.app.open_async():
            (work,) = await zombie.app.job_manager.list_jobs_async()
            work = work.evolve(worker_id=work.worker_id + 1)
            await zombie.app.job_manager.finish_job(work, Status.SUCCEEDED, delete_job=True)
            await zombie.app.job_manager.retry_job(work)
        assert await _is_doing(office)


async def test_jobs_of_a_vanished_slot_move_to_the_slot_their_room_belongs_to_now(database_url):
    port = ScriptedRecordings()
    async with an_office(database_url) as office:
        job = await office.start()
        assert await rehome_jobs(office.database, "node2", ["node2/0"]) == 1
        assert await rehome_jobs(office.database, "node2", ["node2/0"]) == 0
        async with a_recorder(database_url, port, slot="node2/0"):
            await until(lambda: port.opened)
    assert port.opened[0].job.job_id == job.job_id


async def test_ended_jobs_are_forgotten_after_their_time_and_live_ones_never(database_url):
    async with an_office(database_url) as office:
        ended, live = await office.start(), await office.start(room_id=RoomId("other"))
        await office.stop(ended)
        await forget_old(office.database, timedelta(days=1))
        assert len(await office.listed()) == 2
        await _fill(office.database, ended.job_id)
        await forget_old(office.database, timedelta(0))
        assert [job.job_id for job in await office.listed()] == [live.job_id]
        async with office.database.connect() as connection:
            assert (await connection.execute(text("SELECT count(*) FROM procrastinate_jobs"))).scalar() == 1
            for table in ("files", "job_events", "deliveries"):
                query = text(f"SELECT count(*) FROM {table} WHERE job_id = :job")  # noqa: S608 - ours
                assert (await connection.execute(query, {"job": ended.job_id})).scalar() == 0


async def _fill(database, job_id):
    """Give a job a file and something that is still to be told."""
    async with database.begin() as connection:
        started = {"state": "COMPLETED", "started_at": NOW, "epoch": 1, "format": "MP4"}
        await connection.execute(insert(schema.files).values(job_id=job_id, key="a.mp4", **started))
        waiting = {"app_id": "demo", "state": "WAITING", "created_at": NOW, "next_at": NOW}
        await connection.execute(insert(schema.deliveries).values(job_id=job_id, seq=1, **waiting))


@pytest.mark.parametrize(("how", "seconds"), [(signal.SIGINT, 2), (signal.SIGKILL, 2), (signal.SIGINT, 10)])
async def test_a_recording_outlives_postgresql_and_is_told_of_once(how, seconds):
    port = ScriptedRecordings(files_count=0)
    with restartable_server() as server:
        async with an_office(server.url) as office, a_recorder(server.url, port):
            job = await office.start()
            await until(lambda: port.opened)

            server.stop(how)
            telling = asyncio.create_task(port.opened[0].journal.file_completed(a_file("during.mp4")))
            await asyncio.sleep(seconds)
            assert not telling.done()
            server.start()

            await asyncio.wait_for(telling, 10)
            other = await office.start(room_id=RoomId("afterwards"))
            await until(lambda: len(port.opened) == 2, seconds=15)
            assert port.opened[1].job.job_id == other.job_id
            await office.stop(job)
            await until(lambda: port.opened[0].finished_with)
            await until(lambda: _ended(office, job))
            assert (await office.events(job))[1:] == [("JobTaken", 1), ("FileCompleted", 1), ("JobEnded", 1)]
            assert not port.opened[0].is_abandoned


async def test_a_room_that_falls_idle_while_postgresql_is_away_ends_its_job_afterwards():
    port = ScriptedRecordings(files_count=0)
    with restartable_server() as server:
        async with an_office(server.url) as office, a_recorder(server.url, port):
            job = await office.start()
            await until(lambda: port.opened)
            server.stop()
            port.opened[0].went_idle.set()
            await asyncio.sleep(1)
            assert port.opened[0].finished_with == []
            server.start()
            await until(lambda: _ended(office, job))
            assert port.opened[0].finished_with == [StopReason.EXCEED_MAX_IDLE_TIME]


async def test_nothing_may_be_published_while_postgresql_is_away():
    port = ScriptedRecordings(files_count=0)
    with restartable_server() as server:
        async with an_office(server.url) as office, a_recorder(server.url, port):
            await office.start()
            await until(lambda: port.opened)
            journal = port.opened[0].journal
            await asyncio.wait_for(journal.permit(), 3)
            server.stop()
            await asyncio.sleep(SILENCE_S + 1)
            permit = asyncio.create_task(journal.permit())
            await asyncio.sleep(0.5)
            assert not permit.done()
            server.start()
            await asyncio.wait_for(permit, 10)


async def test_a_worker_that_fetches_nothing_although_the_database_answers_is_replaced(database_url, monkeypatch):
    monkeypatch.setattr("soloist.jobs.worker.FETCH_S_MAX", 0.5)
    is_stuck, fetch = asyncio.Event(), FencedJobManager._take_next

    async def hang_once(self, queues, worker_id):
        if not is_stuck.is_set():
            is_stuck.set()
            await asyncio.Event().wait()
        return await fetch(self, queues, worker_id)

    monkeypatch.setattr(FencedJobManager, "_take_next", hang_once)
    port = ScriptedRecordings()
    async with an_office(database_url) as office, a_recorder(database_url, port):
        await asyncio.wait_for(is_stuck.wait(), 10)
        await office.start()
        await until(lambda: port.opened, seconds=15)


async def test_a_worker_that_holds_all_it_may_is_not_taken_for_stuck(database_url, monkeypatch):
    monkeypatch.setattr("soloist.jobs.worker.CONCURRENCY_MAX", 2)
    monkeypatch.setattr("soloist.jobs.engine.FETCH_STALLED_S", 1.0)
    stops = []
    monkeypatch.setattr(TypedWorker, "stop", lambda worker: stops.append(worker) or Worker.stop(worker))
    port = ScriptedRecordings()
    async with an_office(database_url) as office, a_recorder(database_url, port):
        held = [await office.start(room_id=RoomId(f"room{index}")) for index in range(2)]
        waiting = await office.start(room_id=RoomId("room2"))
        await until(lambda: len(port.opened) == 2)
        await asyncio.sleep(7)  # The watchdog looks every five seconds.
        assert stops == []

        await office.stop(held[0])
        await until(lambda: len(port.opened) == 3)
        assert port.opened[2].job.job_id == waiting.job_id


async def _is_doing(office):
    async with office.database.connect() as connection:
        states = (await connection.execute(text("SELECT status::text FROM procrastinate_jobs"))).all()
    return [state for (state,) in states] == ["doing"]


async def _set(office, job, **values):
    async with office.database.begin() as connection:
        await connection.execute(update(schema.jobs).where(schema.jobs.c.job_id == job.job_id).values(values))


def _ended(office, job):
    async def look():
        return (await office.events(job))[-1][0] == "JobEnded"

    return look()
