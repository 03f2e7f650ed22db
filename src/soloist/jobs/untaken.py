"""Jobs that no recorder takes: looked for every two seconds, told once in the log, and asked for by health and metrics.

A job is taken within tens of milliseconds. One that is still INIT after five seconds is nobody's: its recorder is dead,
stuck, or cut off. Spec: API section 5 (INIT).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from soloist.jobs.outage import DATABASE_AWAY

log = structlog.get_logger("soloist.jobs")

UNTAKEN_S = 5.0
"""A job that is INIT for longer is an alarm."""
INTERVAL_S = 2.0

_UNTAKEN = text("""
    SELECT count(*) AS jobs_count, coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0) AS oldest_s
    FROM jobs WHERE state = 'INIT' AND slot = ANY(:slots)
        AND created_at < clock_timestamp() - make_interval(secs => :untaken_s)
""")


class UntakenJobsError(Exception):
    """Jobs wait for a recorder that does not take them; see the recorder's state and log."""


@dataclass(frozen=True, slots=True)
class Untaken:
    """How many jobs nobody has taken, and for how long the oldest has waited."""

    count: int = 0
    oldest_s: float = 0.0


class UntakenWatch:
    """Looks after the jobs of this node's slots; one per api process."""

    def __init__(self, database: AsyncEngine, slots: Sequence[str]) -> None:
        self._database = database
        self._slots = list(slots)
        self.last = Untaken()
        """What was found at the last look."""

    async def run(self) -> None:
        """Look for ever; while the database is away nothing new is known."""
        while True:
            try:
                await self.look()
            except DATABASE_AWAY:
                log.debug("turn_skipped")
            except Exception:
                log.exception("untaken_jobs_not_counted")
            await asyncio.sleep(INTERVAL_S)

    async def look(self) -> None:
        """Count, and tell when that begins or ends to be an alarm."""
        async with self._database.connect() as connection:
            row = (await connection.execute(_UNTAKEN, {"slots": self._slots, "untaken_s": UNTAKEN_S})).one()
        found = Untaken(row.jobs_count, float(row.oldest_s))
        if found.count and not self.last.count:
            log.error("jobs_untaken", jobs_count=found.count, oldest_s=round(found.oldest_s, 1))
        elif self.last.count and not found.count:
            log.info("jobs_taken_again")
        self.last = found

    def last_seen(self) -> Untaken:
        """Return what was found at the last look."""
        return self.last

    async def probe(self) -> None:
        """Return if every job was taken in time; what health asks.

        Raises:
            UntakenJobsError: some were not.
        """
        if self.last.count:
            raise UntakenJobsError(f"{self.last.count} jobs wait, the oldest for {self.last.oldest_s:.0f} s")
