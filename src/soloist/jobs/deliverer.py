"""Tells customers what happened: each job's events in order, independent jobs beside each other, at least once.

Of all api processes on a database one delivers, the one that holds an advisory lock; when its connection ends the next
takes over, at once if the process died. Which notices are on their way is therefore known in memory, and no row and no
connection is held while a receiver takes its time. A notice is settled only after its receiver answered, so whoever is
killed in between sends it once more. ADR 0008; rules R49 to R51; API section 7.4.
"""

import asyncio
import contextlib
import random
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import psycopg
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from soloist.jobs import outbox
from soloist.jobs.database import CONNECT_ARGS, conninfo, open_database
from soloist.jobs.outage import DATABASE_AWAY, persist
from soloist.jobs.outbox import Due
from soloist.model.callback import DeliveryState, Notice, RecordCallback
from soloist.model.errors import DestinationError
from soloist.model.event import JobEnded
from soloist.wire.callback import retry_delay

log = structlog.get_logger("soloist.deliverer")

LOCK_KEY = 7_364_001_852
"""Of the advisory lock; any number nobody else uses in this database."""

POLL_S = 1.0
"""Between two looks for what is due, which is also announced, and between two tries to become the one who delivers."""

CONNECTIONS_MAX = 4
LEADER_ARGS = {
    **CONNECT_ARGS,
    "options": f"{CONNECT_ARGS['options']} -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 "
    "-c tcp_keepalives_count=3",
}
"""The server too has to notice a machine that vanished, or nobody else could deliver."""


class Teller(Protocol):
    """Sends one notice."""

    async def tell(self, notice: Notice, callback: RecordCallback) -> None:
        """Return when the receiver has confirmed it.

        Raises:
            DestinationError: it has not; the message says what happened, for the customer to read.
        """


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """How patient a deliverer is."""

    database_url: str
    in_flight_max: int = 256
    in_flight_per_app_max: int = 8
    """What one slow receiver can occupy."""
    first_delay: timedelta = timedelta(seconds=1)
    delay_max: timedelta = timedelta(minutes=10)
    give_up: timedelta = timedelta(hours=24)
    drain_s: float = 3.0
    """How long a stopped deliverer waits for receivers; who confirms later is told once more. Below the 5 s after which
    the supervisor kills an api that does not end."""
    tells_job_over: bool = True
    """Whether the end of a job is told, which the vendor's own configuration does not name. Spec: API section 4.7."""


