"""Operations 21 and 22: dismiss a room, and remove users from it.

Both are carried out by the recorder of the room before they are answered, though the vendor promises no more than that
they were accepted. Spec: API section 2.6.
"""

import json
from typing import Protocol

from fastapi import APIRouter, Request, Response

from soloist.api.body import parse_object
from soloist.api.errors import BackendTimeoutError
from soloist.api.fields import Body, NumericId, parse_body
from soloist.api.recorders import RecorderAwayError, Recorders
from soloist.api.routing import AppPath, RoomPath, answers, body_of, new_router, project_of
from soloist.model.errors import InternalError, NotFoundError
from soloist.model.ids import AppId, ProjectId

ROOM = "/v2/apps/{app_id}/rooms/{room_id}"


class AppFinder(Protocol):
    """Where apps are looked up."""

    async def show(self, project_id: ProjectId, app_id: AppId) -> object:
        """Return an app of this project, or raise NotFoundError."""


class RemoveUsersBody(Body):
    """The body of remove_users."""

    user_ids: list[NumericId]


def room_routes(apps: AppFinder, recorders: Recorders) -> APIRouter:
    """Return the two operations on the rooms of `recorders`."""
    router = new_router("rooms")

    @router.post(ROOM + "/dismiss", status_code=202, response_model=None, responses=answers(404, 504))
    async def remove_room(app_id: AppPath, room_id: RoomPath, request: Request) -> Response:
        """Send everybody out of a room; jobs that record there go on until they have idled."""
        await apps.show(project_of(request), AppId(app_id))
        return await _remove(recorders, app_id, room_id, None)

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
        return await _remove(recorders, app_id, room_id, asked.user_ids)

    return router


async def _remove(recorders: Recorders, app_id: str, room_id: str, user_ids: list[str] | None) -> Response:
    try:
        target = f"/rooms/{app_id}/{room_id}/removal"
        answer = await recorders.ask(app_id, room_id, "POST", target, data=json.dumps(user_ids))
    except RecorderAwayError as error:
        raise BackendTimeoutError from error
    if answer.status == 404:
        raise NotFoundError(f"room {room_id} does not exist")
    if answer.status != 204:
        raise InternalError(f"the recorder answered {answer.status}")
    return Response(status_code=202)
