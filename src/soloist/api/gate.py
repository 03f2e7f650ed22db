"""Who may pass to the vendor's paths and to ours: the body is read within limits, then token or signature is checked.

Whether a token or an access key exists is settled before the body is read: strangers cannot make us hold bodies.
Signatures are checked on raw bytes. Leaves `project_id` in the request's state. Token wins over signature; an unknown
access key and a wrong signature get the same answer; repeated failures of one key or token from one source are told to
wait, and the right signature passes all the same.
Spec: API sections 8.2, 9.1, 9.4.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from soloist.api.bounds import Held, Pool
from soloist.api.errors import (
    BodyTooLargeError,
    ForbiddenError,
    NoTenantError,
    SlowBodyError,
    UnauthorizedError,
)
from soloist.api.known import RENEWED_S, Known
from soloist.api.threshold import limited_source
from soloist.api.throttle import FailureThrottle, RequestRate
from soloist.model.errors import MalformedBodyError, ProjectDisabledError
from soloist.model.ids import ProjectId
from soloist.wire.object_path import PREFIX
from soloist.wire.signing import (
    Authorization,
    RawRequest,
    SignatureError,
    SignatureMismatchError,
    parse_authorization,
    verify_signature,
)

VENDOR = "/v2/"
GUARDED = (VENDOR, "/v3/projects", "/soloist/v1/")
"""Below these nobody passes without a credential, whether or not there is such an operation,"""
DOCS = "/soloist/v1/docs"
OPEN = (
    "/soloist/v1/health",
    "/soloist/v1/openapi.json",
    DOCS,
    *(f"{DOCS}/{name}" for name in ("swagger-ui.css", "swagger-ui-bundle.js", "start.js")),
)
"""but here everybody does."""
TICKETED = PREFIX
"""Here the address itself is the permission."""
CLOSE = {"Connection": "close"}
"""Closing spares us the rest of a body, which would otherwise be read as the next request."""
SMALL_BODY_BYTES = 16 * 1024
"""What every request may hold whatever others do: nearly all bodies are smaller, and connections are bounded."""
BODY_TIMEOUT_S = 10.0
"""A whole body of 1 MiB takes 8 s at 1 Mbit/s; whoever is slower holds memory for nothing."""


class Credential(Protocol):
    """An access key's secret and projects."""

    @property
    def secret_key(self) -> str:
        """What signatures are made with."""

    @property
    def project_ids(self) -> Sequence[ProjectId]:
        """Projects it may name."""

    @property
    def default_project(self) -> ProjectId:
        """The project meant when it names none."""

    @property
    def is_enabled(self) -> bool:
        """Whether its project is."""


class Gate:
    """ASGI middleware; see the module."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        known: Known,
        throttle: FailureThrottle,
        rate: RequestRate,
        clock: Callable[[], datetime],
        bodies: Pool,
        body_bytes_max: int,
        body_timeout_s: float = BODY_TIMEOUT_S,
    ) -> None:
        """`bodies` is what all requests may hold of bodies, in bytes; `body_bytes_max` what one may."""
        self._app = app
        self._body_timeout_s = body_timeout_s
        self._known = known
        self._throttle = throttle
        self._rate = rate
        self._clock = clock
        self._bodies = bodies
        self._body_bytes_max = body_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let an authenticated request through, its body already read."""
        if scope["type"] != "http" or not is_guarded(scope["path"]):
            await self._app(scope, receive, send)
            return
        source, now = limited_source(scope), self._clock()
        caller = await self._identified(scope, source, now)
        with self._bodies.holding(source) as held:
            body = await read_body(scope, receive, self._body_bytes_max, held, timeout_s=self._body_timeout_s)
            await self._pass(scope, body, receive, send, caller=caller, source=source)

    async def _pass(
        self, scope: Scope, body: bytes, receive: Receive, send: Send, *, caller: "_Caller", source: str
    ) -> None:
        """Verify a signature over the whole request, and let it through."""
        request = _raw_request(scope, body)
        if caller.authorization is not None:
            caller = await self._verified(request, caller.authorization, caller.credential, source)
        project_id = _chosen(_text(request.values("x-project-id")), caller.credential)
        if scope["path"].startswith(VENDOR):
            self._rate.count(project_id, self._clock())
        scope.setdefault("state", {})["project_id"] = project_id
        await self._app(scope, replay(body, receive), send)

    async def _identified(self, scope: Scope, source: str, now: datetime) -> "_Caller":
        """Return who says they are asking, if there is such a token or key; of a key nothing is proven yet."""
        request = _raw_request(scope, b"")
        is_suspect = self._throttle.is_suspect(source, now)
        if token := _text(request.values("x-auth-token")):
            project_id = await self._known.project_of_token(token, now, is_suspect=is_suspect)
            if project_id is None:
                # Counted per token, as signatures are per key.
                self._throttle.failed(hashlib.sha256(token.encode()).hexdigest(), source, now)
                raise UnauthorizedError("the token is unknown")
            return _Caller(_TokenHolder(project_id))
        authorization = parse_authorization(request)
        if any(request.values("x-security-token")):
            raise UnauthorizedError("this server issues no temporary credentials; leave X-Security-Token out")
        credential = await self._known.credential(authorization.access_key, is_suspect=is_suspect)
        if credential is None:
            self._throttle.failed(authorization.access_key, source, now)
            raise SignatureMismatchError
        return _Caller(credential, authorization)

    async def _verified(
        self, request: RawRequest, authorization: Authorization, credential: Credential, source: str
    ) -> "_Caller":
        """Return the caller whose signature this is; a secret that has just been replaced is looked up anew."""
        now = self._clock()
        try:
            if not _is_signed(request, authorization, credential, now):
                renewed = await self._known.credential(authorization.access_key, older_than_s=RENEWED_S)
                if renewed is None or not _is_signed(request, authorization, renewed, now):
                    raise SignatureMismatchError
                credential = renewed
        except SignatureError:
            self._throttle.failed(authorization.access_key, source, now)
            raise
        return _Caller(credential, authorization)


