"""Whether one more job may start, by what the database knows of its project and its room's recorder (rule R44).

Far from a project's limit one statement answers. Near it, starts of the project wait for each other, so that of a burst
exactly as many are accepted as there is room for. What a recorder says of itself is at most a second old.
"""

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from soloist.model.admission import SILENT_S_MAX, Condition, LoadState, Shares, Standing, refusal
from soloist.model.errors import JobLimitError
from soloist.model.ids import ProjectId

NEAR = 100
"""Room for fewer jobs than this is counted under a lock: more than all starts that can be under way at once."""

_STANDING = text("""
    SELECT slots.state, slots.reason, slots.writing,
        (SELECT count(*) FROM jobs WHERE project_id = :project_id AND state <> 'STOPPED') AS live_count,
        (SELECT count(*) FROM jobs WHERE slot = :slot AND ended_at IS NULL) AS held_count,
        (SELECT count(*) FROM jobs WHERE project_id = :project_id AND slot = :slot AND state = 'INIT') AS untaken_count,
        (SELECT coalesce(sum(CAST(writing ->> CAST(:project_id AS text) AS int)), 0) FROM slots
            WHERE seen_at > clock_timestamp() - make_interval(secs => :silent_s)) AS recordings_count,
        slots.seen_at < clock_timestamp() - make_interval(secs => :silent_s)
            AND pg_postmaster_start_time() < clock_timestamp() - make_interval(secs => :silent_s) AS is_silent
    FROM (SELECT 1) AS once LEFT JOIN slots ON slots.slot = :slot
""")
"""A recorder that never ran is not silent: it starts with the service. Nor is one after a database that was away."""

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('soloist admission ' || CAST(:project_id AS text), 0))")


async def admit(connection: AsyncConnection, project_id: ProjectId, slot: str, shares: Shares) -> int:
    """Return how many jobs of a project are still to be taken on a slot, if one more may start; it comes behind them.

    Runs in the transaction that inserts the job.

    Raises:
        JobLimitError: it may not; the message names the limit and the remedy.
    """
    standing = await _standing(connection, project_id, slot)
    if 0 < shares.live_per_project_max - standing.live_count <= NEAR:
        await connection.execute(_LOCK, {"project_id": project_id})
        standing = await _standing(connection, project_id, slot)
    if (why := refusal(project_id, standing, shares)) is not None:
        raise JobLimitError(why)
    return standing.untaken_count


async def _standing(connection: AsyncConnection, project_id: ProjectId, slot: str) -> Standing:
    values = {"project_id": project_id, "slot": slot, "silent_s": SILENT_S_MAX}
    row = (await connection.execute(_STANDING, values)).one()
    return Standing(
        live_count=row.live_count,
        recordings_count=row.recordings_count,
        held_count=row.held_count,
        untaken_count=row.untaken_count,
        condition=_condition(row),
        writing=row.writing or {},
        is_silent=bool(row.is_silent),
    )


def _condition(row: Row[tuple[object, ...]]) -> Condition:
    return Condition(LoadState(row.state), row.reason) if row.state else Condition()
