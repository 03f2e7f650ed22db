"""Runs this recorder's jobs: takes them from its queue, holds an assignment for each, and keeps hold of them.

Four loops, none of which may end another: the worker (restarted whenever the database was away), the fence (once a
second), the reaper (jittered), and the watchdog over the worker. Recordings live in none of them, so an outage or a
restart of any loop costs no media; a new worker generation finds the assignment of a job it takes again and goes on
waiting for it. Design sections 6.1 to 6.6.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import procrastinate
import structlog
from procrastinate.job_context import AbortReason
from sqlalchemy.ext.asyncio import AsyncEngine

from soloist.clock import utc_now
from soloist.jobs import fence, reaper, store
from soloist.jobs.assignment import Assignment, Desk, Outcome
from soloist.jobs.journal import DatabaseJournal
from soloist.jobs.outage import DATABASE_AWAY, PAUSE_S_MAX, STALLED_S, Reachability, persist
from soloist.jobs.port import RecordingPort
from soloist.jobs.queue import open_engine, queue_of_slot
from soloist.jobs.worker import FencedJobManager, RequeueError, TypedWorker, new_worker
from soloist.model.ids import JobId
from soloist.model.job import Job

log = structlog.get_logger("soloist.engine")

ORPHAN_INTERVAL_S = 30.0
FORGET_INTERVAL_S = 3600.0
"""Between two looks for jobs that ended too long ago; the first is at the start."""
UNSETTLED_RETRY_S = 30
FETCH_STALLED_S = 15.0
"""Without an answered fetch for this long, while the database answers the fence, a worker is replaced."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What one recorder's engine is told."""

    database_url: str
    slot: str
    boot: str
    """Tells this run of the slot from others."""
    drain_s: float = 5.0
    keep: timedelta = timedelta(days=30)
    """How long a job that has ended can be asked about."""


