"""WHIP as a server speaks it: HTTP request values in, response values and effects out.

States of a session, in order: OPEN (answered; media may flow), ENDED (deleted or its media gone; final).
Only `SESSION_MOVES` moves them. This file knows no socket, no media core and no authentication: the shell hands in what
the core said and what is random. Spec: RFC 9725; RFC 8840 (sdpfrag); rule R55 (clients older than the RFC).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from soloist.model.errors import RequestError
from soloist.wire.sdp import OfferSummary, SdpError, parse_fragment, summarise_offer

SDP = "application/sdp"
SDPFRAG = "application/trickle-ice-sdpfrag"
OFFER_BYTES_MAX = 65_536
"""A browser's largest offer (all codecs, simulcast) is about 12 KB."""

ENDPOINT_ALLOW = "OPTIONS, POST"
SESSION_ALLOW = "DELETE, OPTIONS, PATCH"
CORS_HEADERS = (
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Expose-Headers", "Accept-Patch, Accept-Post, ETag, Link, Location"),
)


class SessionState(StrEnum):
    """Where a WHIP session stands."""

    OPEN = "open"
    ENDED = "ended"


class SessionInput(StrEnum):
    """What a session can be told."""

    DELETE = "delete"
    TRICKLE = "trickle"
    RESTART = "restart"
    OPTIONS = "options"
    OTHER_METHOD = "other method"
    MEDIA_ENDED = "media ended"


SESSION_MOVES: dict[tuple[SessionState, SessionInput], tuple[SessionState, int]] = {
    (SessionState.OPEN, SessionInput.DELETE): (SessionState.ENDED, 200),
    (SessionState.OPEN, SessionInput.TRICKLE): (SessionState.OPEN, 204),
    # Only one of trickle and restart is supported, and then the other is 422 (RFC 9725 §4.3.1).
    (SessionState.OPEN, SessionInput.RESTART): (SessionState.OPEN, 422),
    (SessionState.OPEN, SessionInput.OPTIONS): (SessionState.OPEN, 200),
    (SessionState.OPEN, SessionInput.OTHER_METHOD): (SessionState.OPEN, 405),
    (SessionState.OPEN, SessionInput.MEDIA_ENDED): (SessionState.ENDED, 0),
    (SessionState.ENDED, SessionInput.DELETE): (SessionState.ENDED, 404),
    (SessionState.ENDED, SessionInput.TRICKLE): (SessionState.ENDED, 404),
    (SessionState.ENDED, SessionInput.RESTART): (SessionState.ENDED, 404),
    (SessionState.ENDED, SessionInput.OPTIONS): (SessionState.ENDED, 404),
    (SessionState.ENDED, SessionInput.OTHER_METHOD): (SessionState.ENDED, 404),
    (SessionState.ENDED, SessionInput.MEDIA_ENDED): (SessionState.ENDED, 0),
}
"""The whole table: next state and HTTP status; 0 where nobody asked over HTTP."""


