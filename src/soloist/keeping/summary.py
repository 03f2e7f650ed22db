"""From what is known of a file to its manifest. Spec: `docs/manifest.md`."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from soloist.keeping.notes import FileNote, is_transcoded
from soloist.model.job import Job
from soloist.model.media import Codec, Kind
from soloist.model.timing import Cause, Missing
from soloist.recording.cutting import FileSummary
from soloist.recording.facts import TimelineFacts
from soloist.storage.bucket import Committed
from soloist.wire.manifest import ClockMapping, Manifest, ManifestFile, ManifestJob, ManifestTrack, render_manifest
from soloist.wire.timeline import Placement

Facts = TypeVar("Facts", bound=TimelineFacts)


def manifest_of(note: FileNote, summary: FileSummary, media: TimelineFacts, committed: Committed) -> str:
    """Return the manifest of one file: its own stretch of the recording."""
    # What ends where the file begins is told by this file: no other will. Of what begins where it ends, what we lost
    # is told here as well, for there may never be a next one.
    within = (m for m in media.missing if m.end_ns >= summary.start_ns and m.start_ns < summary.end_ns + _is_ours(m))
    file = ManifestFile(
        key=committed.key,
        record_format=note.record_format,
        size_bytes=committed.size,
        sha256=committed.sha256,
        start_ns=summary.start_ns,
        end_ns=summary.end_ns,
        frames=summary.frames,
        note=note.detail,
    )
    tracks = tuple(_track(kind, codec, summary, media) for kind, codec in sorted(summary.codecs.items()))
    return render_manifest(Manifest(note.job, note.origin_ns, tracks, tuple(within), (file,)))


def _is_ours(missing: Missing) -> bool:
    return missing.cause is Cause.FAULT


def resumed(media: Facts, ends_ns: Mapping[Kind, int]) -> Facts:
    """Return what is known of a recording with the hole before it declared: from where earlier epochs' media ended.

    `ends_ns` is that end for each track, nanoseconds of Unix time. What the timeline says of the time between its
    origin and a track's first media is part of that hole, and no longer a gap of the sender's.
    """
    at_start = {missing.kind: missing for missing in media.missing if missing.start_ns == 0}
    holes = []
    for kind, end_ns in ends_ns.items():
        start_ns = end_ns - media.origin_ns
        until_ns = at_start[kind].end_ns if kind in at_start else 0
        if start_ns < until_ns:
            holes.append(Missing(kind, start_ns, until_ns, Cause.FAULT, "recorder_restarted"))
    told = {hole.kind for hole in holes}
    rest = (m for m in media.missing if m.kind not in told or m is not at_start.get(m.kind))
    return replace(media, missing=(*holes, *rest))


def _track(kind: Kind, codec: Codec, summary: FileSummary, media: TimelineFacts) -> ManifestTrack:
    clocks = tuple(_clock(placement, kind) for placement in media.placements if placement.kind is kind)
    is_sound = kind is Kind.AUDIO
    return ManifestTrack(
        kind=kind,
        codec=codec,
        transcoded=is_transcoded(kind, codec, summary),
        channels=summary.channels if is_sound else 0,
        clocks=clocks,
        layers=() if is_sound else summary.layers,
        end_ns=summary.ends_ns.get(kind, summary.start_ns),
    )


def _clock(placement: Placement, kind: Kind) -> ClockMapping:
    return ClockMapping(
        start_ns=placement.pts_ns,
        source=placement.placed_by,
        rtp_ticks=placement.rtp_ticks,
        rate_hz=48_000 if kind is Kind.AUDIO else 90_000,
        skew_ppm=placement.skew_ppm,
    )


def told_job(job: Job) -> ManifestJob:
    """Return what a manifest says of the job a file is recorded for."""
    return ManifestJob(
        job_id=job.job_id,
        epoch=job.epoch,
        app_id=job.app_id,
        room_id=job.room_id,
        participant_id=job.participant_id,
        stream_name=job.stream_name,
        with_audio=job.with_audio,
        video=job.video,
        tier=job.tier,
        keep_damaged=job.rule is not None and job.rule.keep_damaged,
    )
