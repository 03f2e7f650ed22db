"""Our own signed addresses of objects: `/soloist/v1/objects/<ticket>/<location>/<bucket>/<key>`.

A ticket is an end in Unix seconds and a signature over it, location, bucket and key. It stands before the key, so that
the relative names in a playlist lead to addresses that carry it too: the ticket of a playlist opens its segments and
nothing else. Knows no clock and no disk. Spec: API sections 4.14, 6.2 (segment names).
"""

import hashlib
import hmac
import re
from datetime import datetime
from urllib.parse import quote

from soloist.model.errors import RequestError
from soloist.model.rule import RecordFormat
from soloist.wire.keys import EXTENSIONS

PREFIX = "/soloist/v1/objects/"
PLAYLIST = EXTENSIONS[RecordFormat.HLS]

_SEGMENT = re.compile(r"_(\d{5,9}\.(ts|m4s)|init_\d{1,9}\.mp4)$")
"""What follows a playlist's stem in the names of its segments and initialisations…"""
_EPOCH = re.compile(r"_e\d{1,9}$")
"""…with this between them after a take-over."""
_TICKET = re.compile(r"([1-9]\d{0,11})-([0-9a-f]{64})")


class TicketError(RequestError):
    """This address is not one we gave out, or its time is over; take a new one from the API or the next callback."""


def object_path(secret: str, *, location: str, bucket: str, key: str, ends_at: datetime) -> str:
    """Return the path of an object that whoever has it may read until `ends_at` (aware)."""
    ends_s = int(ends_at.timestamp())
    ticket = f"{ends_s}-{_sign(secret, ends_s, location, bucket, key)}"
    return f"{PREFIX}{ticket}/{quote(location, safe='')}/{quote(bucket, safe='')}/{quote(key)}"


def check_ticket(secret: str, ticket: str, *, location: str, bucket: str, key: str, now: datetime) -> None:
    """Return if `ticket` opens this object at `now` (aware): it names it, or the playlist whose segment it is.

    Raises:
        TicketError: it does not.
    """
    match = _TICKET.fullmatch(ticket)
    if match is None:
        raise TicketError
    ends_s, signature = int(match[1]), match[2]
    opened = [hmac.compare_digest(_sign(secret, ends_s, location, bucket, name), signature) for name in _named_by(key)]
    if not any(opened) or now.timestamp() >= ends_s:
        raise TicketError


def hide_ticket(path: str) -> str:
    """Return a path as it may be logged: without its ticket, by which anybody could read."""
    if not path.startswith(PREFIX):
        return path
    _, slash, rest = path.removeprefix(PREFIX).partition("/")
    return f"{PREFIX}…{slash}{rest}"


def _named_by(key: str) -> list[str]:
    """Return the keys whose tickets open this one."""
    stem, count = _SEGMENT.subn("", key)
    stems = {stem, _EPOCH.sub("", stem)} if count else set()
    return [key, *(found + PLAYLIST for found in stems)]


def _sign(secret: str, ends_s: int, location: str, bucket: str, key: str) -> str:  # noqa: PLR0917 - in signed order
    """Return 64 hex digits; a location has no slash and a bucket none either, so that no two addresses share a text."""
    text = f"soloist-object-1\n{ends_s}\n{location}/{bucket}/{key}"
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
