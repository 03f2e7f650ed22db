"""Sound that was lost, as the files hold it: the next packet where it belongs, and every other byte untouched (R23).

Segments hold silence where none came, because players stop at a hole between two of them (ADR 0012).
"""

from itertools import pairwise

import av
import pytest
from support.jobs import a_job, a_rule
from support.media import opus_samples, video_samples
from support.stage import Stage, a_publisher, frames_of, merged

from soloist.model.media import Codec, Kind
from soloist.model.rule import AudioMode, HlsConfig, RecordFormat
from soloist.model.timing import Cause
from soloist.sinks.opus_line import SILENCE

LOST = range(60, 75)
"""Packets 60 to 74: from 1.2 s to 1.5 s."""


def recorded(folder, codec, audio, record_format):
    """Record four seconds of which some sound never arrived; return the stage and what was sent of it."""
    rule = a_rule(audio=audio, formats=(record_format,), hls=HlsConfig(record_cycle_s=0, slice_s=10))
    stage, alice = Stage(folder, a_job(rule=rule)), a_publisher(codec=codec)
    sound = frames_of(opus_samples(4), Codec.OPUS, rtp_zero=7)
    kept = [frame for n, frame in enumerate(sound) if n not in LOST]
    kept[LOST.start] = kept[LOST.start].but(follows_gap=True, packets_lost=len(LOST))
    stage.recording.on_attached(alice)
    stage.play(alice, merged(frames_of(video_samples(codec, 4), codec), kept))
    stage.stop()
    return stage, kept


def sound_in(stage, folder):
    """Return the sound packets of a stage's file: when each begins, seconds, and its bytes."""
    paths = [stage.ended[0].path]
    if stage.segments:
        inits = dict.fromkeys(segment.init for segment in stage.segments if segment.init)
        paths = [*inits, *(segment.path for segment in stage.segments)]
    whole = folder / f"whole{paths[-1].suffix}"
    whole.write_bytes(b"".join(path.read_bytes() for path in paths))
    with av.open(str(whole)) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.size and packet.pts is not None]
        return [(packet.pts * packet.time_base, bytes(packet)) for packet in packets]


@pytest.mark.parametrize(
    ("codec", "record_format"),
    [(Codec.H264, RecordFormat.MP4), (Codec.VP9, RecordFormat.HLS), (Codec.VP8, RecordFormat.MP4)],
    ids=["mp4", "fmp4", "webm"],
)
def test_copied_sound_is_bit_exact_and_the_packet_after_a_hole_stands_where_it_belongs(tmp_path, codec, record_format):
    stage, kept = recorded(tmp_path, codec, AudioMode.COPY, record_format)

    found = sound_in(stage, tmp_path)

    ours = [SILENCE[960]] * len(LOST) if record_format is RecordFormat.HLS else []
    assert [data for _, data in found[LOST.start : LOST.start + len(ours)]] == ours
    del found[LOST.start : LOST.start + len(ours)]
    assert [data for _, data in found] == [frame.data for frame in kept]
    first_at = found[0][0]
    for (at, _), frame in zip(found, kept, strict=True):
        assert abs(float(at - first_at) - (frame.rtp_ticks - kept[0].rtp_ticks) / 48_000) <= 0.001
    (hole,) = {missing for media in stage.media for missing in media.missing if missing.kind is Kind.AUDIO}
    assert (hole.cause, hole.detail, hole.end_ns - hole.start_ns) == (Cause.GAP, "packets_lost", 300_000_000)


@pytest.mark.parametrize("record_format", [RecordFormat.MP4, RecordFormat.HLS], ids=["mp4", "ts"])
def test_encoded_sound_has_exact_silence_in_place_of_a_hole_and_ends_when_the_sound_did(tmp_path, record_format):
    stage, kept = recorded(tmp_path, Codec.H264, AudioMode.AAC, record_format)

    found = sound_in(stage, tmp_path)

    steps = {round(float(b - a) * 48_000) for (a, _), (b, _) in pairwise(found)}
    assert steps <= {1023, 1024, 1025}
    span = kept[-1].rtp_ticks - kept[0].rtp_ticks + 960
    assert abs(len(found) * 1024 - span) <= 2 * 1024
