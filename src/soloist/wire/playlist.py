"""HLS media playlists: text that only ever grows at its end, so that it may be played while it is written.

Pure: values in, lines out. A playlist is its head, one entry for each segment in order, and `END` once nothing follows.
Knows nothing of files, buckets or when a segment is cut.
Spec: RFC 8216 §4.3 (tags), §6.2.1 (what may change while it is live).
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from soloist.wire.clock import NS

_VERSION_OF_FLOAT_DURATIONS = 3
_VERSION_OF_MAP = 6
"""EXT-X-MAP in a playlist that is not of I-frames only. Spec: RFC 8216 §7."""

END = "#EXT-X-ENDLIST\n"
"""The last line: no more segments will follow. Spec: RFC 8216 §4.3.3.4."""


@dataclass(frozen=True, slots=True)
class PlaylistSegment:
    """One segment as a playlist lists it."""

    uri: str
    """Relative to the playlist."""
    duration_ns: int
    starts_at_ns: int
    """Wall clock of its first media, nanoseconds of Unix time (rule R9)."""
    is_discontinuous: bool = False
    """True if its times or coding do not go on where the segment before it ended."""
    map_uri: str = ""
    """Of the initialisation section an fMP4 segment needs; empty for MPEG-TS."""


def target_duration_s(slice_s: int) -> int:
    """Return the longest a segment may get where segments of `slice_s` are wanted: they end at a keyframe after that.

    The value is part of the head and can never change, so there is room for a keyframe that is late: x264, which OBS
    sends with and which heeds no request, makes one every 250 pictures. A segment that would get longer is cut without
    one, which costs players pictures. Spec: RFC 8216 §4.3.3.1.
    """
    return slice_s + max(10, slice_s // 2)


def render_head(target_s: int, *, is_fragmented: bool, is_independent: bool) -> str:
    """Return a playlist's first lines; `is_fragmented` for fMP4 segments, else they are MPEG-TS.

    `is_independent` says that each segment can be decoded without the others. Spec: RFC 8216 §4.3.1, §4.3.3, §4.3.5.1.
    """
    version = _VERSION_OF_MAP if is_fragmented else _VERSION_OF_FLOAT_DURATIONS
    lines = [
        "#EXTM3U",
        f"#EXT-X-VERSION:{version}",
        f"#EXT-X-TARGETDURATION:{target_s}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:EVENT",
    ]
    return "\n".join([*lines, *(["#EXT-X-INDEPENDENT-SEGMENTS"] if is_independent else []), ""])


def render_segment(segment: PlaylistSegment, before: PlaylistSegment | None) -> str:
    """Return the lines of a segment; `before` is the one listed before it, None for the first.

    Spec: RFC 8216 §4.3.2.
    """
    lines = []
    if segment.is_discontinuous and before is not None:
        lines.append("#EXT-X-DISCONTINUITY")
    if segment.map_uri and (before is None or before.map_uri != segment.map_uri):
        lines.append(f'#EXT-X-MAP:URI="{segment.map_uri}"')
    lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{_iso(segment.starts_at_ns)}")
    microseconds = (segment.duration_ns + 500) // 1000
    lines.append(f"#EXTINF:{microseconds // 1_000_000}.{microseconds % 1_000_000:06d},")
    return "\n".join([*lines, segment.uri, ""])


def _iso(unix_ns: int) -> str:
    """Return a moment in ISO 8601, UTC, to the millisecond."""
    milliseconds = (unix_ns + NS // 2000) // 1_000_000
    second = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{second:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"
