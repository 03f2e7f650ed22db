"""Verification of AK/SK request signatures (SDK-HMAC-SHA256), sans-IO, on raw bytes.

Knows the canonical form of a request and how its signature is checked. Does not know who owns a key, what the request
asks for, or what time it is. Give it the request target and headers exactly as they came by the wire: a framework that
decodes or normalises first makes `%2F` and dot segments unverifiable.
Spec: API sections 9.2 to 9.4. Deviation: invalid UTF-8 in a path is kept, where the SDK's signer replaces it.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote_from_bytes, unquote_to_bytes

from soloist.model.errors import RequestError

ALGORITHM = "SDK-HMAC-SHA256"
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
SKEW_MAX = timedelta(minutes=15)

_AUTHORIZATION = re.compile(
    r"(?P<algorithm>[A-Za-z0-9-]+)\s+Access=(?P<access>[^,\s\x00-\x1f\x7f]+)\s*,"
    r"\s*SignedHeaders=(?P<headers>[^,\s]+)\s*,\s*Signature=(?P<signature>[^,\s]+)"
)
_DATE = re.compile(r"[0-9]{8}T[0-9]{6}Z")


class SignatureError(RequestError):
    """The request is not signed as it must be; sign it with the access key's secret."""


class SignatureMissingError(SignatureError):
    """The request carries no Authorization header; sign it or send X-Auth-Token."""


class SignatureMalformedError(SignatureError):
    """The Authorization header cannot be read; it must be SDK-HMAC-SHA256 Access=, SignedHeaders=, Signature=."""


class SignatureExpiredError(SignatureError):
    """X-Sdk-Date is unsigned, unreadable or over 15 minutes from the server's clock; set the clock and sign again."""


class SignatureMismatchError(SignatureError):
    """The signature does not belong to this request and key: verify aksk signature fail."""


@dataclass(frozen=True, slots=True)
class RawRequest:
    """A request as it came by the wire, before any decoding."""

    method: str
    target: bytes
    """Path and query as on the request line, still percent-encoded."""
    headers: Sequence[tuple[bytes, bytes]]
    """Names in any case; a repeated name stands once per value, in wire order."""
    body_sha256: str
    """Lower-case hex SHA-256 of the body bytes that were read."""

    def values(self, name: str) -> list[bytes]:
        """Return the trimmed values of header `name` (lower case), in wire order; empty if it is absent."""
        wanted = name.encode("utf-8")
        return [value.strip() for key, value in self.headers if key.lower() == wanted]


@dataclass(frozen=True, slots=True)
class Authorization:
    """The parts of an Authorization header."""

    access_key: str
    signed_headers: tuple[str, ...]
    """Lower-case names, in the order they are hashed."""
    signature: str


def parse_authorization(request: RawRequest) -> Authorization:
    """Return the parts of the request's Authorization header; optional spaces are allowed.

    Raises:
        SignatureMissingError: there is no such header, or it is empty.
        SignatureMalformedError: there are several, its algorithm is not ours, or a part is missing.
    Spec: API sections 9.3, 9.4.2.
    """
    values = request.values("authorization")
    if not any(values):
        raise SignatureMissingError
    match = _AUTHORIZATION.fullmatch(values[0].decode("utf-8", "replace")) if len(values) == 1 else None
    if match is None or match["algorithm"] != ALGORITHM:
        raise SignatureMalformedError
    return Authorization(match["access"], tuple(match["headers"].lower().split(";")), match["signature"])


