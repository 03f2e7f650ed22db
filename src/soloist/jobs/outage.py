"""What a recorder knows of the database's reachability, and how it waits for it.

Media must not stop because PostgreSQL restarts: a recorder goes on and persists later. What must not happen meanwhile
is decided by two durations: since the last success (self-fence) and since the end of the last outage (reaping).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import procrastinate.exceptions
import psycopg
import psycopg_pool
import sqlalchemy.exc
import structlog

T = TypeVar("T")
log = structlog.get_logger("soloist.database")

DATABASE_AWAY = (
    sqlalchemy.exc.OperationalError,
    sqlalchemy.exc.InterfaceError,
    sqlalchemy.exc.TimeoutError,
    psycopg.OperationalError,
    psycopg_pool.PoolTimeout,
    procrastinate.exceptions.ConnectorException,
    TimeoutError,
    OSError,
)
"""What is raised while PostgreSQL is stopped, starting, or behind a dead connection."""

SILENCE_S = 2.5
"""Self-fence: without a renewal for this long a recorder publishes nothing. Below the takeover time of 3 s."""

STALLED_S = 3.0
"""A worker whose heartbeat is older is taken for dead."""

PAUSE_S_MIN = 0.1
PAUSE_S_MAX = 1.0
"""Between two tries while the database is away."""


class Reachability:
    """When the database last answered, and since when it has done so without a break."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._answered_at: float | None = None
        self._steady_since: float | None = None
        self._answered = asyncio.Event()

    def answered(self) -> None:
        """Note a success."""
        now = self._monotonic()
        if self._steady_since is None or self.silence_s > SILENCE_S:
            self._steady_since = now
        self._answered_at = now
        self._answered.set()
        self._answered = asyncio.Event()

    @property
    def silence_s(self) -> float:
        """Seconds since the database last answered; infinite if it never did."""
        return float("inf") if self._answered_at is None else self._monotonic() - self._answered_at

    @property
    def may_publish(self) -> bool:
        """Whether our hold on jobs was renewed so recently that nobody can have taken one over."""
        return self.silence_s <= SILENCE_S

    @property
    def may_reap(self) -> bool:
        """Whether others have had the time to show that they live, since the database came back."""
        if self._steady_since is None or not self.may_publish:
            return False
        return self._monotonic() - self._steady_since > 2 * STALLED_S

    async def wait_until_answered(self) -> None:
        """Return at the next success."""
        await self._answered.wait()


async def persist(work: Callable[[], Awaitable[T]], *, what: str) -> T:
    """Do `work`, again and again while the database is away; its other errors are the caller's.

    `work` must be safe to repeat: a commit whose answer was lost may have happened.
    """
    pause_s = PAUSE_S_MIN
    while True:
        try:
            return await work()
        except DATABASE_AWAY as error:
            if pause_s == PAUSE_S_MIN:
                log.warning("database_away", waiting_to=what, error=type(error).__name__)
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, PAUSE_S_MAX)
