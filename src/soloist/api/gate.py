"""Who may pass to the vendor's paths and to ours: the body is read within limits, then token or signature is checked.

Signatures are checked on raw bytes. Leaves `project_id` in the request's state. Token wins over signature; an unknown
access key and a wrong signature get the same answer in the same time; repeated failures of one key or token from one
source are throttled.
Spec: API sections 8.2, 9.1, 9.4.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from soloist.api.errors import (
    BodyTooLargeError,
    ForbiddenError,
    NoTenantError,
    SlowBodyError,
    UnauthorizedError,
)
from soloist.api.throttle import FailureThrottle, RequestRate
from soloist.model.errors import MalformedBodyError
from soloist.model.ids import ProjectId
from soloist.wire.object_path import PREFIX
from soloist.wire.signing import (
    RawRequest,
    SignatureError,
    SignatureMismatchError,
    parse_authorization,
    verify_signature,
)

VENDOR = "/v2/"
GUARDED = (VENDOR, "/v3/projects", "/soloist/v1/")
"""Below these nobody passes without a credential, whether or not there is such an operation,"""
OPEN = ("/soloist/v1/health", "/soloist/v1/openapi.json", "/soloist/v1/docs", "/soloist/v1/docs/oauth2-redirect")
"""but here everybody does."""
TICKETED = PREFIX
"""Here the address itself is the permission."""
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


class Keys(Protocol):
    """Where credentials are looked up."""

    async def credential(self, access_key: str) -> Credential | None:
        """Return what belongs to an access key; None if it is unknown."""

    async def project_of_token(self, token: str, now: datetime) -> ProjectId | None:
        """Return the project of a token; None if it is unknown. Raises TokenExpiredError."""


class Gate:
    """ASGI middleware; see the module."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: Keys,
        throttle: FailureThrottle,
        rate: RequestRate,
        clock: Callable[[], datetime],
        body_bytes_max: int,
        body_timeout_s: float = BODY_TIMEOUT_S,
    ) -> None:
        self._app = app
        self._body_timeout_s = body_timeout_s
        self._keys = keys
        self._throttle = throttle
        self._rate = rate
        self._clock = clock
        self._body_bytes_max = body_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let an authenticated request through, its body already read."""
        if scope["type"] != "http" or not is_guarded(scope["path"]):
            await self._app(scope, receive, send)
            return
        _refuse_anonymous(scope)
        body = await read_body(scope, receive, self._body_bytes_max, timeout_s=self._body_timeout_s)
        request = _raw_request(scope, body)
        project_id = await self._project(request, source_of(scope))
        if scope["path"].startswith(VENDOR):
            self._rate.count(project_id, self._clock())
        scope.setdefault("state", {})["project_id"] = project_id
        await self._app(scope, replay(body, receive), send)

    async def _project(self, request: RawRequest, source: str) -> ProjectId:
        token = _text(request.values("x-auth-token"))
        wanted = _text(request.values("x-project-id"))
        if token:
            return await self._project_of_token(token, wanted, source)
        return await self._project_of_signature(request, wanted, source)

    async def _project_of_token(self, token: str, wanted: str, source: str) -> ProjectId:
        now = self._clock()
        # Counted per token, as signatures are per key: one client with a stale token must not lock out its neighbours.
        name = hashlib.sha256(token.encode()).hexdigest()
        self._throttle.check(name, source, now)
        project_id = await self._keys.project_of_token(token, now)
        if project_id is None:
            self._throttle.failed(name, source, now)
            raise UnauthorizedError("the token is unknown")
        return _chosen(wanted, [project_id], project_id)

    async def _project_of_signature(self, request: RawRequest, wanted: str, source: str) -> ProjectId:
        now = self._clock()
        authorization = parse_authorization(request)
        self._throttle.check(authorization.access_key, source, now)
        if any(request.values("x-security-token")):
            raise UnauthorizedError("this server issues no temporary credentials; leave X-Security-Token out")
        credential = await self._keys.credential(authorization.access_key)
        secret = credential.secret_key if credential else secrets.token_hex(16)
        try:
            verify_signature(request, authorization, secret, now)
        except SignatureError:
            self._throttle.failed(authorization.access_key, source, now)
            raise
        if credential is None:
            raise SignatureMismatchError
        return _chosen(wanted, credential.project_ids, credential.default_project)


def is_guarded(path: str) -> bool:
    """Tell whether a path, or a route's template, is only for those with a credential."""
    return path.startswith(GUARDED) and path not in OPEN and not path.startswith(TICKETED)


async def read_body(scope: Scope, receive: Receive, bytes_max: int, *, timeout_s: float = BODY_TIMEOUT_S) -> bytes:
    """Return the whole body.

    Raises:
        BodyTooLargeError: more than `bytes_max`, by its announced or by its real length.
        SlowBodyError: it was not there within `timeout_s`.
        MalformedBodyError: the caller hung up.
    """
    announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    if announced.isdigit() and int(announced[:20]) > bytes_max:
        raise BodyTooLargeError(f"at most {bytes_max} bytes")
    try:
        async with asyncio.timeout(timeout_s):
            return await _received(receive, bytes_max)
    except TimeoutError as error:
        # Closing spares us the rest of the body, which would otherwise be read as the next request.
        raise SlowBodyError(f"at most {timeout_s:g} seconds", headers={"Connection": "close"}) from error


async def _received(receive: Receive, bytes_max: int) -> bytes:
    chunks, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise MalformedBodyError("the request ended before its body did")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > bytes_max:
            raise BodyTooLargeError(f"at most {bytes_max} bytes")
        if not message.get("more_body"):
            return b"".join(chunks)


def replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives `body` once more and then what the server has to say."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return pending.pop() if pending else await receive()

    return receive_again


def _refuse_anonymous(scope: Scope) -> None:
    """Refuse before the body is read, so that strangers cannot make us hold bodies."""
    request = _raw_request(scope, b"")
    if not _text(request.values("x-auth-token")):
        parse_authorization(request)


def _chosen(wanted: str, allowed: Sequence[ProjectId], default: ProjectId) -> ProjectId:
    if not allowed:
        raise NoTenantError
    if wanted and wanted not in allowed:
        raise ForbiddenError("X-Project-Id names a project that is not the credential's")
    return ProjectId(wanted) if wanted else default


def _raw_request(scope: Scope, body: bytes) -> RawRequest:
    query = scope["query_string"]
    target = scope["raw_path"] + (b"?" + query if query else b"")
    return RawRequest(scope["method"], target, scope["headers"], hashlib.sha256(body).hexdigest())


def source_of(scope: Scope) -> str:
    """Return the address a request comes from; empty if it has none."""
    client = scope.get("client")
    return client[0] if client else ""


def _text(values: list[bytes]) -> str:
    return values[0].decode("utf-8", "replace") if values else ""