class WhipError(RequestError):
    """The WHIP request cannot be carried out; the answer names the remedy."""

    def __init__(self, status: int, message: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


@dataclass(frozen=True, slots=True)
class WhipRequest:
    """One HTTP request; header names in lower case."""

    method: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def media_type(self) -> str:
        """The Content-Type without its parameters, in lower case; empty if absent."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class WhipResponse:
    """One HTTP response; a header may occur several times."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server handed to publishers. Spec: RFC 9725 §4.6."""

    url: str
    """A stun:, turn: or turns: URL (RFC 7064, RFC 7065)."""
    username: str = ""
    credential: str = ""


class WhipSession:
    """One session resource: its state, entity tag and the ICE name of its publisher."""

    def __init__(self, etag: str, offer_ufrag: str) -> None:
        """`etag` is random and unquoted."""
        self.state = SessionState.OPEN
        self.etag = etag
        self._offer_ufrag = offer_ufrag

    def answer(self, request: WhipRequest) -> WhipResponse:
        """Answer a request on the session URL; the caller ends the media when `state` becomes ENDED.

        Raises:
            WhipError: the request does not fit (the client's fault); the session stays as it is.
        Spec: RFC 9725 §4.2 (DELETE, 405), §4.3 (PATCH).
        """
        if request.method == "PATCH":
            return self._patch(request)
        whip_input = {"DELETE": SessionInput.DELETE, "OPTIONS": SessionInput.OPTIONS}.get(
            request.method, SessionInput.OTHER_METHOD
        )
        status = self._move(whip_input)
        if status == 405:
            raise WhipError(405, "a WHIP session takes PATCH and DELETE", (("Allow", SESSION_ALLOW),))
        if whip_input is SessionInput.OPTIONS:
            return session_options()
        return WhipResponse(status, CORS_HEADERS)

    def end(self) -> None:
        """Note that the media has ended by itself; the resource is gone."""
        self._move(SessionInput.MEDIA_ENDED)

    def _patch(self, request: WhipRequest) -> WhipResponse:
        """Take trickled candidates, which an ICE-lite server learns from the checks themselves and so discards."""
        if self.state is SessionState.ENDED:
            self._move(SessionInput.TRICKLE)
        if request.media_type != SDPFRAG:
            raise WhipError(415, f"a PATCH carries Content-Type {SDPFRAG}", (("Accept-Patch", SDPFRAG),))
        try:
            fragment = parse_fragment(request.body)
        except SdpError as error:
            raise WhipError(400, f"the SDP fragment cannot be read: {error}") from error
        is_restart = fragment.ufrag is not None and fragment.ufrag != self._offer_ufrag
        self._check_precondition(request.headers.get("if-match"), is_restart=is_restart)
        status = self._move(SessionInput.RESTART if is_restart else SessionInput.TRICKLE)
        if is_restart:
            raise WhipError(status, "ICE restart is not supported; DELETE this session and POST a new offer")
        return WhipResponse(status, CORS_HEADERS)

    def _check_precondition(self, if_match: str | None, *, is_restart: bool) -> None:
        """Hold If-Match against the entity tag. Spec: RFC 9725 §4.3.2 and §4.3.3; RFC 9110 §13.1.1.

        Deviation: a request without If-Match passes, where the RFC has 428, because clients written before the header
        was required send none (rule R55). Their candidates cannot be those of another ICE session: there is only one,
        named by its ufrag.
        """
        if if_match is None:
            return
        tags = [tag.strip() for tag in if_match.split(",")]
        is_any = tags in (["*"], ['"*"'])
        if not is_any and f'"{self.etag}"' not in tags:
            raise WhipError(412, "the ICE session has changed; send the latest ETag in If-Match")
        if is_restart and not is_any:
            raise WhipError(412, "an ICE restart carries If-Match: *")

    def _move(self, whip_input: SessionInput) -> int:
        self.state, status = SESSION_MOVES[self.state, whip_input]
        if status == 404:
            raise no_such_session()
        return status


def no_such_session() -> WhipError:
    """Return the answer for a session URL that names nothing, or something that has ended."""
    return WhipError(404, "no such session; it has ended or never was: POST a new offer")


def session_replaced() -> WhipError:
    """Return the answer for a session whose place another publisher took: its client should not come back."""
    return WhipError(410, "another publisher of this user and stream has taken the place of this session")


def parse_offer(request: WhipRequest) -> OfferSummary:
    """Return what a POST offers.

    Raises:
        WhipError: 405 another method; 413 too long; 415 another Content-Type; 400 malformed SDP; 406 more than one
            audio or video track; 422 nothing in it that can be recorded.
    Spec: RFC 9725 §4.2, §4.4.2.
    """
    if request.method != "POST":
        raise WhipError(405, "a WHIP endpoint takes POST and OPTIONS", (("Allow", ENDPOINT_ALLOW),))
    if request.media_type != SDP:
        raise WhipError(415, f"a POST carries Content-Type {SDP}", (("Accept-Post", SDP),))
    if len(request.body) > OFFER_BYTES_MAX:
        raise WhipError(413, f"an offer has at most {OFFER_BYTES_MAX} bytes")
    try:
        offer = summarise_offer(request.body)
    except SdpError as error:
        raise WhipError(400, f"the offer cannot be read: {error}") from error
    _check_recordable(offer)
    return offer


def _check_recordable(offer: OfferSummary) -> None:
    if not offer.sending:
        raise WhipError(422, "the offer sends nothing; make at least one audio or video section sendonly")
    if max(offer.count("audio"), offer.count("video")) > 1:
        raise WhipError(406, "WHIP carries at most one audio and one video track; publish a second stream separately")
    for section in offer.sending:
        if not section.is_recordable:
            raise WhipError(
                422, f"no codec of the {section.kind} section can be recorded; offer Opus and H264, VP8, VP9 or AV1"
            )


def created(location: str, etag: str, answer: str, ice_servers: Sequence[IceServer] = ()) -> WhipResponse:
    """Return the 201 of a POST. Spec: RFC 9725 §4.2, §4.3.1 (ETag), §4.6 (Link)."""
    headers = (
        ("Content-Type", SDP),
        ("Location", location),
        ("ETag", f'"{etag}"'),
        ("Accept-Patch", SDPFRAG),
        *(("Link", render_ice_link(server)) for server in ice_servers),
        *CORS_HEADERS,
    )
    return WhipResponse(201, headers, answer.encode())


def endpoint_options() -> WhipResponse:
    """Return the answer to OPTIONS on an endpoint, CORS preflight or not. Spec: RFC 9725 §4.2."""
    return _options_response(ENDPOINT_ALLOW, "POST", (("Accept-Post", SDP),))


def session_options() -> WhipResponse:
    """Return the answer to OPTIONS on a session URL, CORS preflight or not. Spec: RFC 9725 §4.2, §4.3."""
    return _options_response(SESSION_ALLOW, "DELETE, PATCH", (("Accept-Patch", SDPFRAG),))


def refused(error: WhipError) -> WhipResponse:
    """Return an error as a response: problem details whose `detail` names the remedy. Spec: RFC 9457."""
    problem = {"status": error.status, "title": _TITLES.get(error.status, "Error"), "detail": str(error)}
    headers = (("Content-Type", "application/problem+json"), *error.headers, *CORS_HEADERS)
    return WhipResponse(error.status, headers, json.dumps(problem).encode())


def render_ice_link(server: IceServer) -> str:
    """Return a Link header value. Spec: RFC 9725 §4.6; RFC 8288."""
    link = f'<{server.url}>; rel="ice-server"'
    if server.username:
        username, credential = _escaped(server.username), _escaped(server.credential)
        link += f'; username="{username}"; credential="{credential}"; credential-type="password"'
    return link


def _escaped(text: str) -> str:
    """Return `text` as it stands within a quoted string. Spec: RFC 9110 §5.6.4."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _options_response(allow: str, methods: str, more: tuple[tuple[str, str], ...]) -> WhipResponse:
    cors = (
        ("Access-Control-Allow-Methods", methods),
        ("Access-Control-Allow-Headers", "Authorization, Content-Type, If-Match"),
        ("Access-Control-Max-Age", "86400"),
    )
    return WhipResponse(200, (("Allow", allow), *more, *cors, *CORS_HEADERS))


_TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    408: "Request Timeout",
    410: "Gone",
    412: "Precondition Failed",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    503: "Service Unavailable",
}
