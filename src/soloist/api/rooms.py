"""Operations 21 and 22: dismiss a room, and remove users from it.

Both are carried out by the recorder of the room before they are answered, though the vendor promises no more than that
they were accepted. Who is removed cannot come back with the join token they had (`jobs/bans.py`); where none is needed,
in development mode, everybody can. Spec: API section 2.6.
"""

import json
from contextlib import suppress
from typing import Protocol

from fastapi import APIRouter, Request, Response
from pydantic import Field

from soloist.api.bans import BanCommands
from soloist.api.body import parse_object
from soloist.api.errors import BackendTimeoutError
from soloist.api.fields import Body, NumericId, parse_body
from soloist.api.recorders import RecorderAwayError, Recorders
from soloist.api.routing import AppPath, RoomPath, answers, body_of, new_router, project_of
from soloist.model.errors import InternalError, NotFoundError
from soloist.model.ids import AppId, ParticipantId, ProjectId, RoomId

USERS_MAX = 500
"""The vendor's limit of users in a room. Spec: API section 2.6."""
ROOM = "/v2/apps/{app_id}/rooms/{room_id}"


class AppFinder(Protocol):
    """Where apps are looked up."""

    async def show(self, project_id: ProjectId, app_id: AppId) -> object:
        """Return an app of this project, or raise NotFoundError."""


class RemoveUsersBody(Body):
    """The body of remove_users."""

    user_ids: list[NumericId] = Field(max_length=USERS_MAX)


def room_routes(apps: AppFinder, bans: BanCommands, recorders: Recorders) -> APIRouter:
    """Return the two operations on the rooms of `recorders`."""
    router = new_router("rooms")

    @router.post(ROOM + "/dismiss", status_code=202, response_model=None, responses=answers(404, 504))
    async def remove_room(app_id: AppPath, room_id: RoomPath, request: Request) -> Response:
        """Send everybody out of a room; jobs that record there go on until they have idled."""
        await apps.show(project_of(request), AppId(app_id))
        removed = await _remove(recorders, app_id, room_id, None)
        await bans.ban(AppId(app_id), RoomId(room_id), removed)
        with suppress(NotFoundError):  # Once more for those who came back before that.
            await _remove(recorders, app_id, room_id, removed)
        return Response(status_code=202)

    @router.post(
        ROOM + "/batch-remove-users",
        status_code=202,
        response_model=None,
        responses=answers(400, 404, 504),
        openapi_extra=body_of(RemoveUsersBody),
    )
    async def remove_users(app_id: AppPath, room_id: RoomPath, request: Request) -> Response:
        """Send users out of a room; who is not in it is passed over."""
        asked = parse_body(RemoveUsersBody, parse_object(await request.body()))
        await apps.show(project_of(request), AppId(app_id))
        users = [ParticipantId(user_id) for user_id in asked.user_ids]
        await bans.ban(AppId(app_id), RoomId(room_id), users)
        await _remove(recorders, app_id, room_id, users)
        return Response(status_code=202)

    return router


async def _remove(
    recorders: Recorders, app_id: str, room_id: str, user_ids: list[ParticipantId] | None
) -> list[ParticipantId]:
    """Have users removed, all of them for None; return who was there."""
    try:
        target = f"/rooms/{app_id}/{room_id}/removal"
        answer = await recorders.ask(app_id, room_id, "POST", target, data=json.dumps(user_ids))
    except RecorderAwayError as error:
        raise BackendTimeoutError from error
    if answer.status == 404:
        raise NotFoundError(f"room {room_id} does not exist")
    if answer.status != 200:
        raise InternalError(f"the recorder answered {answer.status}")
    return [ParticipantId(user_id) for user_id in json.loads(answer.body)]
