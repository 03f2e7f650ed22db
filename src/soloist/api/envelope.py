"""What surrounds every request: its id, its log line, its metrics, and an answer to whatever goes wrong inside.

Outermost of the edge. Knows nothing of routes or credentials. Logs the path but neither query, headers, body nor the
caller's address. Spec: API section 1 (request id).
"""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from traceback import format_exception
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from soloist.api.errors import (
    AmbiguousPathError,
    BodyTooLargeError,
    BusyError,
    ForeignHostError,
    NeedlessEncodingError,
    SlowBodyError,
    fault_of,
    render_error,
)
from soloist.api.request_log import RequestLog
from soloist.model.errors import QuotaError
from soloist.wire.object_path import hide_ticket

PATH_LENGTH_MAX = 200

STRICT = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
"""For answers of which nothing is to be displayed, run or embedded; pages and objects have their own."""
ONLY_HTTPS = (b"strict-transport-security", b"max-age=31536000")
"""Spec: RFC 6797 §7.2: never over plain HTTP."""

LIMITS: Mapping[type[Exception], str] = {
    BodyTooLargeError: "large_body",
    SlowBodyError: "slow_body",
    NeedlessEncodingError: "odd_path",
    AmbiguousPathError: "odd_path",
    ForeignHostError: "foreign_host",
    QuotaError: "quota",
}
"""Refusals that nobody nearer to their cause counts."""

log = structlog.get_logger("soloist.api")


class ExactName(bytes):
    """A header name that stays as it is spelled: the HTTP server writes `name.lower()`, the vendor `X-request-Id`."""

    def lower(self) -> "ExactName":
        """Return itself."""
        return self


REQUEST_ID_HEADER = ExactName(b"X-request-Id")


class Envelope:
    """ASGI middleware; see the module."""

    def __init__(
        self, app: ASGIApp, *, registry: CollectorRegistry, on_refusal: Callable[[str], None] = lambda _: None
    ) -> None:
        """`on_refusal` is told the name of each limit that ended a request here."""
        self._app = app
        self._on_refusal = on_refusal
        self._lines = RequestLog()
        self._requests = Counter(
            "soloist_http_requests", "Requests answered", ["method", "route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "soloist_http_request_seconds", "Time from request to answer", ["method", "route"], registry=registry
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, send)
        try:
            await self._app(scope, receive, exchange.send)
        except Exception as error:  # noqa: BLE001 - the last resort: every fault gets an answer and a log line
            if reason := LIMITS.get(type(error)):
                self._on_refusal(reason)
            await exchange.fail(error, receive)
        finally:
            self._record(exchange)

    def _record(self, exchange: "_Exchange") -> None:
        method, route, status = exchange.method, exchange.route, str(exchange.status)
        seconds = time.monotonic() - exchange.started
        self._requests.labels(method, route, status).inc()
        self._seconds.labels(method, route).observe(seconds)
        self._lines.tell(
            exchange.status,
            request_id=exchange.request_id,
            method=method,
            path=exchange.path,
            duration_ms=round(seconds * 1000, 1),
        )


class _Exchange:
    """One request and what has been answered to it."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.request_id = uuid.uuid4().hex
        self.started = time.monotonic()
        self.status = 0
        """0 until an answer was begun; stays 0 if the caller hung up first."""
        self.method: str = scope["method"]
        # Still percent-encoded: a decoded path could carry a line feed into the log.
        self.path: str = hide_ticket(scope["raw_path"].decode("ascii", "replace"))[:PATH_LENGTH_MAX]
        self._scope = scope
        self._send = send
        state: MutableMapping[str, Any] = scope.setdefault("state", {})
        state["request_id"] = self.request_id

    @property
    def route(self) -> str:
        """The template that matched, never the path itself: labels must stay few."""
        return getattr(self._scope.get("route"), "path", "unmatched")

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            id_header = (REQUEST_ID_HEADER, self.request_id.encode())
            headers = [*message.get("headers", ())]
            message = {**message, "headers": [*headers, *self._defaults(headers), id_header]}
        await self._send(message)

    def _defaults(self, headers: list[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
        """Yield what tells browsers to be strict, unless the answer says something else about it itself."""
        said = {name.lower() for name, _ in headers}
        yield from (header for header in STRICT if header[0] not in said)
        if self._scope.get("scheme") == "https":
            yield ONLY_HTTPS

    async def fail(self, error: Exception, receive: Receive) -> None:
        if fault_of(error).status >= 500 and not isinstance(error, BusyError):
            # As text, because a renderer that shows local variables would show tokens and keys.
            log.error("request failed", request_id=self.request_id, traceback="".join(format_exception(error)))
        if self.status:
            raise error
        await render_error(error, self.request_id)(self._scope, receive, self.send)
