"""A person publishes from Chromium, a job records them, and the file holds what their camera and microphone saw."""

import itertools
import time
from dataclasses import dataclass

import pytest
from support.browser import Tab
from support.mp4_boxes import read_boxes
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

    def join(self, name: str = "alice", **options: object) -> None:
        """Have `alice` publish from the tab's participant `name`."""
        self.tab.join(name, self.server.whip_url(self.room, "alice"), token="devtoken", **options)

    def start_job(self, **fields: object) -> tuple[str, int]:
        """Start recording alice; return the job and when its 201 came, milliseconds since 1970."""
        job = self.sdk.create(room_id=self.room, user_id="alice", **fields)
        return job.job_id, round(time.time() * 1000)

    def file_of(self, job: str, created_ms: int, extension: str = ".mp4") -> Recorded:
        """Return the only file of a job once it is in the bucket."""
        (path,) = wait_for_files(self.server.bucket, job, extension=extension)
        return Recorded(path, created_ms)


@pytest.fixture
def stage(server: Server, sdk: Sdk, tab: Tab, room: str) -> Stage:
    return Stage(server, sdk, tab, room)


def record(stage: Stage, *, extension: str, **options: object) -> tuple[Recorded, dict]:
    """Publish, start a job, let it run, stop it; return its only file and what the page sent."""
    stage.join(**options)
    stage.tab.wait(1.5)
    job, created_ms = stage.start_job()
    stage.tab.wait(RECORD_S)
    stage.sdk.stop(job)
    stage.tab.wait(0.5)
    report = stage.tab.report("alice")
    assert stage.tab.leave("alice") == 200
    return stage.file_of(job, created_ms, extension), report


def assert_second_parser_agrees(recorded: Recorded) -> None:
    """Hold pymp4's reading of an MP4 against FFmpeg's: kind of file, number of samples, durations."""
    boxes = read_boxes(recorded.path)
    assert not boxes.is_fragmented, "a finished file is an ordinary one"
    assert {"ftyp", "moov", "mdat"} <= set(boxes.kinds)
    for kind, handler in (("video", "vide"), ("audio", "soun")):
        if kind in recorded.last_begins_s:
            track = boxes.track(handler)
            assert len(track.durations) == len(track.sizes) == recorded.packets_count[kind]
            last_begins_s = (track.ticks - track.durations[-1]) / track.rate_hz
            assert last_begins_s == pytest.approx(recorded.last_begins_s[kind], abs=0.001)
            assert track.declared_ticks == track.ticks


def assert_lasts_as_long_as_it_shows(recorded: Recorded, frame_s: float = FRAME_S) -> None:
    """Hold the picture's track against when its first and its last picture were taken.

    How long the last is shown nobody knows: as long as the one before it, and a busy sender leaves one out at times.
    """
    last_begins_s = recorded.last_begins_s["video"]
    before, last = recorded.pictures[-2:]
    assert abs(last_begins_s - recorded.captured_span_s) <= frame_s
    assert 0 < recorded.durations_s["video"] - last_begins_s <= max(last.pts_s - before.pts_s, frame_s) + 0.001


@pytest.mark.parametrize(
    ("codec", "extension", "codecs"),
    [
        ("H264", ".mp4", {"video": "h264", "audio": "aac"}),
        ("VP8", ".webm", {"video": "vp8", "audio": "opus"}),
        ("VP9", ".mp4", {"video": "vp9", "audio": "aac"}),
        ("AV1", ".mp4", {"video": "av1", "audio": "aac"}),
    ],
)
def test_the_file_holds_what_the_browser_saw_and_heard(
    stage: Stage, codec: str, extension: str, codecs: dict[str, str]
) -> None:
    recorded, report = record(stage, extension=extension, codec=codec)

    assert ffmpeg_complaints(recorded.path) == ""
    assert recorded.codecs == codecs
    assert len(recorded.readable) == len(recorded.pictures), "a picture cannot be read"
    assert recorded.captured_ms(recorded.pictures[0]) - recorded.near_ms < 1000, "the first picture came late"
    assert recorded.captured_span_s > RECORD_S - 1
    assert_lasts_as_long_as_it_shows(recorded)
    assert recorded.holes(report["sent"]) == []
    assert len(recorded.av_offsets_ms) >= RECORD_S - 2
    assert recorded.av_offset_median_ms <= 20, recorded.av_offsets_ms
    assert recorded.av_offset_worst_ms <= 40, recorded.av_offsets_ms
    if extension == ".mp4":
        assert_second_parser_agrees(recorded)


def test_someone_without_a_camera_is_recorded_to_an_mp4_of_sound(stage: Stage) -> None:
    recorded, report = record(stage, extension=".mp4", video=False)

    assert ffmpeg_complaints(recorded.path) == ""
    assert recorded.codecs == {"audio": "aac"}
    assert_second_parser_agrees(recorded)
    assert abs(recorded.durations_s["audio"] - RECORD_S) < 0.7
    gaps = [after - before for before, after in itertools.pairwise(recorded.beeps_s)]
    assert len(report["beeps"]) >= len(recorded.beeps_s) >= RECORD_S - 2
    assert all(abs(gap - 1) < 0.02 for gap in gaps), gaps