def verify_signature(
    request: RawRequest,
    authorization: Authorization,
    secret: str,
    now: datetime,
    *,
    skew_max: timedelta = SKEW_MAX,
    with_unsigned_payload: bool = False,
) -> None:
    """Return if `authorization` signs exactly this request under `secret` at about `now` (aware).

    A repeated signature is no fault: dates have a resolution of one second and there is no nonce.

    Raises:
        SignatureExpiredError: the signed date is absent, unreadable, or further than `skew_max` from `now`.
        SignatureMismatchError: anything signed differs, a signed header is absent, or the body hash is not the body's.
    Spec: API section 9.4. Deviation: `UNSIGNED-PAYLOAD` is refused unless `with_unsigned_payload`.
    """
    signed_at, date = _signed_date(request, authorization)
    if abs(now - signed_at) > skew_max:
        raise SignatureExpiredError
    payload_hash = _payload_hash(request, with_unsigned_payload=with_unsigned_payload)
    canonical = canonical_request(request, authorization.signed_headers, payload_hash)
    wanted = sign(canonical, date, secret)
    if not hmac.compare_digest(wanted.encode(), authorization.signature.encode()):
        raise SignatureMismatchError


def sign(canonical: bytes, date: str, secret: str) -> str:
    """Return the lower-case hex signature of a canonical request dated `date` (`YYYYMMDDTHHMMSSZ`)."""
    text = f"{ALGORITHM}\n{date}\n{hashlib.sha256(canonical).hexdigest()}"
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def canonical_request(request: RawRequest, signed_headers: Iterable[str], payload_hash: str) -> bytes:
    """Return the six parts, joined by line feeds, whose hash is signed.

    Raises:
        SignatureMismatchError: a header of `signed_headers` is absent from the request.
    Spec: API section 9.2.
    """
    names = tuple(signed_headers)
    path, _, query = request.target.partition(b"?")
    lines = b"".join(_header_lines(request, name) for name in names)
    method = request.method.upper().encode()
    return b"\n".join(
        (method, _canonical_path(path), _canonical_query(query), lines, ";".join(names).encode(), payload_hash.encode())
    )


def _header_lines(request: RawRequest, name: str) -> bytes:
    """Return one line per value: signers of other languages repeat the name for repeated headers."""
    values = request.values(name)
    if not values:
        raise SignatureMismatchError
    return b"".join(name.encode() + b":" + value + b"\n" for value in values)


def _canonical_path(path: bytes) -> bytes:
    """Decode the whole path once, then split: an id's `%2F` is a separator to the SDK's signer."""
    encoded = "/".join(quote_from_bytes(part, safe="~") for part in unquote_to_bytes(path).split(b"/"))
    return (encoded if encoded.endswith("/") else encoded + "/").encode()


def _canonical_query(query: bytes) -> bytes:
    pairs = (part.partition(b"=") for part in query.split(b"&") if part)
    decoded = sorted((unquote_to_bytes(key), unquote_to_bytes(value)) for key, _, value in pairs)
    encoded = (f"{quote_from_bytes(key, safe='~')}={quote_from_bytes(value, safe='~')}" for key, value in decoded)
    return "&".join(encoded).encode()


def _payload_hash(request: RawRequest, *, with_unsigned_payload: bool) -> str:
    """Return what stands for the body: its hash, or the caller's X-Sdk-Content-Sha256 once that is known to hold."""
    claims = request.values("x-sdk-content-sha256")
    if not claims or request.body_sha256 == EMPTY_SHA256:
        return request.body_sha256
    claim = claims[0].decode("ascii", "replace")
    if claim == UNSIGNED_PAYLOAD and with_unsigned_payload:
        return claim
    if claim.lower() != request.body_sha256:
        raise SignatureMismatchError
    return claim


def _signed_date(request: RawRequest, authorization: Authorization) -> tuple[datetime, str]:
    """Return the one signed X-Sdk-Date, as a moment and as it was written."""
    dates = request.values("x-sdk-date")
    if "x-sdk-date" not in authorization.signed_headers or len(dates) != 1:
        raise SignatureExpiredError
    text = dates[0].decode("ascii", "replace")
    if not _DATE.fullmatch(text):
        raise SignatureExpiredError
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC), text
    except ValueError as error:
        raise SignatureExpiredError from error
