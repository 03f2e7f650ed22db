"""Record rules: what is written, where, and when a new file begins.

Spec: API section 3 (RecordRule and its parts).
"""

from dataclasses import dataclass
from enum import StrEnum

from soloist.model.ids import AppId, RuleId


class RecordFormat(StrEnum):
    """A format a rule may ask for, or, for WEBM, the declared fallback of VP8."""

    MP4 = "MP4"
    HLS = "HLS"
    WEBM = "WEBM"


class AudioMode(StrEnum):
    """How the audio track is written: AAC plays everywhere, COPY keeps Opus bit for bit at a third of the CPU."""

    AAC = "aac"
    COPY = "copy"


class Vp8Mode(StrEnum):
    """What becomes of VP8, which neither MP4 nor HLS can keep: a WebM of it as it came, or H.264 made of it."""

    WEBM = "webm"
    H264 = "h264"


MP4_CYCLE_S = range(60, 10_801)
HLS_CYCLE_S = range(60, 43_201)
"""Besides 0, which keeps the whole stream in one playlist."""
MP4_MERGE_GAP_S = range(301)
HLS_MERGE_GAP_S = range(-1, 301)
SLICE_S = range(2, 61)
PREFIX_LENGTH_MAX = 512

ALWAYS_APPEND = -1
"""A playlist's merge gap that goes over any interruption."""

DEFAULT_PREFIX = "{app_id}/{record_format}/{stream}_{file_start_time}/{stream}_{file_start_time}"


@dataclass(frozen=True, slots=True)
class StorageAddress:
    """Where finished objects go."""

    location: str
    """A configured storage region id, e.g. cn-north-4."""
    project_id: str
    bucket: str
    object: str = ""
    """Key prefix, used verbatim; empty for the bucket's root."""


@dataclass(frozen=True, slots=True)
class Mp4Config:
    """How MP4 files are cut and named."""

    record_cycle_s: int
    """A new file begins at the first keyframe after this; 60..10800 s."""
    prefix: str = DEFAULT_PREFIX
    merge_gap_s: int = 0
    """An interruption longer than this begins a new file; 0..300 s."""


@dataclass(frozen=True, slots=True)
class HlsConfig:
    """How HLS playlists are cut and named."""

    record_cycle_s: int
    """0 keeps the whole stream in one playlist, else 60..43200 s."""
    prefix: str = DEFAULT_PREFIX
    slice_s: int = 10
    merge_gap_s: int = 0
    """-1 always appends, 0..300 s begins a new playlist after a longer interruption."""


@dataclass(frozen=True, slots=True)
class RecordRule:
    """One rule of an app; snapshotted into a job when it starts."""

    rule_id: RuleId
    app_id: AppId
    address: StorageAddress
    formats: tuple[RecordFormat, ...]
    mp4: Mp4Config | None = None
    hls: HlsConfig | None = None
    audio: AudioMode = AudioMode.AAC
    keep_damaged: bool = False
    """After loss pictures are kept even if they refer to what is lost, for forensic use (rule R16)."""
