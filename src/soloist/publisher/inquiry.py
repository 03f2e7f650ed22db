"""What FFmpeg's `whip` muxer keeps to itself, asked of the server once more: why it refused, and who took our place.

Plain HTTP requests of their own; a server that does not answer them has said nothing. Spec: RFC 9725 §4.2 (POST and
DELETE), RFC 9457 (problem details).
"""

import http.client
import json
from urllib.parse import urljoin, urlsplit

from soloist.model.errors import InvalidValueError

TIMEOUT_S = 5.0
GONE_STATUS = 410
DETAIL_LENGTH_MAX = 300
"""What an answer says is shown no longer than this."""

_TRANSPORT = (
    "a=sendonly",
    "a=rtcp-mux",
    "a=ice-ufrag:inqr",
    "a=ice-pwd:inquiryinquiryinquiryinq",
    "a=fingerprint:sha-256 " + ":".join(["00"] * 32),
    "a=setup:active",
)
OFFER = "\r\n".join(
    (
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0 1",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        "c=IN IP4 0.0.0.0",
        "a=mid:0",
        *_TRANSPORT,
        "a=rtpmap:111 opus/48000/2",
        "m=video 9 UDP/TLS/RTP/SAVPF 106",
        "c=IN IP4 0.0.0.0",
        "a=mid:1",
        *_TRANSPORT,
        "a=rtpmap:106 H264/90000",
        "a=fmtp:106 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
        "",
    )
)
"""Offers what a publisher sends; nobody ever connects by it."""


def check_url(url: str) -> None:
    """Return if `url` can be a WHIP endpoint.

    Raises:
        InvalidValueError: it is no http or https URL with a host.
    """
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_good = False
    if not is_good:
        raise InvalidValueError(f"{url} is no WHIP endpoint; give one like https://host/whip/app/room/user")


def refusal_detail(url: str, token: str | None) -> str:
    """Return what the server says against a publisher like ours; empty if it says nothing."""
    answer = _ask("POST", url, token, OFFER.encode())
    if answer is None:
        return ""
    status, location, body = answer
    if status == 201 and location:
        _ask("DELETE", urljoin(url, location), token)
    return _detail(body) if status >= 400 else ""


def farewell(resource_url: str, token: str | None) -> str | None:
    """Return what the server says to a publisher it wants not to come back, ended by it; else end the session.

    None also where the server does not answer, or is one that does not tell.
    """
    answer = _ask("DELETE", resource_url, token)
    return _detail(answer[2]) if answer is not None and answer[0] == GONE_STATUS else None


def status_of(resource_url: str, token: str | None) -> int | None:
    """Return how the server answers GET on a session's URL; None if it does not. Spec: RFC 9725 §4.1."""
    answer = _ask("GET", resource_url, token)
    return None if answer is None else answer[0]


def _ask(method: str, url: str, token: str | None, body: bytes = b"") -> tuple[int, str, bytes] | None:
    """Return status, Location and body of an answer; None without one."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc.rpartition("@")[2], timeout=TIMEOUT_S)
    headers = {"Content-Type": "application/sdp"} if body else {}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), body or None, headers)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Location", ""), answer.read(65_536)
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _detail(body: bytes) -> str:
    """Return the `detail` of problem details as one line."""
    try:
        said = json.loads(body)
    except ValueError:
        return ""
    detail = said.get("detail", "") if isinstance(said, dict) else ""
    return " ".join(str(detail).split())[:DETAIL_LENGTH_MAX]
