"""The public side of WHIP: checks the bearer, then hands the request to the recorder that owns the room.

Knows who may enter which room; knows nothing of SDP or sessions, which are the recorder's (`sources/whip.py`). Requests
and answers pass verbatim over its unix socket. CORS preflights, which never carry a bearer, are answered here.
Spec: RFC 9725 §4.2 (OPTIONS), §4.7 (bearer); RFC 6750 §3.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from soloist.api.bans import BanCommands
from soloist.api.bounds import Held, Pool
from soloist.api.errors import BodyTooLargeError, BusyError, SlowBodyError, ThrottledError
from soloist.api.gate import read_body
from soloist.api.known import Known
from soloist.api.recorders import RecorderAwayError, Recorders
from soloist.api.threshold import limited_source
from soloist.api.throttle import FailureThrottle
from soloist.model.errors import InvalidValueError, TokenExpiredError
from soloist.model.ids import AppId, ParticipantId, ProjectId, RoomId, parse_id
from soloist.wire.join_token import JoinClaims, JoinTokenError, JoinTokenMismatchError, verify_join_token
from soloist.wire.whip import (
    OFFER_BYTES_MAX,
    WhipError,
    WhipResponse,
    endpoint_options,
    refused,
    session_options,
)

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
PASSED_HEADERS = ("Accept", "Content-Type", "If-Match")
HOP_HEADERS = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}
"""Headers of one connection, not of the answer (RFC 9110 §7.6.1), and what our own server adds itself."""


class App(Protocol):
    """What entering a room depends on."""

    @property
    def project_id(self) -> ProjectId:
        """Whose app it is."""

    @property
    def enabled(self) -> bool:
        """Whether anybody new may enter."""

    @property
    def join_key(self) -> str:
        """Key of the join tokens minted now."""

    @property
    def is_project_enabled(self) -> bool:
        """Whether anybody new may enter any app of its project."""

    def join_keys(self, now: datetime) -> Sequence[str]:
        """Return the keys of its join tokens: the present one, and for a while the one before."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a WHIP path points."""

    app_id: str
    room_id: str
    participant_id: str


