"""A person publishes from Chromium, a job records them, and the file holds what their camera and microphone saw."""

import itertools
import time
from dataclasses import dataclass

import pytest
from support.browser import Tab
from support.recorded import Recorded, ffmpeg_complaints, wait_for_files
from support.sdk import Sdk
from support.server import Server

FRAME_S = 1 / 30
RECORD_S = 6.0


@dataclass(frozen=True)
class Stage:
    """Everything a scenario needs."""

    server: Server
    sdk: Sdk
    tab: Tab
    room: str


@pytest.fixture
def stage(server: Server, sdk: Sdk, tab: Tab, room: str) -> Stage:
    return Stage(server, sdk, tab, room)


def record(stage: Stage, *, extension: str, **options: object) -> tuple[Recorded, dict]:
    """Publish, start a job, let it run, stop it; return its only file and what the page sent."""
    server, sdk, tab, room = stage.server, stage.sdk, stage.tab, stage.room
    tab.join("alice", server.whip_url(room, "alice"), token="devtoken", **options)
    tab.wait(1.5)
    job = sdk.create(room_id=room, user_id="alice")
    created_ms = round(time.time() * 1000)
    tab.wait(RECORD_S)
    sdk.stop(job.job_id)
    tab.wait(0.5)
    report = tab.report("alice")
    assert tab.leave("alice") == 200
    (path,) = wait_for_files(server.bucket, job.job_id, extension=extension)
    return Recorded(path, created_ms), report


@pytest.mark.parametrize(
    ("codec", "extension", "codecs"),
    [
        ("H264", ".mp4", {"video": "h264", "audio": "aac"}),
        ("VP8", ".webm", {"video": "vp8", "audio": "opus"}),
    ],
)
def test_the_file_holds_what_the_browser_saw_and_heard(
    stage: Stage, codec: str, extension: str, codecs: dict[str, str]
) -> None:
    recorded, report = record(stage, extension=extension, codec=codec)

    assert ffmpeg_complaints(recorded.path) == ""
    assert {kind: name.removeprefix("lib") for kind, name in recorded.codecs.items()} == codecs
    assert len(recorded.readable) >= 0.98 * len(recorded.pictures)
    assert recorded.pictures[0].time_ms is not None
    assert recorded.pictures[-1].time_ms is not None
    assert recorded.captured_ms(recorded.pictures[0]) - recorded.near_ms < 1000, "the first picture came late"
    assert recorded.captured_span_s > RECORD_S - 1.5
    assert abs(recorded.durations_s["video"] - recorded.captured_span_s) <= 2 * FRAME_S
    assert recorded.holes(report["sent"]) == []
    assert len(recorded.av_offsets_ms) >= RECORD_S - 2
    assert recorded.av_offset_median_ms <= 20, recorded.av_offsets_ms
    assert recorded.av_offset_worst_ms <= 40, recorded.av_offsets_ms


def test_someone_without_a_camera_is_recorded_to_an_mp4_of_sound(stage: Stage) -> None:
    recorded, report = record(stage, extension=".mp4", video=False)

    assert ffmpeg_complaints(recorded.path) == ""
    assert recorded.codecs == {"audio": "aac"}
    assert abs(recorded.durations_s["audio"] - RECORD_S) < 0.7
    gaps = [after - before for before, after in itertools.pairwise(recorded.beeps_s)]
    assert len(report["beeps"]) >= len(recorded.beeps_s) >= RECORD_S - 2
    assert all(abs(gap - 1) < 0.02 for gap in gaps), gaps


def test_whoever_publishes_anew_is_recorded_on(stage: Stage) -> None:
    server, sdk, tab, room = stage.server, stage.sdk, stage.tab, stage.room
    url = server.whip_url(room, "alice")
    tab.join("first", url, token="devtoken")
    job = sdk.create(room_id=room, user_id="alice")
    created_ms = round(time.time() * 1000)
    tab.wait(3)

    tab.join("second", url, token="devtoken")
    tab.wait(3)
    second_from_ms = tab.report("second")["firstFrame"]["time"]
    assert sdk.show(job.job_id).state == "RUNNING"
    sdk.stop(job.job_id)

    (path,) = wait_for_files(server.bucket, job.job_id, extension=".mp4")
    recorded = Recorded(path, created_ms)
    assert ffmpeg_complaints(path) == ""
    moments = [recorded.captured_ms(picture) for picture in recorded.readable]
    assert moments == sorted(moments)
    assert moments[0] < second_from_ms - 1500
    assert moments[-1] > second_from_ms + 1500
    assert max(after - before for before, after in itertools.pairwise(moments)) < 1500
    assert abs(recorded.durations_s["video"] - recorded.captured_span_s) <= 2 * FRAME_S
    assert recorded.av_offset_worst_ms <= 40, recorded.av_offsets_ms
    tab.leave("second")
