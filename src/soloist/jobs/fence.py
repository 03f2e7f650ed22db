"""Once a second, one statement per recorder: renews its slot, tells how full it is, and compares what it runs.

It is what finds a job taken by another (epoch), stopped (if the notification was missed), put under another rule,
forwarded elsewhere, or suspended.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncEngine

from soloist.jobs.assignment import Assignment
from soloist.jobs.codec import job_rule
from soloist.model.admission import Condition
from soloist.model.job import JobState

INTERVAL_S = 1.0
REASON_LENGTH_MAX = 128

_RENEW_AND_READ = text("""
    WITH renewed AS (
        INSERT INTO slots (slot, owner, seen_at, state, reason, writing)
        VALUES (:slot, :owner, clock_timestamp(), :state, :reason, CAST(:writing AS jsonb))
        ON CONFLICT (slot) DO UPDATE SET owner = :owner, seen_at = clock_timestamp(), state = excluded.state,
            reason = excluded.reason, writing = excluded.writing
    )
    SELECT held.job_id AS held_id, jobs.app_id, jobs.epoch, jobs.state, jobs.rule_id, jobs.rule, jobs.suspended,
        jobs.forward_urls, jobs.updated_at
    FROM unnest(CAST(:job_ids AS text[]), CAST(:epochs AS int[]), CAST(:seen_at AS timestamptz[]))
        AS held (job_id, epoch, seen_at)
    LEFT JOIN jobs ON jobs.job_id = held.job_id
    WHERE jobs.job_id IS NULL OR jobs.epoch <> held.epoch OR jobs.state = 'STOPPED'
        OR jobs.updated_at IS DISTINCT FROM held.seen_at
""")
"""Returns only what differs from what its holder knows: a thousand jobs that wait cost a recorder next to nothing."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Which recorder this is."""

    slot: str
    owner: str
    """The slot and this run of it, `<slot>#<boot>`."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a recorder tells of itself as it renews its slot: admission asks for it."""

    condition: Condition = field(default_factory=Condition)
    writing: Mapping[str, int] = field(default_factory=dict)
    """Its recordings that write, by project."""


async def compare(database: AsyncEngine, holder: Holder, told: Told, held: Iterable[Assignment]) -> None:
    """Renew the slot and pass on to each held assignment what the database says of its job."""
    assignments = {assignment.job_id: assignment for assignment in held}
    values = {
        "slot": holder.slot,
        "owner": holder.owner,
        "state": told.condition.state.value,
        "reason": told.condition.reason[:REASON_LENGTH_MAX],
        "writing": json.dumps(dict(told.writing)),
        "job_ids": list(assignments),
        "epochs": [assignment.epoch for assignment in assignments.values()],
        "seen_at": [assignment.seen_at for assignment in assignments.values()],
    }
    async with database.connect() as lent:
        # One statement is a transaction by itself; three round trips fewer a second.
        connection = await lent.execution_options(isolation_level="AUTOCOMMIT")
        rows = (await connection.execute(_RENEW_AND_READ, values)).all()
    for row in rows:
        _apply(assignments[row.held_id], row)


def _apply(assignment: Assignment, row: Row[Any]) -> None:
    if row.epoch != assignment.epoch:
        assignment.lose()
    elif row.state == JobState.STOPPED:
        assignment.stop()
    else:
        assignment.update(job_rule(row))
        assignment.forward(tuple(row.forward_urls))
        assignment.suspend(suspended=row.suspended)
        assignment.saw(row.updated_at)
