"""Writes a recording's progress to the database: fenced by epoch, numbered per job, each fact once.

A file's row and its event are one transaction (R49). A fact is known by its object key and kind, so writing it again
after an answer was lost changes nothing.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Insert, and_, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from soloist.jobs import schema, store
from soloist.jobs.codec import render_event_body
from soloist.jobs.outage import Reachability, persist
from soloist.model.event import Event, FileCompleted, FileStarted, ForwardChanged, RecordingTroubled
from soloist.model.forward import TargetStatus
from soloist.model.media import Kind
from soloist.storage.errors import KeyTakenError
from soloist.wire.keys import EXTENSIONS

STARTED = "STARTED"
COMPLETED = "COMPLETED"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

files, events = schema.files, schema.job_events


class DatabaseJournal:
    """The `Journal` of one job under one epoch."""

    def __init__(
        self, database: AsyncEngine, claim: store.Claim, reachability: Reachability, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._claim = claim
        self._reachability = reachability
        self._clock = clock

    async def permit(self) -> None:
        """Return once nobody can have taken the job over; until then publish nothing."""
        while not self._reachability.may_publish:
            await self._reachability.wait_until_answered()

    async def file_started(self, fact: FileStarted) -> None:
        """Persist that a file was opened, unless any file ever had its name there, which is kept as long as its job."""
        values = self._row(fact) | {"state": STARTED}
        ours = and_(*(files.c[name] == values[name] for name in ("job_id", "key", "format", "started_at")))
        there = and_(*(files.c[name] == values[name] for name in ("location", "bucket", "stem")))

        async def work(connection: AsyncConnection) -> None:
            rows = (await connection.execute(select(ours.label("is_ours")).where(there))).all()
            if any(row.is_ours for row in rows):
                return
            # Who announces the name in this moment is not seen yet; the insert waits for it and then changes nothing.
            row = insert(files).values(**values).on_conflict_do_nothing()
            if rows or not await self._insert(connection, row, fact):
                raise KeyTakenError

        await self._persist(work, what="FileStarted")

    async def file_completed(self, fact: FileCompleted) -> None:
        """Persist that a file stands in the bucket."""
        values = self._row(fact) | {
            "state": COMPLETED,
            "ended_at": fact.ended_at,
            "size_bytes": fact.size_bytes,
            "sha256": fact.sha256,
            "duration_ms": round(fact.duration / timedelta(milliseconds=1)),
            "width": fact.width,
            "height": fact.height,
        }
        changed = {name: value for name, value in values.items() if name not in ("job_id", "key")}
        row = insert(files).values(**values)
        row = row.on_conflict_do_update(
            index_elements=["job_id", "key"], set_=changed, where=files.c.state != COMPLETED
        )
        await self._write(row, fact)

    async def troubled(self, fact: RecordingTroubled) -> None:
        """Persist what an operator should know of a recording that goes on."""

        async def work(connection: AsyncConnection) -> None:
            await self._append_once(connection, fact)

        await self._persist(work, what="RecordingTroubled")

    async def media_ended_ns(self) -> int | None:
        """Return where the media of the job's completed files ends, nanoseconds of Unix time; None without any."""

        async def read() -> datetime | None:
            query = select(func.max(files.c.ended_at)).where(files.c.job_id == self._claim.job_id)
            async with self._database.connect() as connection:
                ended_at: datetime | None = await connection.scalar(query)
                return ended_at

        ended_at = await persist(read, what="read where media ended")
        return None if ended_at is None else (ended_at - EPOCH) // timedelta(microseconds=1) * 1000

    async def described(self, text: str) -> None:
        """Replace the job's description."""

        async def work(connection: AsyncConnection) -> None:
            await store.describe(connection, self._claim, text)

        await self._persist(work, what="describe the job")

    async def coded(self, transcoded: Mapping[Kind, bool]) -> None:
        """Note which tracks of the job's present file are transcoded."""

        async def work(connection: AsyncConnection) -> None:
            await store.save_transcoded(connection, self._claim, transcoded)

        await self._persist(work, what="note what is transcoded")

    async def forwarded(self, statuses: Sequence[TargetStatus], changed: Sequence[TargetStatus]) -> None:
        """Persist where the job's targets stand, with an event for each whose change is to be told."""

        async def work(connection: AsyncConnection) -> None:
            await store.save_forwarding(connection, self._claim, statuses)
            for status in changed:
                event = ForwardChanged(
                    status.url, status.state, status.retries, status.last_error, status.target_id, status.since_ms
                )
                await self._append_once(connection, event)

        await self._persist(work, what="ForwardChanged")

    def _row(self, fact: FileStarted | FileCompleted) -> dict[str, Any]:
        return {
            "job_id": self._claim.job_id,
            "key": fact.key,
            "location": fact.location,
            "bucket": fact.bucket,
            "stem": fact.key.removesuffix(EXTENSIONS[fact.record_format]),
            "epoch": self._claim.epoch,
            "format": fact.record_format,
            "started_at": fact.started_at,
        }

    async def _write(self, row: Insert, fact: Event) -> None:
        """Write a file's row and, if that changed anything, its event."""

        async def work(connection: AsyncConnection) -> None:
            await self._insert(connection, row, fact)

        await self._persist(work, what=type(fact).__name__)

    async def _append_once(self, connection: AsyncConnection, fact: Event) -> None:
        """Append an event unless the job has the very same."""
        row = {"job_id": self._claim.job_id, "type": type(fact).__name__, "body": render_event_body(fact)}
        same = and_(*(events.c[name] == value for name, value in row.items()))
        if await connection.scalar(select(events.c.seq).where(same)) is None:
            await store.append_event(connection, self._claim, fact, self._clock())

    async def _insert(self, connection: AsyncConnection, row: Insert, fact: Event) -> bool:
        # The event comes first: it takes the job's row lock and checks the epoch before anything is changed.
        async with connection.begin_nested() as savepoint:
            await store.append_event(connection, self._claim, fact, self._clock())
            has_changed = (await connection.execute(row.returning(files.c.key))).first() is not None
            if not has_changed:
                await savepoint.rollback()
        return has_changed

    async def _persist(self, work: Callable[[AsyncConnection], Awaitable[None]], *, what: str) -> None:
        async def transaction() -> None:
            async with self._database.begin() as connection:
                await work(connection)

        await persist(transaction, what=what)
