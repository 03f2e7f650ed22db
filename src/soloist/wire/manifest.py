"""The manifest beside each recording: what every file holds, what is missing and why, and which clock says so.

Pure: values in, JSON text out. Field by field in `docs/manifest.md`; `docs/manifest.schema.json` is its schema, and a
test holds both against what is rendered here. Times are integer nanoseconds from the recording's origin, the wall
clock of its first media. Rules R2, R3, R6, R9, R10, R33, R48.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any

from soloist.model.media import Codec, Kind, Tier, TrackSource
from soloist.model.rule import RecordFormat
from soloist.model.timing import Missing
from soloist.wire.clock import NS

SCHEMA = "soloist.manifest/1"
"""Raised when a field changes its meaning or goes; new fields do not raise it."""


@dataclass(frozen=True, slots=True)
class ManifestJob:
    """Which assignment was recorded."""

    job_id: str
    epoch: int
    """Which take-over of the job wrote this recording."""
    app_id: str
    room_id: str
    participant_id: str
    stream_name: str
    with_audio: bool
    video: TrackSource | None
    tier: Tier
    keep_damaged: bool = False
    """Pictures after loss were kept although they refer to what is lost (rule R16)."""


@dataclass(frozen=True, slots=True)
class ClockMapping:
    """How one RTP stream's time stamps were placed; a new one for each stream that fed the track."""

    start_ns: int
    """Where the sample with `rtp_ticks` stands."""
    source: str
    """sender_report, or arrival where no report came in time (rule R3)."""
    rtp_ticks: int
    """Unwrapped RTP time."""
    rate_hz: int
    skew_ppm: float
    """How much slower than the sender's wall clock it ran, in parts per million, as last measured; 0 if unknown."""


@dataclass(frozen=True, slots=True)
class LayerSpan:
    """From when on which picture was recorded."""

    start_ns: int
    rid: str | None
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class ManifestTrack:
    """One logical track."""

    kind: Kind
    codec: Codec
    """As written in the files."""
    transcoded: bool
    """False: the files hold the sender's bytes (rule R48)."""
    channels: int = 0
    """Of sound; 0 for pictures."""
    clocks: tuple[ClockMapping, ...] = ()
    layers: tuple[LayerSpan, ...] = ()
    end_ns: int = 0
    """Where its media ends."""


@dataclass(frozen=True, slots=True)
class ManifestSegment:
    """One object a playlist lists: a segment, or the initialisation section of those after it."""

    key: str
    size_bytes: int
    sha256: str
    start_ns: int
    duration_ns: int
    """0 for an initialisation section."""


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """One object in the bucket."""

    key: str
    record_format: RecordFormat
    size_bytes: int
    sha256: str
    start_ns: int
    """Its zero: what the file calls 0 stands here."""
    end_ns: int
    frames: Mapping[Kind, int] = field(default_factory=dict)
    """Frames received into each track."""
    note: str = ""
    segments: tuple[ManifestSegment, ...] = ()
    """What a playlist lists, in order; `size_bytes` is that of the playlist and these together."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One recording."""

    job: ManifestJob
    origin_ns: int
    """Wall clock of the first media, nanoseconds of Unix time."""
    tracks: tuple[ManifestTrack, ...]
    missing: tuple[Missing, ...]
    files: tuple[ManifestFile, ...]


def render_manifest(manifest: Manifest) -> str:
    """Return the manifest as JSON text, UTF-8 when encoded, ending in a line feed; the same value, the same text."""
    body = {
        "schema": SCHEMA,
        "job": _job(manifest.job),
        # As text: JSON readers that count in doubles would round it.
        "origin": {"at": _iso(manifest.origin_ns), "unix_ns": str(manifest.origin_ns)},
        "tracks": [_track(track, manifest.missing) for track in manifest.tracks],
        "missing": [_missing(missing, manifest.origin_ns) for missing in manifest.missing],
        "files": [_file(file, manifest.origin_ns) for file in manifest.files],
    }
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def is_of_same_file(text: bytes, other: bytes) -> bool:
    """Return whether two manifests tell of one file of one job; what is no manifest tells of none."""
    try:
        told = [(body["job"]["job_id"], body["files"][0]["key"]) for body in (json.loads(text), json.loads(other))]
    except (ValueError, LookupError, TypeError, RecursionError):
        return False
    return told[0] == told[1]


