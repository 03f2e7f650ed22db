"""What RFC 8216 asks of a media playlist, checked line by line; nothing of ours is used.

`complaints` holds one text against §4.1-§4.3, `changes` two texts of a live one against §6.2.1.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise

_DECIMAL = re.compile(r"\d+(\.\d+)?")
_MAP = re.compile(r'URI="[^"\r\n]+"(,BYTERANGE="\d+(@\d+)?")?')
_ONCE = ("#EXT-X-VERSION", "#EXT-X-TARGETDURATION", "#EXT-X-MEDIA-SEQUENCE", "#EXT-X-PLAYLIST-TYPE", "#EXT-X-ENDLIST")
_BARE = ("#EXTM3U", "#EXT-X-DISCONTINUITY", "#EXT-X-ENDLIST", "#EXT-X-INDEPENDENT-SEGMENTS")
_OF_SEGMENTS = ("#EXTINF", "#EXT-X-DISCONTINUITY", "#EXT-X-MAP", "#EXT-X-PROGRAM-DATE-TIME")
_KNOWN = {*_ONCE, *_BARE, *_OF_SEGMENTS}


@dataclass
class Listed:
    """One segment of a playlist."""

    uri: str
    duration_s: float
    starts_at: datetime | None
    is_discontinuous: bool
    map_uri: str


@dataclass
class Playlist:
    """A parsed playlist and what is wrong with it."""

    segments: list[Listed] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    """Of those that stand once, by name."""

    @property
    def is_ended(self) -> bool:
        return "#EXT-X-ENDLIST" in self.tags

    @property
    def duration_s(self) -> float:
        return sum(segment.duration_s for segment in self.segments)


def parse(text: str) -> Playlist:
    """Return what a playlist says."""
    playlist = Playlist()
    complain = playlist.complaints.append
    lines = text.split("\n")
    if lines[0] != "#EXTM3U":
        complain("§4.3.1.1: the first line is not #EXTM3U")
    if text.startswith("\ufeff") or re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text):
        complain("§4.1: a byte order mark or a control character")
    if lines[-1]:
        complain("§4.1: the last line is not ended")
    pending: dict[str, str] = {}
    map_uri = ""
    for line in filter(None, lines[1:]):
        if line.startswith("#EXT"):
            _take_tag(playlist, line, pending)
        elif not line.startswith("#"):
            map_uri = _uri_of(pending["#EXT-X-MAP"]) if "#EXT-X-MAP" in pending else map_uri
            _take_segment(playlist, line, pending, map_uri)
            pending = {}
    if pending:
        complain(f"§4.3.2: {', '.join(pending)} without a segment after it")
    _check_whole(playlist)
    return playlist


def complaints(text: str) -> list[str]:
    """Return which rules a playlist breaks."""
    return parse(text).complaints


def changes(before: str, after: str) -> list[str]:
    """Return what a server may not have done to an EVENT playlist between two looks. Spec: §6.2.1, §4.3.3.5."""
    if before == after:
        return []
    if "#EXT-X-ENDLIST" in before:
        return ["§6.2.1: it changed after its end"]
    return [] if after.startswith(before) else ["§6.2.1: something other than lines at its end changed"]


def jumps_s(playlist: Playlist) -> list[float]:
    """Return by how much each date differs from the end of the segment before, where nothing says that it may."""
    return [
        (after.starts_at - before.starts_at).total_seconds() - before.duration_s
        for before, after in pairwise(playlist.segments)
        if not after.is_discontinuous and after.starts_at and before.starts_at
    ]


def _take_tag(playlist: Playlist, line: str, pending: dict[str, str]) -> None:
    complain = playlist.complaints.append
    name, _, value = line.partition(":")
    if name not in _KNOWN:
        complain(f"{name} is no tag of a media playlist that we know")
    elif name in _OF_SEGMENTS:
        if name in pending:
            complain(f"§4.3.2: {name} twice for one segment")
        pending[name] = value
    else:
        if name in playlist.tags or (playlist.segments and name != "#EXT-X-ENDLIST"):
            complain(f"§4.3.3: {name} stands twice, or after the first segment")
        playlist.tags[name] = value
    if (name in _BARE) != (":" not in line):
        complain(f"§4.2: {line} has a value it should not have, or none")


def _uri_of(attributes: str) -> str:
    return attributes.partition('URI="')[2].partition('"')[0]


def _take_segment(playlist: Playlist, uri: str, pending: dict[str, str], map_uri: str) -> None:
    complain = playlist.complaints.append
    extinf, comma, _title = pending.get("#EXTINF", "").partition(",")
    if not comma or not _DECIMAL.fullmatch(extinf):
        complain(f"§4.3.2.1: {uri} has no proper EXTINF")
        extinf = "0"
    if "." in extinf and int(playlist.tags.get("#EXT-X-VERSION", "1")) < 3:
        complain("§7: durations with a point need version 3")
    if "#EXT-X-MAP" in pending:
        if not _MAP.fullmatch(pending["#EXT-X-MAP"]):
            complain("§4.3.2.5: EXT-X-MAP without a quoted URI")
        if int(playlist.tags.get("#EXT-X-VERSION", "1")) < 6:
            complain("§7: EXT-X-MAP needs version 6")
    starts_at = None
    if "#EXT-X-PROGRAM-DATE-TIME" in pending:
        try:
            starts_at = datetime.fromisoformat(pending["#EXT-X-PROGRAM-DATE-TIME"])
        except ValueError:
            complain(f"§4.3.2.6: {uri} has no proper date")
        if starts_at is not None and starts_at.tzinfo is None:
            complain(f"§4.3.2.6: the date of {uri} has no time zone")
    if uri in {segment.uri for segment in playlist.segments[-50:]}:
        complain(f"{uri} is listed twice")
    playlist.segments.append(Listed(uri, float(extinf), starts_at, "#EXT-X-DISCONTINUITY" in pending, map_uri))


def _check_whole(playlist: Playlist) -> None:
    tags, complain = playlist.tags, playlist.complaints.append
    target = tags.get("#EXT-X-TARGETDURATION", "")
    if not target.isdecimal():
        complain("§4.3.3.1: no target duration in whole seconds")
        return
    for segment in playlist.segments:
        if int(segment.duration_s + 0.5) > int(target):
            complain(f"§4.3.3.1: {segment.uri} lasts {segment.duration_s} s, longer than the target of {target} s")
    kind = tags.get("#EXT-X-PLAYLIST-TYPE")
    if kind not in (None, "EVENT", "VOD"):
        complain("§4.3.3.5: the type is EVENT or VOD")
    if kind == "VOD" and not playlist.is_ended:
        complain("§4.3.3.5: a VOD playlist cannot change, yet it has no end")
    if not tags.get("#EXT-X-MEDIA-SEQUENCE", "0").isdecimal():
        complain("§4.3.3.2: the media sequence is no number")
    if not tags.get("#EXT-X-VERSION", "1").isdecimal():
        complain("§4.3.1.2: the version is no number")