class Deliverer:
    """One process's part in the telling. `run` it in a task; `stop` it before the process ends."""

    def __init__(self, settings: DeliverySettings, teller: Teller) -> None:
        self._settings = settings
        self._teller = teller
        self._database = open_database(settings.database_url, connections_max=CONNECTIONS_MAX)
        self._attempts: dict[str, asyncio.Task[None]] = {}
        """By job: a job has one notice on its way at most."""
        self._apps: Counter[str] = Counter()
        self._wake = asyncio.Event()
        self._is_stopping = False

    def stop(self) -> None:
        """Begin nothing more; `run` returns when what is on its way has arrived, or had the time to."""
        self._is_stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Deliver whenever no other process does, until stopped; an outage costs time, nothing else."""
        is_told = False
        while not self._is_stopping:
            try:
                await self._stand_by_and_deliver()
                is_told = False
            except DATABASE_AWAY as error:
                if not is_told:
                    log.warning("deliverer_disconnected", error=type(error).__name__)
                is_told = True
            except Exception:
                log.exception("deliverer_failed")
            if not self._is_stopping:
                await asyncio.sleep(POLL_S)
        await self._drain()
        await self._database.dispose()

    async def _drain(self) -> None:
        """Let what is on its way arrive within the time limit, and drop the rest."""
        if self._attempts:
            await asyncio.wait(self._attempts.values(), timeout=self._settings.drain_s)
        late = list(self._attempts.values())
        for attempt in late:
            attempt.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _stand_by_and_deliver(self) -> None:
        url = conninfo(self._settings.database_url)
        async with await psycopg.AsyncConnection.connect(url, autocommit=True, **LEADER_ARGS) as connection:
            while not await _is_ours(connection):
                if self._is_stopping:
                    return
                await asyncio.sleep(POLL_S)
            await connection.execute(f"LISTEN {outbox.CHANNEL}")
            log.info("deliverer_leads")
            listening = asyncio.create_task(self._listen(connection), name="deliverer listening")
            try:
                await self._deliver(listening)
                # Still under the lock: who leads next must not send what is on its way here.
                if self._is_stopping:
                    await self._drain()
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self, connection: psycopg.AsyncConnection) -> None:
        async for _ in connection.notifies():
            self._wake.set()

    async def _deliver(self, listening: "asyncio.Task[None]") -> None:
        """Send what is due, again and again, while the connection that holds the lock lives."""
        while not self._is_stopping and not listening.done():
            self._wake.clear()
            await self._send_due()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._wake.wait()
        if listening.done():
            listening.result()

    async def _send_due(self) -> None:
        free = self._settings.in_flight_max - len(self._attempts)
        if free <= 0:
            return
        full = [app_id for app_id, count in self._apps.items() if count >= self._settings.in_flight_per_app_max]
        async with self._database.connect() as connection:
            found = await outbox.due(connection, limit=free, busy=list(self._attempts), full=full)
        begun = [self._begin(due) for due in found]
        if len(found) == free or not all(begun):
            self._wake.set()  # There may be more, of others than this look saw.

    def _begin(self, due: Due) -> bool:
        job = due.notice.job
        if self._apps[job.app_id] >= self._settings.in_flight_per_app_max:
            return False
        self._apps[job.app_id] += 1
        attempt = asyncio.create_task(self._attempt(due), name=f"telling {due.notice.event_id}")
        self._attempts[job.job_id] = attempt
        attempt.add_done_callback(lambda _: self._end(due))
        return True

    def _end(self, due: Due) -> None:
        job = due.notice.job
        del self._attempts[job.job_id]
        self._apps[job.app_id] -= 1
        if not self._apps[job.app_id]:
            del self._apps[job.app_id]
        self._wake.set()

    async def _attempt(self, due: Due) -> None:
        """Send one notice and settle it; what goes wrong is the notice's alone."""
        try:
            error = await self._send(due)
            await persist(lambda: self._settle(due, error), what="note that a customer was told")
        except Exception:
            log.exception("notice_not_settled", event_id=due.notice.event_id)
            await asyncio.sleep(POLL_S)

    async def _send(self, due: Due) -> str | None:
        """Return None once the receiver confirmed, else what it met."""
        if self._is_skipped(due.notice):
            return None
        try:
            await self._teller.tell(due.notice, due.callback)
        except DestinationError as error:
            return str(error)
        except Exception:
            log.exception("notice_not_sent", event_id=due.notice.event_id)
            return "an error of this server; its log says more"
        return None

    async def _settle(self, due: Due, error: str | None) -> None:
        async with self._database.begin() as connection:
            state = await self._settled(connection, due, error)
        if state is DeliveryState.DEAD:
            log.error("notice_given_up", event_id=due.notice.event_id, app_id=due.notice.job.app_id, error=error)
        elif error is not None:
            log.warning("notice_failed", event_id=due.notice.event_id, app_id=due.notice.job.app_id, error=error)

    async def _settled(self, connection: AsyncConnection, due: Due, error: str | None) -> DeliveryState:
        if error is None:
            state = DeliveryState.SKIPPED if self._is_skipped(due.notice) else DeliveryState.DELIVERED
            await outbox.settle(connection, due.notice, state)
            return state
        settings = self._settings
        fraction = random.random()  # noqa: S311 - jitter
        delay = retry_delay(due.attempts + 1, fraction, first=settings.first_delay, most=settings.delay_max)
        state = await outbox.postpone(connection, due.notice, error, delay=delay, give_up=settings.give_up)
        asyncio.get_running_loop().call_later(delay.total_seconds(), self._wake.set)
        return state

    def _is_skipped(self, notice: Notice) -> bool:
        return isinstance(notice.event, JobEnded) and not self._settings.tells_job_over


async def _is_ours(connection: psycopg.AsyncConnection) -> bool:
    """Take the lock if nobody has it; it is held as long as the connection lives."""
    row = await (await connection.execute("SELECT pg_try_advisory_lock(%s)", (LOCK_KEY,))).fetchone()
    return bool(row and row[0])