def _iso(unix_ns: int) -> str:
    """Return a moment in ISO 8601, UTC, with all nine digits of its nanoseconds."""
    second = datetime.fromtimestamp(unix_ns // NS, UTC)
    return f"{second:%Y-%m-%dT%H:%M:%S}.{unix_ns % NS:09d}Z"


def _job(job: ManifestJob) -> dict[str, Any]:
    """Return a job's fields."""
    return {
        "job_id": job.job_id,
        "epoch": job.epoch,
        "app_id": job.app_id,
        "room_id": job.room_id,
        "participant_id": job.participant_id,
        "stream_name": job.stream_name,
        "with_audio": job.with_audio,
        "video": job.video.value if job.video else None,
        "tier": job.tier.value,
        "keep_damaged": job.keep_damaged,
    }


def layer_ns(track: ManifestTrack, missing: Iterable[Missing]) -> dict[str, int]:
    """Return how long each layer's pictures are, nanoseconds by rid ("" without simulcast): all of the track's media.

    A layer lasts until the next one, and no stretch of it that is missing counts (rule R19).
    """
    holes = sorted((hole.start_ns, hole.end_ns) for hole in missing if hole.kind is track.kind)
    lasting: dict[str, int] = {}
    for layer, after in zip_longest(track.layers, track.layers[1:]):
        at_ns, end_ns = layer.start_ns, after.start_ns if after else max(track.end_ns, layer.start_ns)
        media_ns = 0
        for hole_ns, hole_end_ns in holes:
            media_ns += max(min(hole_ns, end_ns) - at_ns, 0)
            at_ns = max(at_ns, min(hole_end_ns, end_ns))
        rid = layer.rid or ""
        lasting[rid] = lasting.get(rid, 0) + media_ns + max(end_ns - at_ns, 0)
    return lasting


def _track(track: ManifestTrack, missing: Iterable[Missing]) -> dict[str, Any]:
    """Return a track's fields: `channels` for sound, `layers` for pictures."""
    own: dict[str, Any] = (
        {"channels": track.channels}
        if track.kind is Kind.AUDIO
        else {
            "layers": [_layer(layer) for layer in track.layers],
            "layer_seconds": {rid: ns / NS for rid, ns in layer_ns(track, missing).items()},
        }
    )
    return {
        "kind": track.kind.value,
        "codec": track.codec.value,
        "transcoded": track.transcoded,
        **own,
        "clocks": [_clock(clock) for clock in track.clocks],
    }


def _layer(layer: LayerSpan) -> dict[str, Any]:
    """Return a layer's fields."""
    return {"start_ns": layer.start_ns, "rid": layer.rid, "width": layer.width, "height": layer.height}


def _clock(clock: ClockMapping) -> dict[str, Any]:
    """Return a clock mapping's fields."""
    return {
        "start_ns": clock.start_ns,
        "source": clock.source,
        "rtp_ticks": clock.rtp_ticks,
        "rate_hz": clock.rate_hz,
        "skew_ppm": round(clock.skew_ppm, 3),
    }


def _missing(missing: Missing, origin_ns: int) -> dict[str, Any]:
    """Return a missing stretch's fields."""
    return {
        "kind": missing.kind.value,
        "cause": missing.cause.value,
        "start_ns": missing.start_ns,
        "end_ns": missing.end_ns,
        "start_at": _iso(origin_ns + missing.start_ns),
        "detail": missing.detail,
    }


def _file(file: ManifestFile, origin_ns: int) -> dict[str, Any]:
    """Return a file's fields."""
    return {
        "key": file.key,
        "record_format": file.record_format.value,
        "size_bytes": file.size_bytes,
        "sha256": file.sha256,
        "start_ns": file.start_ns,
        "end_ns": file.end_ns,
        "duration_ns": file.end_ns - file.start_ns,
        "start_at": _iso(origin_ns + file.start_ns),
        "end_at": _iso(origin_ns + file.end_ns),
        "frames": {kind.value: count for kind, count in file.frames.items()},
        "note": file.note,
        **({"segments": [_segment(segment) for segment in file.segments]} if file.segments else {}),
    }


def _segment(segment: ManifestSegment) -> dict[str, Any]:
    """Return a segment's fields."""
    return {
        "key": segment.key,
        "size_bytes": segment.size_bytes,
        "sha256": segment.sha256,
        "start_ns": segment.start_ns,
        "duration_ns": segment.duration_ns,
    }
