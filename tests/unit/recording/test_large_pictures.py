"""A picture too large to be looked at costs its sender that picture, declared, and nobody's time or memory."""

import resource
import time

import pytest
from support.frames import NS
from support.jobs import a_job, a_rule
from support.media import opus_samples, video_samples
from support.stage import Stage, a_publisher, frames_of, merged

from soloist.model.errors import InternalError
from soloist.model.media import Codec, Kind, VideoFormat
from soloist.model.rule import Mp4Config, Vp8Mode
from soloist.model.timing import Cause
from soloist.recording import transcoding
from soloist.recording.turnover import Turnover
from soloist.sinks.template import PIXELS_MAX, video_template

HUGE = (16_200, 16_200)


def vp9_of(width, height):
    """Return a VP9 keyframe whose header claims a size. Spec: VP9 Bitstream Specification §6.2, profile 0."""
    data = video_samples(Codec.VP9, 1 / 30, width=64, height=64)[0].data
    bits = "".join(f"{byte:08b}" for byte in data[:16])
    size_at = 2 + 2 + 1 + 1 + 1 + 1 + 24 + 3 + 1
    bits = bits[:size_at] + f"{width - 1:016b}{height - 1:016b}" + bits[size_at + 32 :]
    return int(bits, 2).to_bytes(16, "big") + data[16:]


def test_a_keyframe_that_claims_too_much_is_not_decoded_to_be_described():
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began_s = time.thread_time()
    with pytest.raises(InternalError):
        video_template(VideoFormat(Codec.VP9, 64, 64, vp9_of(*HUGE)))

    assert time.thread_time() - began_s < 0.2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 100 * 1024


@pytest.mark.parametrize("codec", [Codec.H264, Codec.VP8, Codec.VP9, Codec.AV1])
def test_too_large_pictures_and_those_that_refer_to_them_are_left_out_and_declared(tmp_path, codec):
    stage, alice = Stage(tmp_path), a_publisher(codec=codec)
    pictures = frames_of(video_samples(codec, 3, gop=30), codec)
    pictures[30] = pictures[30].but(width=HUGE[0], height=HUGE[1])
    stage.recording.on_attached(alice)
    stage.play(alice, merged(pictures, frames_of(opus_samples(3), Codec.OPUS, rtp_zero=7)))
    stage.stop()

    (ended,) = stage.ended
    assert ended.summary.frames == {Kind.VIDEO: 60, Kind.AUDIO: 150}
    assert ended.summary.height < HUGE[1]
    (hole,) = [m for m in stage.media[-1].missing if m.kind is Kind.VIDEO]
    assert (hole.cause, hole.detail) == (Cause.FAULT, "picture_too_large")
    assert hole.end_ns - hole.start_ns == pytest.approx(NS, abs=NS // 20)


def test_vp8_too_large_to_transcode_is_declared_and_no_child_begins(tmp_path):
    job = a_job(vp8=Vp8Mode.H264, rule=a_rule(mp4=Mp4Config(0)))
    stage, alice = Stage(tmp_path, job), a_publisher(codec=Codec.VP8)
    refused = transcoding.COUNTS["pictures_refused_transcoding"]
    pictures = frames_of(video_samples(Codec.VP8, 2, gop=30), Codec.VP8)
    pictures = [f.but(width=4096, height=4096) if f.is_keyframe else f for f in pictures]
    stage.recording.on_attached(alice)
    stage.play(alice, merged(pictures, frames_of(opus_samples(2), Codec.OPUS, rtp_zero=7)))
    assert stage.recording.line._process is None
    stage.stop()

    assert transcoding.COUNTS["pictures_refused_transcoding"] - refused == 2
    assert (Kind.VIDEO, Cause.FAULT, "picture_too_large") in stage.missing


def test_files_of_the_largest_pictures_begin_less_often_for_what_they_cost():
    turnover = Turnover(lambda: True)

    assert sum(turnover.may_begin(0, pixels=PIXELS_MAX) for _ in range(100)) == 4
