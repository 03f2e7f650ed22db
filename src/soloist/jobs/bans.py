"""Who was removed from a room, and stays out of it with the join token they had.

A ban is of one user in one room, since the removal. A token issued later lets in again: whoever mints it means that.
One without `iat`, or of before, does not, until it expires: a ban lasts `KEPT`, and as long as a token that was tried.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from soloist.clock import utc_now
from soloist.jobs import schema
from soloist.jobs.accounts import Accounts
from soloist.model.errors import NotFoundError
from soloist.model.ids import AppId, ParticipantId, ProjectId, RoomId

bans = schema.bans

KEPT = timedelta(days=30)
BANS_MAX = 10_000
"""Of one app; the oldest ends when another comes."""


@dataclass(frozen=True, slots=True)
class Ban:
    """Somebody who is kept out."""

    room_id: RoomId
    participant_id: ParticipantId
    since: datetime
    until: datetime


class Bans:
    """Bans of every app; safe to share between requests."""

    def __init__(self, database: AsyncEngine, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._accounts = Accounts(database)
        self._clock = clock

    async def ban(self, app_id: AppId, room_id: RoomId, participants: Collection[ParticipantId]) -> None:
        """Keep these users out of a room with any token issued before now."""
        now = self._clock()
        if not participants:
            return
        rows = [
            {"app_id": app_id, "room_id": room_id, "participant_id": who, "since": now, "until": now + KEPT}
            for who in sorted(set(participants))
        ]
        statement = insert(bans).values(rows)
        newer = {"since": statement.excluded.since, "until": statement.excluded.until}
        newest = select(bans.c.since).where(bans.c.app_id == app_id).order_by(bans.c.since.desc())
        async with self._database.begin() as connection:
            await connection.execute(statement.on_conflict_do_update(index_elements=bans.primary_key, set_=newer))
            eldest = await connection.scalar(newest.offset(BANS_MAX).limit(1))
            over = bans.c.until <= now if eldest is None else or_(bans.c.until <= now, bans.c.since <= eldest)
            await connection.execute(delete(bans).where(bans.c.app_id == app_id, over))

    async def keeps_out(
        self,
        app_id: AppId,
        room_id: RoomId,
        participant_id: ParticipantId,
        *,
        issued_at: datetime | None,
        expires_at: datetime,
    ) -> bool:
        """Return whether a user with a token of these times is kept out; the ban then lasts as long as the token."""
        there = {"app_id": app_id, "room_id": room_id, "participant_id": participant_id}
        async with self._database.connect() as connection:
            row = (await connection.execute(select(bans).filter_by(**there))).one_or_none()
        if row is None or row.until <= self._clock() or (issued_at is not None and issued_at > row.since):
            return False
        if expires_at > row.until:
            async with self._database.begin() as connection:
                await connection.execute(update(bans).filter_by(**there).values(until=expires_at))
        return True

    async def list_bans(self, project_id: ProjectId, app_id: AppId, *, number: int, size: int) -> list[Ban]:
        """Return the page of this number, counted from 0, of an app's bans, newest first.

        Raises:
            NotFoundError: the project has no such app.
        """
        await self._accounts.require_app(project_id, app_id)
        query = select(bans).where(bans.c.app_id == app_id, bans.c.until > self._clock())
        order = (bans.c.since.desc(), bans.c.room_id, bans.c.participant_id)
        async with self._database.connect() as connection:
            rows = await connection.execute(query.order_by(*order).offset(number * size).limit(size))
            return [Ban(RoomId(row.room_id), ParticipantId(row.participant_id), row.since, row.until) for row in rows]

    async def lift(self, project_id: ProjectId, app_id: AppId, room_id: RoomId, participant_id: ParticipantId) -> None:
        """Let a user in again with the token they had.

        Raises:
            NotFoundError: the project has no such app, or the user is not banned there.
        """
        await self._accounts.require_app(project_id, app_id)
        there = {"app_id": app_id, "room_id": room_id, "participant_id": participant_id}
        async with self._database.begin() as connection:
            done = await connection.execute(delete(bans).filter_by(**there))
        if not done.rowcount:
            raise NotFoundError(f"user {participant_id} is not banned from room {room_id}")
