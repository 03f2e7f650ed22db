"""One recording in several formats: what each tells of what is missing, and what happens when a rule changes them."""

import pytest
from support.frames import NS
from support.jobs import a_job, a_rule
from support.media import opus_samples, video_samples
from support.stage import Stage, a_publisher, frames_of, merged

from soloist.model.media import Codec, Kind
from soloist.model.rule import HlsConfig, RecordFormat
from soloist.recording.cutting import FileEnded, FileOpened, SegmentEnded

MP4, HLS = RecordFormat.MP4, RecordFormat.HLS
SHORT_SLICES = HlsConfig(0, slice_s=2, merge_gap_s=-1)


def sound(seconds, **kwargs):
    return frames_of(opus_samples(seconds), Codec.OPUS, **({"rtp_zero": 7} | kwargs))


def camera(seconds, **kwargs):
    return frames_of(video_samples(Codec.H264, seconds), **kwargs)


def part(frames, from_s, until_s):
    """Return the frames that arrive between two moments, seconds after the first could."""
    first_ns = frames[0].received_ns
    return [f for f in frames if from_s <= (f.received_ns - first_ns) / NS < until_s]


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


def pictures_of(ended, of):
    """Return begin, end (seconds) and pictures of some of the files that ended."""
    return [
        (round(e.summary.start_ns / NS, 1), round(e.summary.end_ns / NS, 1), e.summary.frames[Kind.VIDEO])
        for e in ended[slice(*of)]
    ]


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


@pytest.mark.parametrize(
    ("before", "after"), [((MP4,), (HLS,)), ((HLS,), (MP4,)), ((MP4,), (HLS, MP4)), ((HLS, MP4), (MP4,))]
)
def test_another_rule_loses_nothing_whatever_formats_it_asks_for(tmp_path, before, after):
    stage, alice = changing_stage(tmp_path, before), a_publisher()
    stage.recording.on_attached(alice)
    frames = merged(camera(5), sound(5))
    stage.play(alice, part(frames, 0, 2.5))
    stage.recording.update(a_rule(rule_id="rule2", formats=after, hls=SHORT_SLICES))
    assert alice._receiver.asked[-1] == (1, "1", None)
    stage.play(alice, part(frames, 2.5, 5))
    stage.stop()

    first, second = (pictures_of(stage.ended, of) for of in ((0, len(before)), (len(before), None)))
    # The keyframe at three seconds is the first after the change.
    assert first == [(0, 3, 90)] * len(before)
    assert second == [(3, 5, 60)] * len(after)
    sounds = [ended.summary.frames[Kind.AUDIO] for ended in stage.ended]
    assert sounds[0] + sounds[-1] == 250


def test_formats_change_at_a_sound_packet_where_nobody_sends_a_picture(tmp_path):
    stage, alice = changing_stage(tmp_path, (MP4,)), a_publisher(kinds=(Kind.AUDIO,))
    stage.recording.on_attached(alice)
    packets = sound(4)
    stage.play(alice, part(packets, 0, 2))
    stage.recording.update(a_rule(formats=(HLS,), hls=SHORT_SLICES))
    stage.play(alice, part(packets, 2, 4))
    stage.stop()

    assert [ended.summary.frames[Kind.AUDIO] for ended in stage.ended] == [pytest.approx(100, abs=12)] * 2
    assert sum(ended.summary.frames[Kind.AUDIO] for ended in stage.ended) == 200


def test_a_file_that_opens_before_the_next_cut_point_is_told_with_the_rule_it_opened_under(tmp_path):
    stage, alice = changing_stage(tmp_path, (MP4,)), a_publisher()
    stage.recording.on_attached(alice)
    told = noted(stage)
    frames = merged(camera(2)[1:30], sound(3))
    stage.play(alice, frames)
    stage.recording.update(a_rule(rule_id="rule2", formats=(HLS,), hls=SHORT_SLICES))
    stage.play(alice, merged(camera(2, at_s=3, rtp_zero=1_270_000), sound(2, at_s=3, rtp_zero=7 + 144_000)))
    stage.stop()

    opened = [(fact.wanted, media.rule.rule_id) for fact, media in told if isinstance(fact, FileOpened)]
    assert opened == [(MP4, a_rule().rule_id), (HLS, "rule2")]
