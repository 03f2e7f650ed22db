"""The job engine's door: procrastinate's application, its queues, and enqueueing inside our own transactions.

procrastinate's tables live in a PostgreSQL schema of their own, reached by the connections' search path. Its rows are
wake-up calls; the truth about a job is the `jobs` table.
"""

from typing import Any

import procrastinate
import psycopg
import psycopg_pool
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from soloist.jobs.database import CONNECT_ARGS, conninfo, has_farewell
from soloist.model.ids import JobId

RECORD_TASK = "record"


def open_engine(url: str) -> procrastinate.App:
    """Return procrastinate's application for a database; it connects when opened, and not at all to enqueue.

    Its pool gives up after 5 s, so that an outage ends the worker and not its patience.
    """
    connector = procrastinate.PsycopgConnector(
        conninfo=conninfo(url),
        kwargs=dict(CONNECT_ARGS),
        min_size=1,
        max_size=4,
        timeout=5,
        reconnect_timeout=5,
        pool_factory=_pool,
    )
    return procrastinate.App(connector=connector)


def _pool(*arguments: Any, **options: Any) -> psycopg_pool.AsyncConnectionPool[Any]:
    own = {"connection_class": _PatientConnection, "configure": _commit_each, "check": _check_quietly}
    return psycopg_pool.AsyncConnectionPool(*arguments, **{**options, **own})


class _PatientConnection(psycopg.AsyncConnection[Any]):
    """Waits for the server alone, where psycopg looks ten times a second whether somebody pressed Ctrl-C.

    The connection that listens for notifications always waits; a cancelled task ends it without those looks.
    """

    async def wait(self, gen: Any, interval: float = 60.0, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - psycopg's
        """Run a generator of psycopg's to its end."""
        return await super().wait(gen, interval, timeout)


async def _commit_each(connection: psycopg.AsyncConnection[Any]) -> None:
    """Let each statement be a transaction by itself: BEGIN and COMMIT would be two round trips of three."""
    await connection.set_autocommit(True)


async def _check_quietly(connection: psycopg.AsyncConnection[Any]) -> None:
    """Ask the server whether it is there only if it seems to have left."""
    if has_farewell(connection.fileno()):
        await psycopg_pool.AsyncConnectionPool.check_connection(connection)


def queue_of_slot(slot: str) -> str:
    """Return the name of the queue that only this slot's recorder takes from."""
    return f"slot:{slot}"


async def enqueue(
    connection: AsyncConnection, app: procrastinate.App, job_id: JobId, slot: str, *, priority: int = 0
) -> int:
    """Queue the recording of a job in the caller's transaction; return the engine's id. Rolled back with it.

    What has a higher `priority` is taken first.
    """
    deferrer = app.configure_task(
        RECORD_TASK,
        allow_unknown=True,
        queue=queue_of_slot(slot),
        lock=job_id,
        priority=priority,
        connection=await _driver(connection),
    )
    return await deferrer.defer_async(job_id=job_id)


async def withdraw(connection: AsyncConnection, engine_id: int, *, keep_waiting: bool) -> None:
    """Ask the engine, in the caller's transaction, to abort this work.

    Work that waits in its queue is cancelled, unless `keep_waiting`: a recorder then still has leftovers to settle.
    The recorder that runs it is notified at commit.
    """
    await connection.execute(
        _WITHDRAW, {"engine_id": engine_id, "statuses": ["doing"] if keep_waiting else ["todo", "doing"]}
    )


_WITHDRAW = text(
    "SELECT procrastinate_cancel_job_v1(id, true, false) FROM procrastinate_jobs"
    " WHERE id = :engine_id AND status::text = ANY(:statuses)"
)


async def _driver(connection: AsyncConnection) -> Any:
    raw = await connection.get_raw_connection()
    return raw.driver_connection
