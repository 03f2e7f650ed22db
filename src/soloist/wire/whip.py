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

ENDPOINT_ALLOW = "GET, HEAD, OPTIONS, POST"
SESSION_ALLOW = "DELETE, GET, HEAD, OPTIONS, PATCH"
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
    GET = "get"
    OTHER_METHOD = "other method"
    MEDIA_ENDED = "media ended"


SESSION_MOVES: dict[tuple[SessionState, SessionInput], tuple[SessionState, int]] = {
    (SessionState.OPEN, SessionInput.DELETE): (SessionState.ENDED, 200),
    (SessionState.OPEN, SessionInput.TRICKLE): (SessionState.OPEN, 204),
    (SessionState.OPEN, SessionInput.RESTART): (SessionState.OPEN, 200),
    (SessionState.OPEN, SessionInput.OPTIONS): (SessionState.OPEN, 200),
    (SessionState.OPEN, SessionInput.GET): (SessionState.OPEN, 204),
    (SessionState.OPEN, SessionInput.OTHER_METHOD): (SessionState.OPEN, 405),
    (SessionState.OPEN, SessionInput.MEDIA_ENDED): (SessionState.ENDED, 0),
    (SessionState.ENDED, SessionInput.DELETE): (SessionState.ENDED, 404),
    (SessionState.ENDED, SessionInput.TRICKLE): (SessionState.ENDED, 404),
    (SessionState.ENDED, SessionInput.RESTART): (SessionState.ENDED, 404),
    (SessionState.ENDED, SessionInput.OPTIONS): (SessionState.ENDED, 404),
    (SessionState.ENDED, SessionInput.GET): (SessionState.ENDED, 404),
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


@dataclass(frozen=True, slots=True)
class IceRestart:
    """What a publisher asks for by a PATCH with credentials that are new."""

    ufrag: str
    pwd: str


class WhipSession:
    """One session resource: its state, entity tag and the ICE names of its publisher."""

    def __init__(self, etag: str, offer_ufrag: str) -> None:
        """`etag` is random and unquoted."""
        self.state = SessionState.OPEN
        self.etag = etag
        self._ufrags = [offer_ufrag]
        """Of the ICE session now, last, and of those before it."""

    def answer(self, request: WhipRequest) -> WhipResponse | IceRestart:
        """Answer a request on the session URL; the caller ends the media when `state` becomes ENDED.

        A restart of ICE is the caller's to carry out: `restarted` is its answer; until then the session is as it was.

        Raises:
            WhipError: the request does not fit (the client's fault); the session stays as it is.
        Spec: RFC 9725 §4.1 (GET), §4.2 (DELETE), §4.3 (PATCH).
        """
        if request.method == "PATCH":
            return self._patch(request)
        whip_input = _INPUT_OF_METHOD.get(request.method, SessionInput.OTHER_METHOD)
        status = self._move(whip_input)
        if status == 405:
            raise WhipError(405, "a WHIP session takes PATCH and DELETE", (("Allow", SESSION_ALLOW),))
        if whip_input is SessionInput.OPTIONS:
            return session_options()
        return WhipResponse(status, CORS_HEADERS)

    def restarted(self, restart: IceRestart, etag: str, fragment: str) -> WhipResponse:
        """Take a restart as done; `fragment` has the server's new credentials, `etag` is new, random and unquoted.

        Raises:
            WhipError: 404, the session has ended meanwhile.
        Spec: RFC 9725 §4.3.3; RFC 8840 §9.
        """
        status = self._move(SessionInput.RESTART)
        self.etag = etag
        self._ufrags.append(restart.ufrag)
        headers = (("Content-Type", SDPFRAG), ("ETag", f'"{etag}"'), *CORS_HEADERS)
        return WhipResponse(status, headers, fragment.encode())

    def end(self) -> None:
        """Note that the media has ended by itself; the resource is gone."""
        self._move(SessionInput.MEDIA_ENDED)

    def _patch(self, request: WhipRequest) -> WhipResponse | IceRestart:
        """Take trickled candidates, which an ICE-lite server learns from the checks themselves and so discards."""
        if self.state is SessionState.ENDED:
            self._move(SessionInput.TRICKLE)
        if request.media_type != SDPFRAG:
            raise WhipError(415, f"a PATCH carries Content-Type {SDPFRAG}", (("Accept-Patch", SDPFRAG),))
        try:
            fragment = parse_fragment(request.body)
        except SdpError as error:
            raise WhipError(400, f"the SDP fragment cannot be read: {error}") from error
        *former, current = self._ufrags
        if fragment.ufrag in former:
            raise _session_changed()
        is_plain = fragment.ufrag == current or (fragment.ufrag is None and not former)
        self._check_precondition(request.headers.get("if-match"), may_be_absent=is_plain)
        if fragment.ufrag not in (None, current):
            return IceRestart(fragment.ufrag, fragment.pwd or "")
        return WhipResponse(self._move(SessionInput.TRICKLE), CORS_HEADERS)

    def _check_precondition(self, if_match: str | None, *, may_be_absent: bool) -> None:
        """Hold If-Match against the entity tag.

        Deviation: candidates without If-Match pass where the RFC has 428, if it is plain to which ICE session they
        belong: their ufrag says so, or there has only been one. Clients older than the header send none (rule R55).
        Spec: RFC 9725 §4.3.1 to §4.3.3; RFC 9110 §13.1.1; RFC 6585 §3 (428).
        """
        if if_match is None:
            if may_be_absent:
                return
            raise WhipError(428, "send If-Match: * to restart ICE, the latest ETag with candidates")
        tags = [tag.strip() for tag in if_match.split(",")]
        if tags not in (["*"], ['"*"']) and f'"{self.etag}"' not in tags:
            raise _session_changed()

    def _move(self, whip_input: SessionInput) -> int:
        self.state, status = SESSION_MOVES[self.state, whip_input]
        if status == 404:
            raise no_such_session()
        return status


_INPUT_OF_METHOD = {
    "DELETE": SessionInput.DELETE,
    "OPTIONS": SessionInput.OPTIONS,
    "GET": SessionInput.GET,
    "HEAD": SessionInput.GET,
}


def _session_changed() -> WhipError:
    return WhipError(412, "the ICE session has changed; send the latest ETag in If-Match")


def no_such_session() -> WhipError:
    """Return the answer for a session URL that names nothing, or something that has ended."""
    return WhipError(404, "no such session; it has ended or never was: POST a new offer")


def session_replaced() -> WhipError:
    """Return the answer for a session whose place another publisher took: its client should not come back."""
    return WhipError(410, "another publisher of this user and stream has taken the place of this session")


def session_removed() -> WhipError:
    """Return the answer for a session whose user was sent out of the room: its client should not come back."""
    return WhipError(410, "the room was dismissed, or its user removed; join again only if you are asked to")


def parse_offer(request: WhipRequest) -> OfferSummary:
    """Return what a POST offers.

    Raises:
        WhipError: 405 another method; 406 an SDP answer is not acceptable to the client; 413 too long; 415 another
            Content-Type; 400 malformed SDP; 422 more than one audio or video track, or nothing that can be recorded.
    Spec: RFC 9725 §4.2, §4.4.2, §4.4.3; RFC 9110 §12.5.1 (Accept).
    """
    if request.method != "POST":
        raise WhipError(405, "a WHIP endpoint takes POST", (("Allow", ENDPOINT_ALLOW),))
    if request.media_type != SDP:
        raise WhipError(415, f"a POST carries Content-Type {SDP}", (("Accept-Post", SDP),))
    if not _accepts_sdp(request.headers.get("accept", "")):
        raise WhipError(406, f"the answer is {SDP}; name it in Accept, or send no Accept")
    if len(request.body) > OFFER_BYTES_MAX:
        raise WhipError(413, f"an offer has at most {OFFER_BYTES_MAX} bytes")
    try:
        offer = summarise_offer(request.body)
    except SdpError as error:
        raise WhipError(400, f"the offer cannot be read: {error}") from error
    _check_recordable(offer)
    return offer


def _accepts_sdp(accept: str) -> bool:
    """Tell whether an Accept header leaves room for an SDP answer."""
    ranges = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    return not any(ranges) or bool({SDP, "application/*", "*/*"} & set(ranges))


def _check_recordable(offer: OfferSummary) -> None:
    if not offer.sending:
        raise WhipError(422, "the offer sends nothing; make at least one audio or video section sendonly")
    if max(offer.count("audio"), offer.count("video")) > 1:
        raise WhipError(422, "WHIP carries at most one audio and one video track; publish a second stream separately")
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


def endpoint_get() -> WhipResponse:
    """Return the answer to GET on an endpoint, which has no representation. Spec: RFC 9725 §4.1."""
    return WhipResponse(204, CORS_HEADERS)


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
    428: "Precondition Required",
    503: "Service Unavailable",
}
