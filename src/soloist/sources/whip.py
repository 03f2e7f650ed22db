"""The recorder's side of WHIP: a small HTTP app on the recorder's unix socket.

The api process has authenticated the caller and passes requests on verbatim; this file carries them to `wire/whip.py`
for judgement and to `rooms.py` for effect. Location is path-only, so that it holds behind any proxy.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from soloist.core import OfferError, SessionGoneError
from soloist.model.errors import InternalError, InvalidValueError
from soloist.model.ids import AppId, ParticipantId, RoomId, parse_id
from soloist.model.media import Codec, TrackSource
from soloist.sources.ingest import REMOVED, REPLACED, StreamKey
from soloist.sources.joining import RoomsFullError
from soloist.sources.offers import Offers, OffersBusyError
from soloist.sources.receiver import MediaThread
from soloist.sources.removal import removal_route
from soloist.sources.rooms import PublishedStream, Publisher, Rooms
from soloist.wire.whip import (
    OFFER_BYTES_MAX,
    IceRestart,
    IceServer,
    SessionState,
    WhipError,
    WhipRequest,
    WhipResponse,
    WhipSession,
    created,
    endpoint_get,
    endpoint_options,
    no_such_session,
    parse_offer,
    refused,
    session_removed,
    session_replaced,
)

log = structlog.get_logger("soloist.whip")

VIDEO_CODECS_DEFAULT = (Codec.H264, Codec.VP8, Codec.VP9, Codec.AV1)
BODY_TIMEOUT_S = 10.0
GONE_COUNT_MAX = 1000
"""Sessions remembered as replaced or removed, so that their publishers learn it; the oldest is forgotten first."""
GONE = {REPLACED: session_replaced, REMOVED: session_removed}
"""Ends of a session after which its publisher should not come back, and what it is told."""
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

VideoCodecsOf = Callable[[AppId], Awaitable[Sequence[Codec]]]
"""An app's video codecs, preferred first."""


ProjectOf = Callable[[AppId], Awaitable[str]]
"""The project an app belongs to, whose share its publishers count to."""


async def app_alone(app_id: AppId) -> str:
    """Let each app be a project of its own."""
    return app_id


async def default_video_codecs(app_id: AppId) -> Sequence[Codec]:
    """Prefer H.264, which every player takes, then the others in the order players do."""
    del app_id
    return VIDEO_CODECS_DEFAULT