class Engine:
    """One recorder's jobs. `run` it in a task; `drain` it before the process ends."""

    def __init__(
        self,
        settings: EngineSettings,
        database: AsyncEngine,
        port: RecordingPort,
        *,
        told: Callable[[Sequence[Job]], fence.Told] | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """`told` makes of the jobs held what this recorder tells of itself with each renewal; without it, nothing."""
        self._settings = settings
        self._told = told or (lambda _: fence.Told())
        self._database = database
        self._desk = Desk(database, port, clock)
        self._holder = fence.Holder(settings.slot, f"{settings.slot}#{settings.boot}")
        self._reachability = Reachability()
        self._assignments: dict[JobId, tuple[Assignment, asyncio.Task[Outcome]]] = {}
        self._worker: TypedWorker | None = None
        self._draining = asyncio.Event()
        self._drained = asyncio.Event()
        self._ready = asyncio.Event()

    @property
    def jobs_count(self) -> int:
        """Jobs this recorder holds."""
        return len(self._assignments)

    async def wait_ready(self) -> None:
        """Return once jobs are being taken."""
        await self._ready.wait()

    async def run(self) -> None:
        """Take and hold jobs until cancelled or drained."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._work_on(), name="engine worker")
            guards = [loops.create_task(guard) for guard in (self._guard(), self._reap(), self._watch())]
            await self._drained.wait()
            for guard in guards:
                guard.cancel()

    async def drain(self) -> None:
        """Finish files of all recordings within the time limit and leave their jobs to the next run of this slot."""
        self._draining.set()
        if self._worker is not None:
            if isinstance(self._worker.app.job_manager, FencedJobManager):
                self._worker.app.job_manager.is_closing = True
            self._worker.shutdown_graceful_timeout = self._settings.drain_s + 1
            self._worker.stop()
        tasks = [task for _, task in self._assignments.values()]
        for assignment, _ in self._assignments.values():
            assignment.hand_over()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._settings.drain_s)
            for task in late:
                task.cancel()
            log.info("recordings_handed_over", jobs_count=len(tasks), unfinished_count=len(late))
        self._drained.set()

    async def _work_on(self) -> None:
        """Run one worker generation after another."""
        is_told = False
        while not self._draining.is_set():
            try:
                await self._work()
                is_told = False
                log.info("engine_worker_ended", is_draining=self._draining.is_set())
            except DATABASE_AWAY as error:
                if not is_told:
                    log.warning("engine_disconnected", error=type(error).__name__, jobs_count=self.jobs_count)
                is_told = True
            except Exception:
                log.exception("engine_worker_failed")
            if not self._draining.is_set():
                await asyncio.sleep(PAUSE_S_MAX / 2)

    async def _work(self) -> None:
        worker = new_worker(self._settings.database_url, queue_of_slot(self._settings.slot), self._record)
        await reaper.take_back(self._database, self._settings.slot)
        await reaper.adopt_orphans(self._database, worker.app, self._settings.slot)
        async with worker.app.open_async():
            self._worker = worker
            if self._draining.is_set():
                return
            self._ready.set()
            log.info("engine_connected", slot=self._settings.slot, jobs_count=self.jobs_count)
            try:
                await worker.run()
            finally:
                self._worker = None

    async def _record(self, context: procrastinate.JobContext, job_id: str) -> None:
        """Hold a job until it is done: the engine's task.

        Raises:
            RequeueError: the job, or what it left, is to be taken again.
        """
        try:
            await self._hold(context, JobId(job_id))
        except RequeueError:
            raise
        except Exception:
            log.exception("assignment_failed", job_id=job_id)
            raise RequeueError(UNSETTLED_RETRY_S) from None

    async def _hold(self, context: procrastinate.JobContext, job_id: JobId) -> None:
        held = self._assignments.get(job_id) or await self._take(job_id)
        if held is None:
            return
        assignment, task = held
        try:
            outcome = await asyncio.shield(task)
        except asyncio.CancelledError:
            if context.abort_reason() is not AbortReason.USER_REQUEST:
                raise RequeueError from None
            assignment.stop()
            outcome = await self._see_out(task)
        if outcome is Outcome.HANDED_OVER:
            raise RequeueError
        if outcome is Outcome.UNSETTLED:
            raise RequeueError(UNSETTLED_RETRY_S)

    async def _see_out(self, task: asyncio.Task[Outcome]) -> Outcome:
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            raise RequeueError from None

    async def _take(self, job_id: JobId) -> tuple[Assignment, asyncio.Task[Outcome]] | None:
        job = await persist(lambda: self._claim(job_id), what="take a job")
        if job is None:
            return None
        claim = store.Claim(job.job_id, job.epoch)
        journal = DatabaseJournal(self._database, claim, self._reachability, self._desk.clock)
        assignment = Assignment(job, journal, self._desk)
        task = asyncio.create_task(assignment.run(), name=f"job {job_id}")
        self._assignments[job_id] = (assignment, task)
        task.add_done_callback(lambda _: self._assignments.pop(job_id, None))
        if self._draining.is_set():
            assignment.hand_over()
        return assignment, task

    async def _claim(self, job_id: JobId) -> Job | None:
        async with self._database.begin() as connection:
            return await store.take(connection, job_id, self._holder.owner, self._desk.clock())

    async def _guard(self) -> None:
        """The fence."""

        async def turn() -> None:
            async with asyncio.timeout(2 * fence.INTERVAL_S):
                held = [assignment for assignment, _ in self._assignments.values()]
                told = self._told([assignment.job for assignment in held])
                await fence.compare(self._database, self._holder, told, held)
            self._reachability.answered()

        await _every(lambda: fence.INTERVAL_S, turn)

    async def _reap(self) -> None:
        """Take back what stalled workers hold; now and then look for jobs the engine lost, and forget old ones."""
        looked_at, forgot_at = time.monotonic(), -FORGET_INTERVAL_S

        async def turn() -> None:
            nonlocal looked_at, forgot_at
            if not self._reachability.may_reap or self._worker is None:
                return
            await reaper.reap(self._worker.app, queue_of_slot(self._settings.slot), STALLED_S)
            if time.monotonic() - looked_at > ORPHAN_INTERVAL_S:
                looked_at = time.monotonic()
                await reaper.adopt_orphans(
                    self._database, open_engine(self._settings.database_url), self._settings.slot
                )
            if time.monotonic() - forgot_at > FORGET_INTERVAL_S:
                await reaper.forget_old(self._database, self._settings.keep)
                forgot_at = time.monotonic()

        await _every(lambda: random.uniform(2.0, 3.0), turn)  # noqa: S311 - jitter

    async def _watch(self) -> None:
        """Replace a worker that fetches nothing although the database answers: a half-open connection holds it."""

        async def turn() -> None:
            worker = self._worker
            if worker is None or worker.is_full or not isinstance(worker.app.job_manager, FencedJobManager):
                return
            idle_s = time.monotonic() - worker.app.job_manager.fetched_at
            if self._reachability.may_publish and idle_s > FETCH_STALLED_S:
                log.error("engine_worker_stalled", seconds=round(idle_s))
                worker.stop()

        await _every(lambda: 5.0, turn)


async def _every(interval_s: Callable[[], float], turn: Callable[[], Awaitable[None]]) -> None:
    """Repeat `turn` for ever; an outage costs a turn, nothing else ends the loop but cancellation."""
    while True:
        try:
            await turn()
        except DATABASE_AWAY:
            log.debug("turn_skipped")
        except Exception:
            log.exception("turn_failed")
        await asyncio.sleep(interval_s())
