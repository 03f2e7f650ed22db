"""From what is known of a file to its manifest. Spec: `docs/manifest.md`."""

from soloist.jobs.cutting import FileSummary
from soloist.jobs.notes import FileNote
from soloist.jobs.recording import MediaFacts
from soloist.model.job import Job
from soloist.model.media import Codec, Kind
from soloist.storage.bucket import Committed
from soloist.wire.manifest import ClockMapping, Manifest, ManifestFile, ManifestJob, ManifestTrack, render_manifest
from soloist.wire.timeline import Placement


def manifest_of(  # noqa: PLR0917 - five facts, each of its own type
    job: Job, note: FileNote, summary: FileSummary, media: MediaFacts, committed: Committed
) -> str:
    """Return the manifest of one file: its own stretch of the recording."""
    within = (m for m in media.missing if m.end_ns > summary.start_ns and m.start_ns < summary.end_ns)
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
    return render_manifest(Manifest(_job(job, note), note.origin_ns, tracks, tuple(within), (file,)))


def _track(kind: Kind, codec: Codec, summary: FileSummary, media: MediaFacts) -> ManifestTrack:
    clocks = tuple(_clock(placement, kind) for placement in media.placements if placement.kind is kind)
    is_sound = kind is Kind.AUDIO
    return ManifestTrack(
        kind=kind,
        codec=codec,
        transcoded=codec is Codec.AAC,
        channels=summary.channels if is_sound else 0,
        clocks=clocks,
        layers=() if is_sound else summary.layers,
    )


def _clock(placement: Placement, kind: Kind) -> ClockMapping:
    return ClockMapping(
        start_ns=placement.pts_ns,
        source=placement.placed_by,
        rtp_ticks=placement.rtp_ticks,
        rate_hz=48_000 if kind is Kind.AUDIO else 90_000,
        skew_ppm=placement.skew_ppm,
    )


def _job(job: Job, note: FileNote) -> ManifestJob:
    return ManifestJob(
        job_id=job.job_id,
        epoch=note.epoch,
        app_id=job.app_id,
        room_id=job.room_id,
        participant_id=job.participant_id,
        stream_name=job.stream_name,
        with_audio=job.with_audio,
        video=job.video,
        tier=job.tier,
    )