def test_someone_without_a_microphone_is_recorded_to_an_mp4_of_pictures(stage: Stage) -> None:
    recorded, report = record(stage, extension=".mp4", audio=False)

    assert ffmpeg_complaints(recorded.path) == ""
    assert recorded.codecs == {"video": "h264"}
    assert_second_parser_agrees(recorded)
    assert_lasts_as_long_as_it_shows(recorded)
    assert recorded.holes(report["sent"]) == []


def test_a_job_started_before_the_call_misses_nothing_of_it(stage: Stage) -> None:
    job, created_ms = stage.start_job()
    stage.tab.wait(1)

    stage.join()
    stage.tab.wait(3)
    stage.sdk.stop(job)
    stage.tab.wait(0.5)
    report = stage.tab.report("alice")
    stage.tab.leave("alice")

    recorded = stage.file_of(job, created_ms)
    assert ffmpeg_complaints(recorded.path) == ""
    assert recorded.holes(report["sent"]) == []
    # What was painted before the session stood was never sent.
    first, sent_ticks = recorded._sent_index(report["sent"])
    assert sent_ticks[first] < 90_000, "pictures sent first are not in the file"


def test_camera_and_screen_of_one_person_are_two_jobs_of_their_own_pictures(stage: Stage) -> None:
    stage.join()
    url = stage.server.whip_url(stage.room, "alice")
    stage.tab.join("screen", f"{url}?stream=screen", token="devtoken", audio=False, screen=True)
    stage.tab.wait(1.5)
    camera, created_ms = stage.start_job()
    screen, _ = stage.start_job(video_type="SCREENSTREAM")
    stage.tab.wait(RECORD_S)
    for job in (camera, screen):
        stage.sdk.stop(job)
    stage.tab.wait(0.5)
    of_camera, of_screen = (stage.file_of(job, created_ms) for job in (camera, screen))

    for recorded, name in ((of_camera, "alice"), (of_screen, "screen")):
        assert ffmpeg_complaints(recorded.path) == ""
        assert recorded.codecs == {"video": "h264", "audio": "aac"}
        assert recorded.holes(stage.tab.report(name)["sent"]) == []
        # Whoever shows a screen is heard by the microphone beside the camera.
        assert len(recorded.beeps_s) >= RECORD_S - 2
    assert len(of_camera.readable) == len(of_camera.pictures)
    # What a screen shows may pass for a picture of the page's by chance, but not for one of these minutes.
    shown_ms = [of_screen.captured_ms(picture) for picture in of_screen.readable]
    assert [moment for moment in shown_ms if abs(moment - created_ms) < 600_000] == []
    assert of_camera.av_offset_worst_ms <= 40, of_camera.av_offsets_ms


def test_whoever_publishes_anew_is_recorded_on(stage: Stage) -> None:
    stage.join("first")
    job, created_ms = stage.start_job()
    stage.tab.wait(3)

    stage.join("second")
    stage.tab.wait(3)
    second_from_ms = stage.tab.report("second")["firstFrame"]["time"]
    assert stage.sdk.show(job).state == "RUNNING"
    stage.sdk.stop(job)

    recorded = stage.file_of(job, created_ms)
    assert ffmpeg_complaints(recorded.path) == ""
    moments = [recorded.captured_ms(picture) for picture in recorded.readable]
    # Both send while one takes the other's place: the newcomer's first picture, which took longer to arrive, may have
    # been taken before the other's last; it then follows that one at once, and moves none after it.
    (change_s,) = [(after - before) / 1000 for before, after in itertools.pairwise(moments) if after <= before] or [1.0]
    assert change_s > -0.2
    assert moments[0] < second_from_ms - 1500
    assert moments[-1] > second_from_ms + 1500
    assert max(after - before for before, after in itertools.pairwise(moments)) < 1500
    assert_lasts_as_long_as_it_shows(recorded)
    assert recorded.av_offset_worst_ms <= 40, recorded.av_offsets_ms
    stage.tab.leave("second")


def test_someone_who_falls_silent_without_a_word_is_gone_after_15_s_and_the_file_ends_with_them(stage: Stage) -> None:
    stage.join(fps=15)
    job, created_ms = stage.start_job(max_idle_time=5)
    stage.tab.wait(3)
    stage.tab.vanish("alice")
    last_painted_ms = stage.tab.report("alice")["lastFrame"]["time"]

    deadline = time.monotonic() + 30
    while (shown := stage.sdk.show(job)).state != "STOPPED":
        assert time.monotonic() < deadline, "the job outlives its room"
        time.sleep(0.2)

    assert shown.stop_reason == "EXCEED_MAX_IDLE_TIME"
    recorded = stage.file_of(job, created_ms)
    assert ffmpeg_complaints(recorded.path) == ""
    assert abs(recorded.captured_ms(recorded.readable[-1]) - last_painted_ms) < 500
    assert_lasts_as_long_as_it_shows(recorded, 1 / 15)
