"""procrastinate's worker, tamed: one generation of it takes jobs from this recorder's queue until the database goes.

A generation may end and another begin while recordings go on: the engine's task only waits for an assignment, it does
not contain it. What procrastinate leaves unfenced is fenced here: work is finished or retried only by the worker that
holds its row.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import datetime
from typing import Any

import procrastinate
from procrastinate import jobs as engine_jobs
from procrastinate import manager
from procrastinate.retry import BaseRetryStrategy, RetryDecision
from procrastinate.worker import Worker

from soloist.jobs.queue import RECORD_TASK, open_engine

CONCURRENCY_MAX = 100_000
"""Jobs one worker may hold: far above what a recorder is given, which is bounded where jobs are accepted.

A job that waits for its publisher is a row and a few sleeping tasks. Were this the bound, one project's waiting jobs
would keep everybody else's in the queue. ADR 0016.
"""

HEARTBEAT_S = 1.0
FETCH_S_MAX = 10.0
"""A fetch without an answer for so long is given up: its connection is half-open."""
POLL_S = 3.0
"""Between two looks for jobs and aborts, which are also notified, and aborts found by the fence as well."""

Record = Callable[[procrastinate.JobContext, str], Coroutine[Any, Any, None]]


class RequeueError(Exception):
    """The work goes back to its queue; not an error of anybody."""

    def __init__(self, delay_s: int = 0) -> None:
        super().__init__(f"to be taken again in {delay_s} s")
        self.delay_s = delay_s


class _RequeueOnly(BaseRetryStrategy):
    """Retry what asks for it and nothing else."""

    def get_retry_decision(self, *, exception: BaseException, job: engine_jobs.Job) -> RetryDecision | None:
        del job
        if not isinstance(exception, RequeueError):
            return None
        return RetryDecision(retry_in={"seconds": exception.delay_s})


class FencedJobManager(manager.JobManager):
    """procrastinate's queries: the one that takes work is quick, the two that end it need to hold it still."""

    fetched_at: float
    """Monotonic time of the last answered fetch: what the watchdog looks at."""

    is_closing: bool
    """True from when this recorder is drained: thousands of jobs that wait need not be put back one by one."""

    def __init__(self, connector: Any) -> None:
        super().__init__(connector)
        self.is_closing = False
        self.fetched_at = time.monotonic()

    async def fetch_job(self, queues: Iterable[str] | None, worker_id: int) -> engine_jobs.Job | None:
        """Take the next job and note that fetching works.

        Raises:
            TimeoutError: no answer came; the worker ends by it, for no stop reaches it while it waits.
        """
        async with asyncio.timeout(FETCH_S_MAX):
            job = await self._take_next(list(queues or ()), worker_id)
        self.fetched_at = time.monotonic()
        return job

    async def _take_next(self, queues: Sequence[str], worker_id: int) -> engine_jobs.Job | None:
        rows = await self.connector.execute_query_all_async(query=_FETCH, queues=queues, worker_id=worker_id)
        return engine_jobs.Job.from_row(rows[0]) if rows else None

    async def finish_job(self, job: engine_jobs.Job, status: engine_jobs.Status, delete_job: bool) -> None:  # noqa: FBT001 - procrastinate's signature
        """End work if this worker still holds it."""
        await self.connector.execute_query_async(
            query=_FINISH_HELD,
            job_id=job.id,
            worker_id=job.worker_id,
            status=status.value,
            delete=delete_job,
        )

    async def retry_job(  # noqa: PLR0917 - procrastinate's signature
        self,
        job: engine_jobs.Job,
        retry_at: datetime | None = None,
        priority: int | None = None,
        queue: str | None = None,
        lock: str | None = None,
    ) -> None:
        """Requeue work if this worker still holds it, unless the next run of this slot takes all of it back anyway."""
        if self.is_closing:
            return
        await self.connector.execute_query_async(
            query=_RETRY_HELD,
            job_id=job.id,
            worker_id=job.worker_id,
            at=retry_at,
            priority=priority,
            queue=queue,
            lock=lock,
        )


class TypedWorker(Worker):
    """procrastinate's worker with the two calls we make typed."""

    @property
    def is_full(self) -> bool:
        """True while it holds as many jobs as it may: it then fetches none, and is not to be taken for stuck."""
        return bool(self._job_semaphore.locked())

    def stop(self) -> None:
        """Ask it to end."""
        super().stop()  # type: ignore[no-untyped-call]

    async def run(self) -> None:
        """Work until stopped, cancelled, or cut off from the database."""
        await super().run()  # type: ignore[no-untyped-call]


def new_worker(url: str, queue: str, record: Record) -> TypedWorker:
    """Return a worker of its own application, to be opened and run once."""
    app = open_engine(url)
    app.job_manager = FencedJobManager(app.connector)
    app.task(name=RECORD_TASK, pass_context=True, retry=_RequeueOnly())(record)
    return TypedWorker(
        app=app,
        queues=[queue],
        name=queue,
        concurrency=CONCURRENCY_MAX,
        fetch_job_polling_interval=POLL_S,
        abort_job_polling_interval=POLL_S,
        shutdown_graceful_timeout=0.0,
        delete_jobs="successful",
        install_signal_handlers=False,
        update_heartbeat_interval=HEARTBEAT_S,
    )


_FETCH = """
    WITH candidate AS MATERIALIZED (
        SELECT jobs.id FROM procrastinate_jobs AS jobs
        WHERE jobs.status = 'todo' AND jobs.queue_name = ANY (%(queues)s::varchar[])
            AND (jobs.scheduled_at IS NULL OR jobs.scheduled_at <= now())
            AND NOT EXISTS (
                SELECT 1 FROM procrastinate_jobs AS other WHERE other.lock = jobs.lock AND other.status = 'doing'
            )
        ORDER BY jobs.priority DESC, jobs.id LIMIT 1 FOR UPDATE OF jobs SKIP LOCKED
    )
    UPDATE procrastinate_jobs AS work SET status = 'doing', worker_id = %(worker_id)s
    FROM candidate WHERE work.id = candidate.id RETURNING work.*
"""
"""As procrastinate_fetch_job_v2, in the order of an index of ours: that one sorts all that waits, 24 ms for 3,000."""

_FINISH_HELD = """
    WITH held AS (
        SELECT id FROM procrastinate_jobs
        WHERE id = %(job_id)s AND worker_id IS NOT DISTINCT FROM %(worker_id)s::bigint AND status = 'doing'
        FOR UPDATE
    )
    SELECT procrastinate_finish_job_v1(id, %(status)s, %(delete)s) FROM held
"""

_RETRY_HELD = """
    WITH held AS (
        SELECT id FROM procrastinate_jobs
        WHERE id = %(job_id)s AND worker_id IS NOT DISTINCT FROM %(worker_id)s::bigint AND status = 'doing'
        FOR UPDATE
    )
    SELECT procrastinate_retry_job_v2(id, %(at)s, %(priority)s, %(queue)s, %(lock)s) FROM held
"""
