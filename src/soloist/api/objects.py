"""Finished objects, read by addresses we gave out: whole or in part, as players ask for them. Ours, not the vendor's.

Whoever has such an address may read, without a credential and from any web page: the ticket in it is the permission.
Spec: RFC 9110 §13.1 (conditions), §14 (ranges); API section 4.14.
"""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Protocol

from fastapi import APIRouter, Request, Response

from soloist.api.bounds import Bounds
from soloist.api.download import PacedResponse
from soloist.api.errors import UnsatisfiableRangeError
from soloist.api.routing import new_router
from soloist.wire.byte_range import RangeError, parse_range
from soloist.wire.keys import content_type
from soloist.wire.object_path import PREFIX

ANY_PAGE = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Content-Length, Content-Range, ETag",
    "Cross-Origin-Resource-Policy": "cross-origin",
    # What a browser's own player needs that shows an object alone.
    "Content-Security-Policy": "default-src 'none'; media-src 'self'; style-src 'unsafe-inline'",
}


class Reading(Protocol):
    """An object that can be read."""

    @property
    def size(self) -> int:
        """In bytes."""

    @property
    def e_tag(self) -> str:
        """With its quotes."""

    @property
    def modified_at(self) -> datetime:
        """When it was put."""

    @property
    def pieces(self) -> Callable[[int, int], AsyncIterator[bytes]]:
        """Yields the bytes from the first index up to, but without, the second."""


class ObjectReader(Protocol):
    """Where objects are read."""

    async def read(self, ticket: str, location: str, bucket: str, key: str) -> Reading:
        """Return the object an address leads to."""


def object_routes(objects: ObjectReader, bounds: Bounds) -> APIRouter:
    """Return the address of objects, which answers GET and HEAD, over `objects`; downloads take from `bounds`."""
    router = new_router("objects")

    async def read_object(request: Request) -> Response:
        found = await objects.read(**request.path_params)
        headers = _headers(found, request.path_params["key"])
        if _has(request, found):
            return Response(status_code=304, headers=headers)
        wanted = _range(request, found)
        start, end = wanted or (0, found.size)
        if wanted:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{found.size}"
        headers["Content-Length"] = str(end - start)
        status = 206 if wanted else 200
        if request.method == "HEAD":
            return Response(status_code=status, headers=headers)
        bucket = "/".join((request.path_params["location"], request.path_params["bucket"]))
        return PacedResponse(found.pieces(start, end), bounds, bucket=bucket, status_code=status, headers=headers)

    # Not among the documented operations: nobody builds such an address, they are given out whole.
    router.add_route(PREFIX + "{ticket}/{location}/{bucket}/{key:path}", read_object, ["GET", "HEAD"])
    return router


def _headers(found: Reading, key: str) -> dict[str, str]:
    return {
        **ANY_PAGE,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Type": content_type(key),
        "ETag": found.e_tag,
        "Last-Modified": format_datetime(found.modified_at.astimezone(UTC), usegmt=True),
        "X-Content-Type-Options": "nosniff",
    }


def _has(request: Request, found: Reading) -> bool:
    """Return whether the caller has this very version already."""
    known = request.headers.get("if-none-match", "")
    return known.strip() == "*" or found.e_tag in (tag.strip().removeprefix("W/") for tag in known.split(","))


def _range(request: Request, found: Reading) -> tuple[int, int] | None:
    """Return the range to send; None for the whole, also if the caller has the beginning of another version."""
    header, version = request.headers.get("range"), request.headers.get("if-range")
    if header is None or (version is not None and version != found.e_tag):
        return None
    try:
        return parse_range(header, found.size)
    except RangeError as error:
        raise UnsatisfiableRangeError(headers={"Content-Range": f"bytes */{found.size}", **ANY_PAGE}) from error