@dataclass(slots=True)
class _Resource:
    """A session URL and what stands behind it."""

    session: WhipSession
    publisher: Publisher
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a request is answered: the next PATCH must not meet a restart of ICE half done."""


class WhipShell:
    """Carries HTTP requests to the protocol and its verdicts to the rooms."""

    def __init__(
        self,
        rooms: Rooms,
        offers: Offers,
        *,
        video_codecs_of: VideoCodecsOf,
        project_of: ProjectOf,
        ice_servers: Sequence[IceServer],
    ) -> None:
        self._rooms = rooms
        self._offers = offers
        self._video_codecs_of = video_codecs_of
        self._project_of = project_of
        self._ice_servers = tuple(ice_servers)
        self._resources: dict[str, _Resource] = {}
        self._gone: deque[tuple[str, StreamKey, str]] = deque(maxlen=GONE_COUNT_MAX)

    async def endpoint(self, request: Request) -> Response:
        """Answer `/whip/{app}/{room}/{user}`."""
        try:
            key = _stream_key(request)
            if request.method == "OPTIONS":
                return _render(endpoint_options())
            if request.method in ("GET", "HEAD"):
                return _render(endpoint_get())
            return _render(await self._publish(key, await _read(request)))
        except WhipError as error:
            log.info("publisher_refused", path=request.url.path, status=error.status, detail=str(error))
            return _render(refused(error))

    async def session(self, request: Request) -> Response:
        """Answer `/whip/{app}/{room}/{user}/{resource}`."""
        try:
            key, resource_id = _stream_key(request), request.path_params["resource"]
            return _render(await self._answer(key, resource_id, await _read(request)))
        except WhipError as error:
            return _render(refused(error))

    async def _publish(self, key: StreamKey, request: WhipRequest) -> WhipResponse:
        offer = parse_offer(request)
        codecs, project = await self._video_codecs_of(key.app_id), await self._project_of(key.app_id)
        resource_id = secrets.token_urlsafe(24)
        session = WhipSession(secrets.token_urlsafe(12), offer.ufrag)
        try:
            self._rooms.check_limits(key, project)
            answered = await self._offers.answer(key[:3], offer.text, codecs, project=project)
            publisher = self._rooms.publish(
                key, answered, lambda reason: self._forget(resource_id, reason), project=project
            )
        except OfferError as error:
            raise WhipError(400, f"the offer cannot be answered: {error}") from error
        except (RoomsFullError, OffersBusyError, InternalError) as error:
            raise WhipError(503, str(error), (("Retry-After", "5"),)) from error
        self._resources[resource_id] = _Resource(session, publisher)
        location = f"/whip/{key.app_id}/{key.room_id}/{key.participant_id}/{resource_id}"
        return created(location, session.etag, answered[1], self._ice_servers)

    async def _answer(self, key: StreamKey, resource_id: str, request: WhipRequest) -> WhipResponse:
        resource = self._resources.get(resource_id)
        for gone_id, whose, reason in self._gone:
            if gone_id == resource_id and whose[:3] == key[:3]:
                raise GONE[reason]()
        if resource is None or resource.publisher.key[:3] != key[:3]:
            raise no_such_session()
        async with resource.turn:
            response = resource.session.answer(request)
            if isinstance(response, IceRestart):
                return await self._restart_ice(resource, response)
        if resource.session.state is SessionState.ENDED:
            self._rooms.leave(resource.publisher)
        return response

    async def _restart_ice(self, resource: _Resource, restart: IceRestart) -> WhipResponse:
        publisher = resource.publisher
        try:
            fragment = await self._rooms.restart_ice(publisher, restart.ufrag, restart.pwd)
        except OfferError as error:
            raise WhipError(400, f"ICE cannot restart: {error}") from error
        except SessionGoneError as error:
            raise no_such_session() from error
        log.info("publisher_restarted_ice", app_id=publisher.key.app_id, room_id=publisher.key.room_id)
        return resource.session.restarted(restart, secrets.token_urlsafe(12), fragment)

    def _forget(self, resource_id: str, reason: str) -> None:
        resource = self._resources.pop(resource_id, None)
        if resource is None:
            return
        resource.session.end()
        if reason in GONE:
            self._gone.append((resource_id, resource.publisher.key, reason))


def create_whip_app(
    rooms: Rooms,
    media: MediaThread,
    *,
    video_codecs_of: VideoCodecsOf = default_video_codecs,
    project_of: ProjectOf = app_alone,
    ice_servers: Sequence[IceServer] = (),
    more_health: Callable[[], Mapping[str, object]] = dict,
) -> Starlette:
    """Return the recorder's HTTP app: WHIP, `/health` and `/streams` (what is published here).

    Serve it on a unix socket only: it asks for no password.
    `more_health` adds to the health answer what others of this process count; it must not block.
    """
    offers = Offers(media.accept_offer, media.close_session)
    shell = WhipShell(rooms, offers, video_codecs_of=video_codecs_of, project_of=project_of, ice_servers=ice_servers)

    async def health(_request: Request) -> Response:
        answer = {
            "status": "ok" if media.is_running else "failing",
            "udp_port": media.port,
            "rooms": rooms.rooms_count,
            "publishers": rooms.publishers_count,
            "publishers_pending": rooms.joining.count,
            "publishers_pending_replaced": rooms.joining.replaced_count,
            "publishers_refused": rooms.joining.refused_count,
            "offers_waiting": offers.waiting_count,
            "offers_refused": offers.refused_count,
            "offers_late": offers.late_count,
            "core": media.stats(),
            **more_health(),
        }
        return JSONResponse(answer, status_code=200 if media.is_running else 503)

    async def streams(_request: Request) -> Response:
        return JSONResponse({"streams": [_stream(stream) for stream in rooms.streams()]})

    return Starlette(
        routes=[
            Route("/health", health, methods=["GET"]),
            Route("/streams", streams, methods=["GET"]),
            removal_route(rooms),
            Route("/whip/{app}/{room}/{user}", shell.endpoint, methods=METHODS),
            Route("/whip/{app}/{room}/{user}/{resource}", shell.session, methods=METHODS),
        ]
    )


def _stream(stream: PublishedStream) -> dict[str, object]:
    return {
        "app_id": stream.key.app_id,
        "room_id": stream.key.room_id,
        "participant_id": stream.key.participant_id,
        "source": stream.key.source.value,
        "tracks": [{"kind": track.kind.value, "codecs": list(track.codecs)} for track in stream.tracks],
        "age_s": stream.age_s,
        "room_age_s": stream.room_age_s,
    }


def _stream_key(request: Request) -> StreamKey:
    params = request.path_params
    source = request.query_params.get("stream", TrackSource.CAMERA.value)
    try:
        return StreamKey(
            AppId(parse_id(params["app"], "app")),
            RoomId(parse_id(params["room"], "room")),
            ParticipantId(parse_id(params["user"], "user")),
            TrackSource(source),
        )
    except InvalidValueError as error:
        raise WhipError(400, str(error)) from error
    except ValueError as error:
        raise WhipError(400, "stream is camera or screen") from error


async def _read(request: Request) -> WhipRequest:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > OFFER_BYTES_MAX:
                    raise WhipError(413, f"a body has at most {OFFER_BYTES_MAX} bytes")
    except TimeoutError as error:
        raise WhipError(408, f"a body arrives within {BODY_TIMEOUT_S:g} seconds") from error
    except ClientDisconnect as error:
        raise WhipError(400, "the request ended before its body did") from error
    return WhipRequest(request.method, {name.lower(): value for name, value in request.headers.items()}, bytes(body))


def _render(response: WhipResponse) -> Response:
    rendered = Response(response.body, status_code=response.status)
    for name, value in response.headers:
        rendered.headers.append(name, value)
    return rendered
