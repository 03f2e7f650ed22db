"""A sender that changes again and again loses pictures, told as missing; one that changes now and then, nothing."""

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from support.filed import Desk
from support.frames import NS, START_NS
from support.jobs import a_job, a_rule
from support.media import HIGH_PROFILE, opus_samples, video_samples
from support.stage import Stage, a_publisher, frames_of, merged

from soloist.keeping.filing import TooManyFilesError
from soloist.model.media import Codec, Kind
from soloist.model.rule import Mp4Config, RecordFormat
from soloist.model.timing import Cause
from soloist.recording.turnover import CHANGES_BURST, CHANGES_PER_S, FILES_BURST, FILES_PER_S, Turnover

SECONDS = 6


def keyframes(codec, seconds, per_s, **kwargs):
    """Return keyframes alone, evenly in time."""
    count = int(seconds * per_s)
    (first,) = video_samples(codec, 1 / 30, width=64, height=64, **kwargs)[:1]
    return [replace(first, pts_ticks=n * 90_000 // per_s, duration_ticks=90_000 // per_s) for n in range(count)]


def alternating(*kinds):
    """Return frames that are of each kind in turn."""
    return [kinds[n % len(kinds)][n] for n in range(len(kinds[0]))]


def profiles(per_s, seconds=SECONDS):
    """Return keyframes of two H.264 profiles in turn: each needs another MP4."""
    made = [keyframes(Codec.H264, seconds, per_s), keyframes(Codec.H264, seconds, per_s, options=HIGH_PROFILE)]
    return alternating(*(frames_of(samples, size=(64, 64)) for samples in made))


def codings(per_s, seconds=SECONDS):
    """Return keyframes of two codings in turn: each needs another container."""
    made = {codec: keyframes(codec, seconds, per_s) for codec in (Codec.H264, Codec.VP8)}
    return alternating(*(frames_of(samples, codec, size=(64, 64)) for codec, samples in made.items()))


def sizes(codec, per_s, seconds=SECONDS):
    """Return keyframes of one coding whose size changes with each."""
    frames = frames_of(keyframes(codec, seconds, per_s), codec)
    return [frame.but(width=64 + 2 * (n % 2), height=64) for n, frame in enumerate(frames)]


def sound(seconds=SECONDS):
    return frames_of(opus_samples(seconds), Codec.OPUS, rtp_zero=7)


def record(folder, frames, wanted=RecordFormat.MP4, codec=Codec.H264):
    stage, alice = Stage(folder, a_job(rule=a_rule(formats=(wanted,)))), a_publisher(codec=codec)
    stage.recording.on_attached(alice)
    stage.play(alice, frames)
    stage.stop()
    assert stage.failures == []
    return stage


def told(stage):
    """Return what is declared missing of the pictures, each stretch once."""
    found = {missing for media in stage.media for missing in media.missing}
    found |= {missing for fact in stage.ended for missing in fact.summary.missing}
    found |= {missing for segment in stage.segments for missing in segment.missing}
    return sorted((m for m in found if m.kind is Kind.VIDEO), key=lambda m: m.start_ns)


def assert_whole(stage, pictures):
    """Check that each picture is in a file or in a declared stretch."""
    written = sum(fact.summary.frames.get(Kind.VIDEO, 0) for fact in stage.ended)
    holes = told(stage)
    assert holes
    assert all((m.cause, m.detail) == (Cause.FAULT, "too_many_changes") for m in holes)
    left_out = len(pictures) - written
    origin_ns = stage.media[-1].origin_ns
    times = [START_NS + (frame.rtp_ticks - 1_000_000) * NS // 90_000 + 20_000_000 - origin_ns for frame in pictures]
    slack_ns = NS // 1000
    within = sum(any(m.start_ns - slack_ns <= at_ns < m.end_ns - slack_ns for m in holes) for at_ns in times)
    assert within == pytest.approx(left_out, abs=len(holes))
    assert left_out > 0


@pytest.mark.parametrize("make", [profiles, codings])
def test_codings_that_change_with_every_picture_begin_no_more_files_than_a_second_may(tmp_path, make):
    pictures = make(100)
    stage = record(tmp_path, merged(pictures, sound()))

    assert len(stage.opened) <= FILES_BURST + SECONDS * FILES_PER_S + 1
    assert_whole(stage, pictures)
    # Sound goes on throughout.
    assert sum(fact.summary.frames.get(Kind.AUDIO, 0) for fact in stage.ended) == SECONDS * 50


@pytest.mark.parametrize(
    ("codec", "wanted"), [(Codec.H264, RecordFormat.HLS), (Codec.VP9, RecordFormat.HLS), (Codec.VP8, RecordFormat.MP4)]
)
def test_sizes_that_change_with_every_picture_change_a_file_no_more_often_than_a_second_may(tmp_path, codec, wanted):
    pictures = sizes(codec, 100)
    stage = record(tmp_path, merged(pictures, sound()), wanted, codec)

    assert len(stage.segments) <= CHANGES_BURST + SECONDS * (CHANGES_PER_S + 1)
    assert len(stage.ended[-1].summary.layers) <= CHANGES_BURST + SECONDS * CHANGES_PER_S + 1
    assert_whole(stage, pictures)


def test_av1_whose_size_changes_with_every_picture_begins_no_more_files_than_a_second_may(tmp_path):
    small, large = (
        frames_of(
            [
                replace(video_samples(Codec.AV1, 1 / 30, width=size[0], height=size[1])[0], pts_ticks=n * 900)
                for n in range(SECONDS * 100)
            ],
            Codec.AV1,
            size=size,
        )
        for size in ((64, 64), (128, 64))
    )
    stage = record(tmp_path, alternating(small, large), codec=Codec.AV1)

    assert len(stage.opened) <= FILES_BURST + SECONDS * FILES_PER_S + 1


def test_hundreds_of_changes_a_second_cost_the_media_thread_little(tmp_path):
    pictures = profiles(300, seconds=4)
    began_s = time.thread_time()
    record(tmp_path, pictures)

    assert time.thread_time() - began_s < 2


@pytest.mark.parametrize("wanted", [RecordFormat.MP4, RecordFormat.HLS])
@pytest.mark.parametrize("codec", [Codec.H264, Codec.VP9])
def test_a_window_that_is_resized_for_ten_seconds_loses_nothing(tmp_path, codec, wanted):
    # Chromium begins its pictures anew five times a second meanwhile.
    pictures = sizes(codec, 5, seconds=10)
    stage = record(tmp_path, pictures, wanted, codec)

    assert stage.ended[-1].summary.frames[Kind.VIDEO] == len(pictures)
    assert told(stage) == []


def test_a_sender_that_changes_its_coding_ten_times_in_five_seconds_loses_nothing(tmp_path):
    pictures = codings(2, seconds=5)
    stage = record(tmp_path, pictures)

    assert sum(fact.summary.frames[Kind.VIDEO] for fact in stage.ended) == len(pictures)
    assert told(stage) == []


def test_sound_that_breaks_off_again_and_again_begins_no_file_each_time(tmp_path):
    stage = Stage(tmp_path, a_job(rule=a_rule(mp4=Mp4Config(0, merge_gap_s=0))))
    packets = sound(SECONDS)
    for n in range(SECONDS * 25):
        publisher = a_publisher(n + 1, kinds=(Kind.AUDIO,))
        stage.recording.on_attached(publisher)
        stage.recording.on_items(publisher, packets[n * 2 : n * 2 + 2])
        stage.recording.on_detached(publisher, "left")
        stage.recording.on_tick(packets[n * 2 + 1].received_ns)
    stage.stop()

    assert len(stage.opened) <= FILES_BURST + 60 + SECONDS + 1
    missing = {(m.cause, m.detail) for media in stage.media for m in media.missing}
    assert (Cause.FAULT, "too_many_changes") in missing


@pytest.mark.anyio
async def test_files_that_wait_for_their_bucket_hold_no_descriptor(tmp_path):
    desk = Desk(tmp_path, a_job())
    gate = await held(desk)
    before = open_count()
    desk.publisher = a_publisher()
    desk.stage.recording.on_attached(desk.publisher)
    desk.stage.play(desk.publisher, profiles(10, seconds=1.5))
    desk.stage.recording.on_tick(desk.stage.now_ns)
    await until_finished(desk)
    assert desk.filing._counts["opened"] >= 12
    assert open_count() - before <= 5
    gate.set()
    await desk.finish()
    manifests = [json.loads(path.read_text()) for key, path in desk.objects.items() if key.endswith(".json")]
    assert len(manifests) == desk.filing._counts["opened"]


def open_count():
    """Return how many descriptors this process holds."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def held(desk):
    """Have the bucket take nothing until the event that is returned is set."""
    gate, commit = asyncio.Event(), desk.shelf.commit

    async def waiting(note):
        await gate.wait()
        return await commit(note)

    desk.shelf.commit = waiting
    return gate


async def until_finished(desk):
    for _ in range(400):
        await asyncio.sleep(0.02)
        if desk.filing._finishings and all(task.done() for task in desk.filing._finishings.values()):
            return
    raise AssertionError("files are not finished")


@pytest.mark.anyio
async def test_a_job_that_has_had_all_the_files_it_may_fails_and_keeps_what_it_has(tmp_path):
    desk = Desk(tmp_path, a_job())
    desk.shelf.files_per_job_max = 3
    desk.stage.recording._has_room = desk.filing.has_room
    desk.publisher = a_publisher()
    for series in desk.stage.recording._series.values():
        series._turnover = Turnover(desk.filing.has_room)
    desk.stage.recording.on_attached(desk.publisher)
    desk.stage.play(desk.publisher, profiles(10, seconds=1))
    await desk.finish()

    assert {type(error) for error in desk.failures} == {TooManyFilesError}
    assert len([key for key in desk.objects if key.endswith(".mp4")]) == 3


def test_an_allowance_gives_back_with_time_and_never_saves_up_more_than_its_burst():
    turnover, begun = Turnover(lambda: True), 0
    for n in range(10_000):
        begun += turnover.may_begin(n * NS // 1000)
    assert FILES_BURST + 9 * FILES_PER_S <= begun <= FILES_BURST + 10 * FILES_PER_S
    later = 10_000 * NS
    assert sum(turnover.may_begin(later) for _ in range(1000)) == FILES_BURST


def test_what_is_left_out_because_files_wait_for_their_bucket_is_not_laid_to_its_sender():
    has_room = False
    turnover = Turnover(lambda: has_room)
    first, second = keyframes(Codec.H264, 1, 2)

    assert not turnover.may_begin(first.pts_ns)
    turnover.leave_out(first)
    has_room = True
    assert turnover.may_begin(second.pts_ns)
    turnover.go_on(Kind.VIDEO, second.pts_ns)
    assert [(m.cause, m.detail) for m in turnover.told()] == [(Cause.FAULT, "too_many_unfiled")]
