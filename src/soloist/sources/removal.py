"""The recorder's side of dismissing a room and removing users: one address on the recorder's unix socket.

The api process has authenticated the caller and judged the ids; this file only tells the rooms. The body is a JSON
array of the participants to remove, or null for all; the answer's is of those who were there, or about to be.
"""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from soloist.model.ids import AppId, RoomId
from soloist.sources.rooms import Rooms


def removal_route(rooms: Rooms) -> Route:
    """Return `POST /rooms/{app}/{room}/removal`: 200, or 404 if there is no such room."""

    async def remove(request: Request) -> Response:
        participants = await request.json()
        app_id, room_id = AppId(request.path_params["app"]), RoomId(request.path_params["room"])
        keys = [publisher.key for publisher in rooms.publishers(app_id, room_id)]
        keys += [pending.key for pending in rooms.joining.of_room(app_id, room_id)]
        present = sorted({key.participant_id for key in keys})
        if not rooms.remove(app_id, room_id, participants):
            return Response(status_code=404)
        return JSONResponse([one for one in present if participants is None or one in participants])

    return Route("/rooms/{app}/{room}/removal", remove, methods=["POST"])
