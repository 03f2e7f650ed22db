"""A playlist that goes on under another recorder, or is ended by it, keeps the promises it began with."""

import json
from functools import partial

import pytest
from support.filed import Desk, PaperJournal
from support.frames import NS, START_NS
from support.hls_rules import parse
from support.jobs import a_job, a_rule
from support.media import opus_samples, video_samples
from support.stage import a_publisher, frames_of, merged

from soloist.keeping.salvage import salvage
from soloist.model.errors import DestinationError
from soloist.model.event import FileCompleted
from soloist.model.media import Codec
from soloist.model.rule import HlsConfig, RecordFormat

pytestmark = pytest.mark.anyio


def cycled_job(epoch=1, cycle_s=8):
    """Return a job whose playlists are of eight seconds, or as long as told."""
    hls = HlsConfig(record_cycle_s=cycle_s, prefix="{stream}", slice_s=2, merge_gap_s=-1)
    return a_job(epoch=epoch, rule=a_rule(formats=(RecordFormat.HLS,), hls=hls))


async def test_a_playlist_that_goes_on_after_a_crash_is_no_longer_than_its_cycle(tmp_path):
    killed = Desk(tmp_path, cycled_job())
    killed.play(5)
    await killed.die()

    desk = Desk(tmp_path, cycled_job(epoch=2))
    desk.filing._opened_ns = START_NS + 6 * NS
    desk.play(1, at_s=6)
    await desk.told()
    desk.play(5, at_s=7, publisher=desk.publisher)
    await desk.finish()

    spans = []
    for _, path in sorted((key, path) for key, path in desk.objects.items() if key.endswith(".m3u8")):
        text = path.read_text()
        first, *_, last = parse(text).segments
        spans.append([moment.starts_at.timestamp() - START_NS / NS for moment in (first, last)])
        spans[-1][1] += last.duration_s
        assert (parse(text).complaints, parse(text).is_ended) == ([], True)
    assert spans == [pytest.approx((0, 8), abs=0.1), pytest.approx((8, 12), abs=0.1)]


async def test_a_playlist_that_goes_on_a_second_time_keeps_its_name(tmp_path):
    desk = Desk(tmp_path, cycled_job(cycle_s=0))
    desk.play(5)
    for epoch in (2, 3):
        await desk.die()
        desk = Desk(tmp_path, cycled_job(epoch, cycle_s=0), journal=PaperJournal(desk.journal))
        desk.filing._opened_ns = START_NS + (10 * epoch - 12) * NS
        desk.play(5, at_s=10 * (epoch - 1))
    await desk.finish()

    (text,) = (path.read_text() for key, path in desk.objects.items() if key.endswith(".m3u8"))
    assert parse(text).is_ended
    assert len(parse(text).segments) == 9
    assert [type(fact) for fact in desk.journal.facts] == [FileCompleted]


def play_with_the_camera_off(desk, codec, seconds, off_s):
    """Have a publisher send sound for so long, and no picture between two moments."""
    alice = a_publisher(codec=codec)
    desk.stage.recording.on_attached(alice)
    off_ns, on_ns = (START_NS + int(at_s * NS) for at_s in off_s)
    pictures = frames_of(video_samples(codec, seconds), codec)
    shown = [frame for frame in pictures if not off_ns <= frame.received_ns < on_ns]
    desk.stage.play(alice, merged(shown, frames_of(opus_samples(seconds), Codec.OPUS, rtp_zero=7)))


def told_of(desk):
    """Return the only file of the only manifest, and which pictures are missing: seconds from and to, and why."""
    (path,) = (path for key, path in desk.objects.items() if key.endswith(".json"))
    manifest = json.loads(path.read_text())
    (file,) = manifest["files"]
    holes = [hole for hole in manifest["missing"] if hole["kind"] == "video"]
    return file, [((hole["start_ns"] / NS, hole["end_ns"] / NS), hole["cause"]) for hole in holes]


@pytest.mark.parametrize("codec", [Codec.H264, Codec.VP9, Codec.AV1])
async def test_black_that_a_killed_recorder_left_is_no_picture_of_the_senders(tmp_path, codec):
    killed = Desk(tmp_path, cycled_job(cycle_s=0))
    play_with_the_camera_off(killed, codec, 10, (3, 99))
    await killed.die()
    assert (await salvage(cycled_job(epoch=2), PaperJournal(), killed.shelf, own=True)).refusal is None

    file, holes = told_of(killed)
    assert file["frames"]["video"] == 90
    assert 9 < file["duration_ns"] / NS <= 10.02
    assert holes == [(pytest.approx((3.02, file["end_ns"] / NS), abs=1e-3), "gap")]


async def test_pictures_that_are_missing_when_a_recorder_is_killed_are_declared_by_the_next(tmp_path):
    killed = Desk(tmp_path, cycled_job(cycle_s=0))
    play_with_the_camera_off(killed, Codec.H264, 10, (3, 99))
    await killed.die()
    desk = Desk(tmp_path, cycled_job(epoch=2, cycle_s=0), journal=PaperJournal(killed.journal))
    desk.filing._opened_ns = START_NS + 12 * NS
    desk.play(3, at_s=13)
    await desk.finish()

    file, holes = told_of(desk)
    assert file["frames"]["video"] == 180
    assert holes == [(pytest.approx((3.02, 13), abs=0.05), "fault")]


async def test_pictures_that_are_missing_between_segments_a_killed_recorder_left_are_declared(tmp_path, monkeypatch):
    monkeypatch.setattr("soloist.keeping.publishing.PATIENCE_S", 0.01)
    killed = Desk(tmp_path, cycled_job(cycle_s=0))
    with monkeypatch.context() as refused:
        refused.setattr(killed.shelf, "commit", partial(_refuse, DestinationError("No.")))
        play_with_the_camera_off(killed, Codec.H264, 14, (3, 9))
        await killed.die()
    assert (await salvage(cycled_job(epoch=2), PaperJournal(), killed.shelf, own=True)).refusal is None

    _, holes = told_of(killed)
    assert holes == [(pytest.approx((3.02, 9.02), abs=0.05), "gap")]


async def _refuse(error, _note):
    raise error
