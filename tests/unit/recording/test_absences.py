"""Which manifest tells of what is missing."""

from dataclasses import replace

from support.jobs import a_job, a_rule
from support.media import opus_samples, video_samples
from support.stage import Stage, a_publisher, frames_of, merged

from soloist.model.media import Codec, Kind
from soloist.model.rule import Mp4Config
from soloist.model.timing import Cause


def two_seconds(at_s=0.0):
    sound = frames_of(opus_samples(2), Codec.OPUS, rtp_zero=7, at_s=at_s)
    return merged(frames_of(video_samples(Codec.H264, 2), Codec.H264, at_s=at_s), sound)


def test_the_time_between_two_files_is_declared_on_both_tracks(tmp_path):
    """It ends exactly where the later file begins; seen as a hole that no manifest told of (`make fidelity`)."""
    job = a_job(rule=replace(a_rule(), mp4=Mp4Config(record_cycle_s=3600, merge_gap_s=2)))
    stage, first, second = Stage(tmp_path, job), a_publisher(1), a_publisher(2)
    stage.recording.on_attached(first)
    stage.play(first, two_seconds())
    stage.recording.on_detached(first, "left")
    stage.wait(5)
    stage.recording.on_attached(second)
    stage.play(second, two_seconds(at_s=7))
    stage.stop()

    assert {(kind, Cause.IDLE, "participant_left") for kind in Kind} <= set(stage.missing)
