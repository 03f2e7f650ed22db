"""What is settled before anybody's credential is looked at: who asks, by which address, and whether the path is plain.

Rewrites `client` and `scheme` of requests that came through the operator's proxies, so that all behind it count the
real caller. Refuses paths that a proxy may read otherwise than we do, and in development mode names and pages that are
not this machine's: a stranger's page could otherwise reach public credentials by a name that leads to loopback (DNS
rebinding). Spec: RFC 9110 §7.4 (421), RFC 6454 §7 (Origin).
"""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from soloist.api.bounds import Pool
from soloist.api.errors import AmbiguousPathError, ForbiddenError, ForeignHostError, NeedlessEncodingError
from soloist.wire.raw_path import has_odd_segments, is_encoded_needlessly
from soloist.wire.source import Network, client_of, is_within, limit_key, parse_address, parse_networks

CHANGES_NOTHING = ("GET", "HEAD", "OPTIONS")


class Threshold:
    """ASGI middleware; see the module."""

    def __init__(self, app: ASGIApp, *, requests: Pool, proxies: Sequence[str] = (), is_dev: bool = False) -> None:
        """`proxies` are the networks whose X-Forwarded-For, Forwarded and X-Forwarded-Proto are believed.

        Those behind them have no connections of their own to be bounded; their requests take from `requests`.
        """
        self._requests = requests
        self._app = app
        self._proxies = parse_networks(proxies)
        self._is_dev = is_dev

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through whose origin is settled."""
        if scope["type"] == "http":
            is_behind = bool(self._proxies) and _see_through(scope, self._proxies)
            if is_encoded_needlessly(scope["raw_path"]):
                raise NeedlessEncodingError
            if has_odd_segments(scope["raw_path"]):
                raise AmbiguousPathError
            if self._is_dev:
                _check_host(scope)
            if is_behind:
                with self._requests.holding(limited_source(scope)) as held:
                    held.take(1)
                    await self._app(scope, receive, send)
                return
        await self._app(scope, receive, send)


def source_of(scope: Scope) -> str:
    """Return the address a request comes from; empty if it has none."""
    client = scope.get("client")
    return client[0] if client else ""


def limited_source(scope: Scope) -> str:
    """Return what limits count a request's source as."""
    return _limit_key(source_of(scope))


_limit_key = lru_cache(maxsize=4096)(limit_key)


def _see_through(scope: Scope, proxies: Sequence[Network]) -> bool:
    """Put the real caller and the scheme it used in place of a trusted proxy's; tell whether it came through one."""
    peer = source_of(scope)
    if not is_within(parse_address(peer), proxies):
        return False
    client = client_of(peer, _values(scope, b"x-forwarded-for"), _values(scope, b"forwarded"), proxies)
    if client != peer:
        scope["client"] = (client, 0)
    protocols = _values(scope, b"x-forwarded-proto")
    if protocols and protocols[-1].rpartition(",")[2].strip().lower() == "https":
        scope["scheme"] = "https"
    return client != peer


def _check_host(scope: Scope) -> None:
    hosts = _values(scope, b"host")
    if not all(_is_this_machine(f"//{host}") for host in hosts):
        raise ForeignHostError
    if scope["method"] in CHANGES_NOTHING:
        return
    if not all(_is_this_machine(origin) for origin in _values(scope, b"origin")):
        raise ForbiddenError("in development mode only pages of this machine may change anything")


def _is_this_machine(url: str) -> bool:
    try:
        name = urlsplit(url).hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]