@dataclass(frozen=True, slots=True)
class _TokenHolder:
    """What a token may act for."""

    project_id: ProjectId
    secret_key = ""
    is_enabled = True
    """Else the token would not have been found."""

    @property
    def project_ids(self) -> Sequence[ProjectId]:
        return (self.project_id,)

    @property
    def default_project(self) -> ProjectId:
        return self.project_id


@dataclass(frozen=True, slots=True)
class _Caller:
    """Who says they are asking."""

    credential: Credential
    authorization: Authorization | None = None
    """What is to be verified; None with a token, which is its own proof."""


def _is_signed(request: RawRequest, authorization: Authorization, credential: Credential, now: datetime) -> bool:
    try:
        verify_signature(request, authorization, credential.secret_key, now)
    except SignatureMismatchError:
        return False
    return True


def is_guarded(path: str) -> bool:
    """Tell whether a path, or a route's template, is only for those with a credential."""
    return path.startswith(GUARDED) and path not in OPEN and not path.startswith(TICKETED)


async def read_body(
    scope: Scope, receive: Receive, bytes_max: int, held: Held | None = None, *, timeout_s: float = BODY_TIMEOUT_S
) -> bytes:
    """Return the whole body; what is beyond `SMALL_BODY_BYTES` of it is taken from `held`'s pool as it comes.

    Raises:
        BodyTooLargeError: more than `bytes_max`, by its announced or by its real length.
        BusyError: more bodies are held than may be.
        SlowBodyError: it was not there within `timeout_s`.
        MalformedBodyError: the caller hung up.
    """
    announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    if announced.isdigit() and int(announced[:20]) > bytes_max:
        raise BodyTooLargeError(f"at most {bytes_max} bytes", headers=CLOSE)
    try:
        async with asyncio.timeout(timeout_s):
            return await _received(receive, bytes_max, held)
    except TimeoutError as error:
        raise SlowBodyError(f"at most {timeout_s:g} seconds", headers=CLOSE) from error


async def _received(receive: Receive, bytes_max: int, held: Held | None) -> bytes:
    chunks, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise MalformedBodyError("the request ended before its body did")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if held is not None and (amount := min(len(chunks[-1]), size - SMALL_BODY_BYTES)) > 0:
            held.take(amount)
        if size > bytes_max:
            raise BodyTooLargeError(f"at most {bytes_max} bytes", headers=CLOSE)
        if not message.get("more_body"):
            return b"".join(chunks)


def replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives `body` once more and then what the server has to say."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return pending.pop() if pending else await receive()

    return receive_again


def _chosen(wanted: str, credential: Credential) -> ProjectId:
    if not credential.project_ids:
        raise NoTenantError
    if not credential.is_enabled:
        raise ProjectDisabledError
    if wanted and wanted not in credential.project_ids:
        raise ForbiddenError("X-Project-Id names a project that is not the credential's")
    return ProjectId(wanted) if wanted else credential.default_project


def _raw_request(scope: Scope, body: bytes) -> RawRequest:
    query = scope["query_string"]
    target = scope["raw_path"] + (b"?" + query if query else b"")
    return RawRequest(scope["method"], target, scope["headers"], hashlib.sha256(body).hexdigest())


def _text(values: list[bytes]) -> str:
    return values[0].decode("utf-8", "replace") if values else ""
