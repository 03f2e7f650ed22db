"""Finds work that nobody does and puts it back into its queue.

A recorder owns its slot alone (a file lock says so), so what an earlier run of the slot held may be taken back at once.
Work of a shared queue is taken back only from workers whose heartbeat stopped, and never soon after an outage.
"""

from collections.abc import Sequence
from datetime import timedelta

import procrastinate
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from soloist.jobs import outbox, queue, store
from soloist.model.ids import AppId, JobId, RoomId
from soloist.wire.placement import slot_of_room

log = structlog.get_logger("soloist.jobs")

SLOT_SILENCE_S = 60
"""A slot of another node that was not renewed for this long has vanished."""

_TAKE_BACK = text("""
    WITH held AS (
        SELECT work.id, CASE
            WHEN EXISTS (SELECT 1 FROM files WHERE files.job_id = jobs.job_id AND files.state = 'STARTED') THEN 1
            ELSE 1 - row_number() OVER (PARTITION BY jobs.project_id ORDER BY work.id) END AS priority
        FROM procrastinate_jobs AS work LEFT JOIN jobs ON jobs.engine_id = work.id
        WHERE work.queue_name = :queue AND work.status = 'doing'
    )
    UPDATE procrastinate_jobs AS work
    SET status = 'todo', worker_id = NULL, abort_requested = false, scheduled_at = NULL, attempts = attempts + 1,
        priority = held.priority
    FROM held WHERE work.id = held.id
    RETURNING work.id
""")
"""What was recorded when it was left comes first, then projects in turn: none waits for all of another's jobs."""

_ORPHANS = text("""
    SELECT jobs.job_id FROM jobs LEFT JOIN procrastinate_jobs AS work ON work.id = jobs.engine_id
    WHERE jobs.slot = :slot AND jobs.ended_at IS NULL AND (work.id IS NULL OR work.status NOT IN ('todo', 'doing'))
    ORDER BY jobs.created_at
    FOR UPDATE OF jobs SKIP LOCKED
""")

_FINISHED = text("""
    SELECT procrastinate_finish_job_v1(work.id, 'succeeded', true)
    FROM procrastinate_jobs AS work JOIN jobs ON jobs.engine_id = work.id
    WHERE work.queue_name = :queue AND work.status IN ('todo', 'doing')
        AND jobs.ended_at < clock_timestamp() - interval '10 seconds'
""")

_FORGET_JOBS = text("DELETE FROM jobs WHERE ended_at < clock_timestamp() - make_interval(secs => :keep_s)")

_FORGET_WORK = text("""
    DELETE FROM procrastinate_jobs AS work
    WHERE work.status NOT IN ('todo', 'doing')
        AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.engine_id = work.id AND jobs.ended_at IS NULL)
""")

_MISPLACED = text("""
    SELECT jobs.job_id, jobs.app_id, jobs.room_id, jobs.slot, jobs.engine_id
    FROM jobs LEFT JOIN slots USING (slot)
    WHERE jobs.ended_at IS NULL
        AND (starts_with(jobs.slot, :node || '/') OR slots.seen_at IS NULL
             OR slots.seen_at < clock_timestamp() - make_interval(secs => :silence_s))
    FOR UPDATE OF jobs
""")

_MOVE_WORK = text("""
    UPDATE procrastinate_jobs
    SET queue_name = :queue, status = 'todo', worker_id = NULL, abort_requested = false, scheduled_at = NULL
    WHERE id = :engine_id AND status IN ('todo', 'doing')
""")

_MOVE_JOB = text("UPDATE jobs SET slot = :slot WHERE job_id = :job_id")


async def take_back(database: AsyncEngine, slot: str) -> int:
    """Requeue what an earlier run of this slot was doing; return how much that was."""
    async with database.begin() as connection:
        return len((await connection.execute(_TAKE_BACK, {"queue": queue.queue_of_slot(slot)})).all())


async def adopt_orphans(database: AsyncEngine, app: procrastinate.App, slot: str) -> int:
    """Queue every unended job of this slot that the engine has lost sight of; return how many there were.

    Also forgets the work of jobs that have ended, if the engine could not be told in time.
    """
    async with database.begin() as connection:
        await connection.execute(_FINISHED, {"queue": queue.queue_of_slot(slot)})
        orphans = [JobId(row.job_id) for row in await connection.execute(_ORPHANS, {"slot": slot})]
        for job_id in orphans:
            await _requeue(connection, app, job_id, slot)
    if orphans:
        log.warning("orphans_adopted", slot=slot, jobs_count=len(orphans))
    return len(orphans)


async def forget_old(database: AsyncEngine, keep: timedelta) -> None:
    """Delete jobs that ended longer than `keep` ago, with files and events, and work that has nothing left to say.

    So are callbacks of deleted apps that nothing waits for any more.

    What is recorded stays in its bucket. Spec: API section 5.5 (30 days).
    """
    async with database.begin() as connection:
        await connection.execute(_FORGET_JOBS, {"keep_s": keep.total_seconds()})
        await connection.execute(_FORGET_WORK)
        await outbox.forget_retired(connection)


async def rehome_jobs(database: AsyncEngine, node_id: str, slots: Sequence[str]) -> int:
    """Move unended jobs to the slot their room belongs to now; run before this node's recorders start.

    Concerns jobs of this node's slots, whose number may have changed, and of slots nobody has renewed for a minute.
    """
    moved = 0
    async with database.begin() as connection:
        for row in await connection.execute(_MISPLACED, {"node": node_id, "silence_s": SLOT_SILENCE_S}):
            slot = slot_of_room(AppId(row.app_id), RoomId(row.room_id), slots)
            if slot == row.slot:
                continue
            await connection.execute(_MOVE_JOB, {"slot": slot, "job_id": row.job_id})
            values = {"queue": queue.queue_of_slot(slot), "engine_id": row.engine_id}
            await connection.execute(_MOVE_WORK, values)
            moved += 1
    return moved


async def reap(app: procrastinate.App, queue_name: str, stalled_s: float) -> int:
    """Requeue work whose worker's heartbeat is older than `stalled_s`; return how much that was."""
    stalled = list(await app.job_manager.get_stalled_jobs(queue=queue_name, seconds_since_heartbeat=stalled_s))
    for job in stalled:
        await app.job_manager.retry_job(job)
    return len(stalled)


async def _requeue(connection: AsyncConnection, app: procrastinate.App, job_id: JobId, slot: str) -> None:
    engine_id = await queue.enqueue(connection, app, job_id, slot)
    await store.set_engine_id(connection, job_id, engine_id)
