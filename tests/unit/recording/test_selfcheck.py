"""Once a minute a recording compares what came with what it wrote, and says so when that falls short (rule R46)."""

import pytest
from structlog.testing import capture_logs
from support.frames import NS, START_NS, audio_frame, video_frame
from support.media import opus_samples, video_samples
from support.stage import Stage, a_publisher, frames_of, merged

from soloist.model.media import Codec, Kind, Sample
from soloist.recording.selfcheck import SelfCheck


def complaints(lines):
    return [(line["kind"], line["frames_came"], line["frames_written"]) for line in lines if "falls" in line["event"]]


def test_a_minute_of_sound_and_picture_that_is_all_written_is_no_cause_for_alarm(tmp_path):
    stage, alice = Stage(tmp_path), a_publisher()
    stage.recording.on_attached(alice)
    with capture_logs() as lines:
        picture = frames_of(video_samples(Codec.H264, 65))
        stage.play(alice, merged(picture, frames_of(opus_samples(65), Codec.OPUS, rtp_zero=7)))
    stage.stop()

    assert complaints(lines) == []


def test_pictures_without_a_keyframe_for_a_minute_are_told_with_their_count(tmp_path):
    stage, alice = Stage(tmp_path), a_publisher()
    stage.recording.on_attached(alice)
    pictures = [video_frame(n, keyframe_every=100_000) for n in range(1, 65 * 30)]
    with capture_logs() as lines:
        stage.play(alice, merged(pictures, frames_of(opus_samples(65), Codec.OPUS, rtp_zero=7)))
    stage.stop()

    ((kind, came, written),) = complaints(lines)
    assert (kind, written) == ("video", 0)
    assert 1750 < came < 1850


def checked(kept, *, slower=1):
    """Return what is said of a minute of sound of which the packets `kept` admits are written."""
    check = SelfCheck("job1")
    with capture_logs() as lines:
        check.look(START_NS)
        for n in range(3000):
            check.came(Kind.AUDIO, audio_frame(n))
            if kept(n):
                check.wrote(Sample(Kind.AUDIO, n * 960 // slower, 960, 48_000, True, bytes(22), "opus"))
        check.look(START_NS + 59 * NS)
        assert complaints(lines) == []
        check.look(START_NS + 60 * NS)
        check.look(START_NS + 120 * NS)
    return complaints(lines)


@pytest.mark.parametrize("kept", [lambda _: False, lambda n: n % 2, lambda n: n < 1500], ids=["none", "half", "stops"])
def test_a_writer_that_falls_short_is_told_once_in_its_minute(kept):
    ((kind, came, written),) = checked(kept)
    assert (kind, came) == ("audio", 3000)
    assert written == sum(bool(kept(n)) for n in range(3000))


def test_time_that_is_not_written_is_told_even_if_every_packet_is():
    assert checked(lambda _: True, slower=2) == [("audio", 3000, 3000)]


def test_a_few_packets_on_their_way_are_no_cause_for_alarm():
    assert checked(lambda n: n < 2950) == []
