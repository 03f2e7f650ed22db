"""One recording in several formats: what each tells of what is missing."""

import pytest
from support.jobs import a_job, a_rule
from support.media import opus_samples
from support.stage import Stage, a_publisher, frames_of

from soloist.jobs.cutting import FileEnded, SegmentEnded
from soloist.model.media import Codec, Kind
from soloist.model.rule import HlsConfig, RecordFormat

MP4, HLS = RecordFormat.MP4, RecordFormat.HLS
SHORT_SLICES = HlsConfig(0, slice_s=2, merge_gap_s=-1)


def sound(seconds, **kwargs):
    return frames_of(opus_samples(seconds), Codec.OPUS, **({"rtp_zero": 7} | kwargs))


def changing_stage(folder, formats):
    """Return a stage under a rule of some formats, whose files have names as in a spool."""
    stage = Stage(folder, a_job(rule=a_rule(formats=formats, hls=SHORT_SLICES)))
    stage.make_path = lambda index, extension: folder / f"{index:05d}.{extension}"
    return stage


def noted(stage):
    """Return a list that every fact from now on is put into, with what is known beside it."""
    told, emit = [], stage.recording._emit

    def note(fact, media):
        told.append((fact, media))
        emit(fact, media)

    stage.recording._emit = note
    return told


@pytest.mark.parametrize("formats", [(HLS,), (HLS, MP4)])
def test_a_segment_tells_only_of_what_is_missing_since_the_one_before_and_together_they_tell_of_everything(
    tmp_path, formats
):
    stage = changing_stage(tmp_path, formats)
    told = noted(stage)
    alice = a_publisher(kinds=(Kind.AUDIO,))
    stage.recording.on_attached(alice)
    # A sender that falls silent for half of each second, and sends nothing meanwhile.
    stage.play(alice, [frame for n, frame in enumerate(sound(30)) if n % 50 < 25])
    kept = len(stage.recording._absences)
    stage.stop()

    by_segment = [media.missing for fact, media in told if isinstance(fact, SegmentEnded)]
    assert len(by_segment) > 10
    assert max(map(len, by_segment)) <= 4
    playlist = {fact.index for fact, _ in told if isinstance(fact, SegmentEnded)}
    ended = {fact.index in playlist: media.missing for fact, media in told if isinstance(fact, FileEnded)}
    assert len({*(hole for holes in by_segment for hole in holes), *ended[True]}) == 29
    if MP4 in formats:
        assert len(ended[False]) == 29
    else:
        assert kept <= 8
