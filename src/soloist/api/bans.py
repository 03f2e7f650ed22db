"""Ours, not the vendor's: who was removed from an app's rooms and is kept out, and replacing an app's join key."""

from datetime import datetime, timedelta
from typing import Annotated, Protocol

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field

from soloist.api.body import parse_object
from soloist.api.fields import ROOM_ID_PATTERN, Body, parse_body, render_time
from soloist.api.routing import AppPath, PageNumber, PageSize, RoomPath, answers, body_of, new_router, project_of
from soloist.jobs.accounts import App
from soloist.jobs.bans import Ban
from soloist.model.ids import AppId, ParticipantId, ProjectId, RoomId

APPS = "/soloist/v1/apps/{app_id}"
KEEP_OLD_S_MAX = 7 * 24 * 3600

UserPath = Annotated[str, Path(pattern=ROOM_ID_PATTERN, description="User id, 1 to 64 characters of A-Z a-z 0-9 _ -")]


class BanView(BaseModel):
    """A user who was removed from a room."""

    room_id: str
    user_id: str
    since: str
    until: str


class BansView(BaseModel):
    """One page of bans, newest first."""

    bans: list[BanView]


class JoinKeyBody(Body):
    """How long tokens of the old key are still good."""

    keep_old_seconds: int = Field(default=24 * 3600, ge=0, le=KEEP_OLD_S_MAX)


class JoinKeyView(BaseModel):
    """The new join key, shown here and by the operator's command only, and until when the old one is good."""

    join_key: str
    old_good_until: str


class BanCommands(Protocol):
    """What the edge asks about bans; every call is within one project."""

    async def ban(self, app_id: AppId, room_id: RoomId, participants: list[ParticipantId]) -> None:
        """Keep users out of a room with any token issued before now."""

    async def keeps_out(
        self,
        app_id: AppId,
        room_id: RoomId,
        participant_id: ParticipantId,
        *,
        issued_at: datetime | None,
        expires_at: datetime,
    ) -> bool:
        """Return whether a user with a token of these times is kept out."""

    async def list_bans(self, project_id: ProjectId, app_id: AppId, *, number: int, size: int) -> list[Ban]:
        """Return one page of an app's bans."""

    async def lift(self, project_id: ProjectId, app_id: AppId, room_id: RoomId, participant_id: ParticipantId) -> None:
        """Let a user in again."""


class JoinKeys(Protocol):
    """Where join keys are replaced."""

    async def rotate_join_key(self, project_id: ProjectId, app_id: AppId, keep_old: timedelta) -> App:
        """Give an app a new join key."""


def ban_routes(bans: BanCommands, keys: JoinKeys) -> APIRouter:
    """Return the three operations."""
    router = new_router("access")

    @router.get(f"{APPS}/bans", responses=answers(400, 404))
    async def list_bans(request: Request, app_id: AppPath, offset: PageNumber = 0, limit: PageSize = 20) -> BansView:
        """Show who is kept out of an app's rooms, newest first; `offset` counts pages, not bans."""
        found = await bans.list_bans(project_of(request), AppId(app_id), number=offset, size=limit)
        return BansView(bans=[_view_ban(ban) for ban in found])

    @router.delete(f"{APPS}/rooms/{{room_id}}/bans/{{user_id}}", status_code=204, responses=answers(404))
    async def lift_ban(request: Request, app_id: AppPath, room_id: RoomPath, user_id: UserPath) -> None:
        """Let a user who was removed in again with the token they had."""
        await bans.lift(project_of(request), AppId(app_id), RoomId(room_id), ParticipantId(user_id))

    @router.post(f"{APPS}/join-key", responses=answers(400, 404), openapi_extra=body_of(JoinKeyBody))
    async def rotate_join_key(request: Request, app_id: AppPath) -> JoinKeyView:
        """Give an app a new join key; tokens of the one before are good for a while, of any older one no more."""
        asked = parse_body(JoinKeyBody, parse_object(await request.body()))
        kept = timedelta(seconds=asked.keep_old_seconds)
        app = await keys.rotate_join_key(project_of(request), AppId(app_id), kept)
        return JoinKeyView(join_key=app.join_key, old_good_until=render_time(app.old_join_key_until or app.created_at))

    return router


def _view_ban(ban: Ban) -> BanView:
    return BanView(
        room_id=ban.room_id,
        user_id=ban.participant_id,
        since=render_time(ban.since),
        until=render_time(ban.until),
    )
