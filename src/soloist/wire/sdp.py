"""As much SDP as WHIP has to judge before the media core sees an offer: sections, directions, codec names, ICE name.

It negotiates nothing; that is the core's work. Spec: RFC 8866 §5; RFC 8839 §5 (ice-ufrag); RFC 8840 (fragments).
"""

from dataclasses import dataclass, field

RECORDABLE = {"audio": frozenset({"opus"}), "video": frozenset({"h264", "vp8", "vp9", "av1"})}
"""Encoding names (lower case) the recorder keeps, by kind of section."""

LINES_MAX = 4_096
"""Lines of an offer or a fragment; a browser's longest offer has 400."""

DIRECTIONS = frozenset({"sendrecv", "sendonly", "recvonly", "inactive"})


class SdpError(ValueError):
    """The text is not SDP, or lacks what WebRTC needs; the message says which line."""


@dataclass(slots=True)
class OfferSection:
    """One m= section of an offer."""

    kind: str
    """audio, video or application."""
    port: int
    direction: str = "sendrecv"
    encodings: set[str] = field(default_factory=set)
    """Encoding names of its rtpmap lines, lower case."""

    @property
    def is_sending(self) -> bool:
        """True if the offerer means to send media here."""
        return self.kind in RECORDABLE and self.port != 0 and self.direction in ("sendonly", "sendrecv")

    @property
    def is_recordable(self) -> bool:
        """True if at least one of its codecs can be kept."""
        return bool(self.encodings & RECORDABLE.get(self.kind, frozenset()))


@dataclass(frozen=True, slots=True)
class OfferSummary:
    """What an offer is about."""

    text: str
    ufrag: str
    sections: tuple[OfferSection, ...]

    @property
    def sending(self) -> tuple[OfferSection, ...]:
        """The sections that send sound or pictures."""
        return tuple(section for section in self.sections if section.is_sending)

    def count(self, kind: str) -> int:
        """Return how many sections of a kind send."""
        return sum(1 for section in self.sending if section.kind == kind)


@dataclass(frozen=True, slots=True)
class IceFragment:
    """An SDP fragment of a PATCH."""

    ufrag: str | None
    pwd: str | None
    candidates_count: int


def summarise_offer(body: bytes) -> OfferSummary:
    """Return the summary of an offer.

    Raises:
        SdpError: it is not UTF-8, not SDP, has no media section or no ICE and DTLS parameters.
    """
    lines = _parse_lines(body)
    if not lines or lines[0] != ("v", "0"):
        raise SdpError("it does not begin with v=0")
    attributes = {value.partition(":")[0]: value.partition(":")[2] for kind, value in lines if kind == "a"}
    for name in ("ice-ufrag", "ice-pwd", "fingerprint"):
        if not attributes.get(name):
            raise SdpError(f"it has no a={name} line")
    sections = _parse_sections(lines)
    if not sections:
        raise SdpError("it has no m= section")
    return OfferSummary(body.decode(), _first_attribute(lines, "ice-ufrag") or "", tuple(sections))


def parse_fragment(body: bytes) -> IceFragment:
    """Return what an SDP fragment carries. Candidates are counted, not read: an unknown one is no error.

    Raises:
        SdpError: it is not UTF-8 or not made of SDP lines, or has a ufrag without a pwd.
    Spec: RFC 8840 §9; RFC 9725 §4.3.2 (silently discard).
    """
    lines = _parse_lines(body)
    ufrag, pwd = _first_attribute(lines, "ice-ufrag"), _first_attribute(lines, "ice-pwd")
    if (ufrag is None) is not (pwd is None):
        raise SdpError("a=ice-ufrag and a=ice-pwd come together")
    candidates_count = sum(1 for kind, value in lines if kind == "a" and value.startswith("candidate:"))
    if ufrag is None and not candidates_count and ("a", "end-of-candidates") not in lines:
        raise SdpError("it has neither candidates nor ICE credentials")
    return IceFragment(ufrag, pwd, candidates_count)


def _parse_lines(body: bytes) -> list[tuple[str, str]]:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise SdpError("it is not UTF-8") from error
    if text.count("\n") > LINES_MAX:
        raise SdpError(f"it has more than {LINES_MAX} lines")
    lines: list[tuple[str, str]] = []
    for line in text.splitlines():
        if not line:
            continue
        if len(line) < 2 or line[1] != "=" or not line[0].isalpha():
            raise SdpError(f"line {len(lines) + 1} is not <letter>=<value>")
        lines.append((line[0], line[2:].strip()))
    if not lines:
        raise SdpError("it is empty")
    return lines


def _parse_sections(lines: list[tuple[str, str]]) -> list[OfferSection]:
    sections: list[OfferSection] = []
    session_direction = "sendrecv"
    for kind, value in lines:
        if kind == "m":
            sections.append(_parse_media_line(value, session_direction))
        elif kind == "a" and value in DIRECTIONS:
            if sections:
                sections[-1].direction = value
            else:
                session_direction = value
        elif kind == "a" and value.startswith("rtpmap:") and sections:
            encoding = value.partition(" ")[2].partition("/")[0]
            sections[-1].encodings.add(encoding.lower())
    return sections


def _parse_media_line(value: str, direction: str) -> OfferSection:
    parts = value.split()
    if len(parts) < 4 or not parts[1].partition("/")[0].isdecimal():
        raise SdpError("an m= line is not <media> <port> <proto> <formats>")
    return OfferSection(parts[0], int(parts[1].partition("/")[0]), direction)


def _first_attribute(lines: list[tuple[str, str]], name: str) -> str | None:
    for kind, value in lines:
        if kind == "a" and value.startswith(f"{name}:"):
            return value.partition(":")[2].strip()
    return None