class WhipProxy:
    """Answers WHIP requests; see the module."""

    def __init__(
        self,
        known: Known,
        recorders: Recorders,
        *,
        bans: BanCommands,
        throttle: FailureThrottle,
        bodies: Pool,
        clock: Callable[[], datetime],
        is_dev: bool,
    ) -> None:
        """In dev mode project tokens are bearers too, and none is needed."""
        self._known = known
        self._bans = bans
        self._throttle = throttle
        self._bodies = bodies
        self._recorders = recorders
        self._clock = clock
        self._is_dev = is_dev

    def routes(self) -> list[Route]:
        """Return the endpoint's and the session's route."""
        endpoint = "/whip/{app}/{room}/{user}"
        return [
            Route(endpoint, self.answer, methods=METHODS),
            Route(endpoint + "/{resource}", self.answer, methods=METHODS),
        ]

    async def answer(self, request: Request) -> Response:
        """Answer one request on an endpoint or session URL."""
        if request.method == "OPTIONS":
            return _render(session_options() if "resource" in request.path_params else endpoint_options())
        try:
            place = _place(request)
            await self._let_in(request, place)
            return await self._pass_on(request, place)
        except WhipError as error:
            return _render(refused(error))

    async def _let_in(self, request: Request, place: _Place) -> None:
        """Return if the bearer may do this; those who are refused again and again are told to wait."""
        source, now = limited_source(request.scope), self._clock()
        try:
            await self._admit(request, place, is_suspect=self._throttle.is_suspect(source, now))
        except WhipError as error:
            try:
                self._throttle.failed(hashlib.sha256(_bearer(request).encode()).hexdigest(), source, now)
            except ThrottledError as throttled:
                raise WhipError(429, str(throttled), tuple(throttled.headers.items())) from error
            raise

    async def _admit(self, request: Request, place: _Place, *, is_suspect: bool) -> None:
        """Return if the bearer may do this; those already inside a disabled app may still leave it."""
        app: App | None = await self._known.app_anywhere(AppId(place.app_id), is_suspect=is_suspect)
        if app is None:
            raise WhipError(404, f"app {place.app_id} does not exist; check the URL")
        if not app.enabled and request.method == "POST":
            raise WhipError(403, f"app {place.app_id} is disabled; enable it first")
        if not app.is_project_enabled and request.method == "POST":
            raise WhipError(403, f"the project of app {place.app_id} is disabled; ask the operator of this server")
        token = _bearer(request)
        if self._is_dev and (not token or await self._is_of(token, app.project_id, is_suspect=is_suspect)):
            return
        if not token:
            raise _unauthorized("send Authorization: Bearer with a join token of this app", "")
        claims = self._claims(token, app.join_keys(self._clock()), place)
        if request.method == "POST" and await self._is_banned(place, claims):
            raise WhipError(403, "this user was removed from the room; a token issued after that lets in again")

    async def _is_of(self, token: str, project_id: ProjectId, *, is_suspect: bool) -> bool:
        try:
            return await self._known.project_of_token(token, self._clock(), is_suspect=is_suspect) == project_id
        except TokenExpiredError as error:
            raise _unauthorized(str(error), ' error="invalid_token"') from error

    async def _is_banned(self, place: _Place, claims: JoinClaims) -> bool:
        return await self._bans.keeps_out(
            AppId(place.app_id),
            RoomId(place.room_id),
            ParticipantId(place.participant_id),
            issued_at=claims.issued_at,
            expires_at=claims.expires_at,
        )

    def _claims(self, token: str, join_keys: Sequence[str], place: _Place) -> JoinClaims:
        """Return what a token of one of these keys says, if it lets its bearer publish here."""
        try:
            claims = self._verified(token, join_keys)
            claims.require_path(place.app_id, place.room_id, place.participant_id)
        except JoinTokenMismatchError as error:
            raise WhipError(403, str(error)) from error
        except JoinTokenError as error:
            raise _unauthorized(str(error), ' error="invalid_token"') from error
        if not claims.role.may_publish:
            raise WhipError(403, f"role {claims.role} may only watch; mint a token for a joiner or publisher")
        return claims

    def _verified(self, token: str, join_keys: Sequence[str]) -> JoinClaims:
        """Return what a token says by the first key that it is of; of none, the first one's refusal."""
        refusal: JoinTokenError | None = None
        for key in join_keys:
            try:
                return verify_join_token(token, key, self._clock())
            except JoinTokenError as error:
                refusal = refusal or error
        raise refusal or JoinTokenError

    async def _pass_on(self, request: Request, place: _Place) -> Response:
        with self._bodies.holding(limited_source(request.scope)) as held:
            return await self._ask_recorder(request, place, await self._body(request, held))

    async def _body(self, request: Request, held: Held) -> bytes:
        try:
            return await read_body(request.scope, request.receive, OFFER_BYTES_MAX, held)
        except BodyTooLargeError as error:
            raise WhipError(413, str(error)) from error
        except SlowBodyError as error:
            raise WhipError(408, str(error), tuple(error.headers.items())) from error
        except BusyError as error:
            raise WhipError(503, str(error), tuple(error.headers.items())) from error

    async def _ask_recorder(self, request: Request, place: _Place, body: bytes) -> Response:
        query = request.scope["query_string"]
        target = request.scope["raw_path"] + (b"?" + query if query else b"")
        headers = {name: request.headers[name] for name in PASSED_HEADERS if name in request.headers}
        try:
            answer = await self._recorders.ask(
                place.app_id, place.room_id, request.method, target.decode("ascii"), headers=headers, data=body or None
            )
        except RecorderAwayError as error:
            raise WhipError(503, "the room's recorder does not answer; try again", (("Retry-After", "2"),)) from error
        response = Response(answer.body, status_code=answer.status)
        for name, value in answer.headers:
            if name.lower() not in HOP_HEADERS:
                response.headers.append(name, value)
        return response


def _place(request: Request) -> _Place:
    try:
        return _Place(*(parse_id(request.path_params[name], name) for name in ("app", "room", "user")))
    except InvalidValueError as error:
        raise WhipError(400, str(error)) from error


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _unauthorized(message: str, detail: str) -> WhipError:
    return WhipError(401, message, (("WWW-Authenticate", f"Bearer{detail}"),))


def _render(whip: WhipResponse) -> Response:
    response = Response(whip.body, status_code=whip.status)
    for name, value in whip.headers:
        response.headers.append(name, value)
    return response
