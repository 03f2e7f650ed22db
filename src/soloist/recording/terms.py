"""What a job asks of its recording: where its files begin, what their times count from, what becomes of VP8."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from soloist.model.job import Job
from soloist.model.rule import ALWAYS_APPEND, HlsConfig, Mp4Config, RecordFormat, RecordRule, Vp8Mode
from soloist.recording.cutting import Cuts
from soloist.sinks import h264
from soloist.wire.clock import NS

UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HEADROOM_NS = 10 * NS
"""How much earlier than its job media may seem to be by its sender's clock."""


def segments_zero_ns(job: Job) -> int:
    """Return the Unix time, nanoseconds, that HLS segments of a job call 0: before any media that could be in them."""
    return (job.created_at - UNIX_EPOCH) // timedelta(microseconds=1) * 1000 - HEADROOM_NS


def transcodes_vp8(job: Job) -> bool:
    """Return whether VP8 becomes H.264: the app wants it, and this FFmpeg can; else it is kept in WebM, with a note."""
    return job.vp8 is Vp8Mode.H264 and job.video is not None and h264.is_available()


def cuts_of(rule: RecordRule) -> dict[RecordFormat, Cuts]:
    """Return where files begin, for each format a rule asks for."""
    mp4, hls = rule.mp4 or Mp4Config(0), rule.hls or HlsConfig(0)
    cuts = {
        RecordFormat.MP4: Cuts(
            RecordFormat.MP4, rule.audio, cycle_ns=mp4.record_cycle_s * NS, merge_gap_ns=mp4.merge_gap_s * NS
        ),
        RecordFormat.HLS: Cuts(
            RecordFormat.HLS,
            rule.audio,
            cycle_ns=hls.record_cycle_s * NS,
            merge_gap_ns=None if hls.merge_gap_s == ALWAYS_APPEND else hls.merge_gap_s * NS,
            slice_s=hls.slice_s,
        ),
    }
    is_alone = len(rule.formats) == 1
    return {wanted: replace(cuts[wanted], is_alone=is_alone) for wanted in cuts if wanted in rule.formats}
