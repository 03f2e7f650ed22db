"""A person publishes VP8 from Chromium in an app that wants H.264 of it; one transcode gives MP4 and HLS."""

import json
import os
import signal
import time
import urllib.request
from itertools import pairwise
from pathlib import Path

import pytest
from support.browser import Tab
from support.hls_rules import parse
from support.recorded import Recorded, ffmpeg_complaints, wait_for_files
from support.sdk import RecordParam, Sdk
from support.server import Server

FPS = 15
SLICE_S = 2


def ask(server: Server, method: str, path: str, body: dict | None = None) -> dict:
    headers = {"X-Auth-Token": "devtoken"}
    data = json.dumps(body).encode() if body is not None else None
    with urllib.request.urlopen(urllib.request.Request(server.url + path, data, headers, method=method)) as answer:  # noqa: S310 - our own
        return json.load(answer)


@pytest.fixture(scope="module")
def app(server: Server) -> str:
    app_id: str = ask(server, "POST", "/v2/apps", {"app_name": "vp8", "ext": {"vp8": "h264"}})["app_id"]
    return app_id


@pytest.fixture(scope="module")
def rule(server: Server, app: str) -> RecordParam:
    body = {
        "obs_addr": {"location": "cn-north-4", "project_id": "dev", "bucket": "recordings", "object": "vp8"},
        "record_formats": ["MP4", "HLS"],
        "mp4_config": {"record_cycle": 3600, "record_prefix": "{record_format}/{stream}"},
        "hls_config": {
            "record_cycle": 0,
            "record_slice_duration": SLICE_S,
            "record_prefix": "{record_format}/{stream}",
        },
    }
    return RecordParam(record_rule_id=ask(server, "POST", f"/v2/apps/{app}/record-rules", body)["rule_id"])


def transcoders(server: Server) -> set[int]:
    """Return the processes that transcode for a server: children of its recorders."""
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            is_one = b"h264_child" in (path / "cmdline").read_bytes()
            if is_one and parent_of(parent_of(int(path.name))) == server.process.pid:
                found.add(int(path.name))
        except OSError:
            continue
    return found


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


class Take:
    """One job about alice, who sends VP8."""

    def __init__(self, server: Server, sdk: Sdk, tab: Tab, room: str, app: str, rule: RecordParam) -> None:  # noqa: PLR0917 - the fixtures
        self._server, self._sdk, self._tab, self._app = server, sdk, tab, app
        tab.join("alice", server.whip_url(room, "alice", app), token="devtoken", codec="VP8", fps=FPS)
        tab.wait(1)
        before = transcoders(server)
        self.job = str(sdk.create(app, room_id=room, user_id="alice", record_param=rule).job_id)
        self.created_ms = round(time.time() * 1000)
        deadline = time.monotonic() + 20
        while not (started := transcoders(server) - before):
            assert time.monotonic() < deadline, "nothing transcodes"
            tab.wait(0.05)
        (self.child,) = started

    def finished(self, seconds: float) -> tuple[Path, Path, list[dict]]:
        """Record on for a while and stop; return the MP4, the playlist and what was sent."""
        self._tab.wait(seconds)
        self._sdk.stop(self.job, self._app)
        self._tab.wait(0.5)
        sent = self._tab.report("alice")["sent"]
        self._tab.leave("alice")
        folder = self._server.bucket / "vp8"
        (mp4,) = wait_for_files(folder / "mp4", self.job, extension=".mp4")
        wait_for_files(folder / "hls", self.job, extension=".json")
        (playlist,) = wait_for_files(folder / "hls", self.job, extension=".m3u8")
        return mp4, playlist, sent

    @property
    def is_transcoding(self) -> bool:
        """True while its child lives."""
        return self.child in transcoders(self._server)

    @property
    def shown(self) -> dict:
        """The job as the API shows it."""
        return ask(self._server, "GET", f"/v2/apps/{self._app}/individual-stream-jobs/{self.job}")


@pytest.fixture
def take(server: Server, sdk: Sdk, tab: Tab, room: str, app: str, rule: RecordParam) -> Take:  # noqa: PLR0917 - fixtures
    return Take(server, sdk, tab, room, app, rule)


def video_of(path: Path) -> tuple[dict, dict]:
    manifest = json.loads(path.with_suffix(".json").read_text())
    return manifest, next(track for track in manifest["tracks"] if track["kind"] == "video")


def test_vp8_of_a_browser_is_in_mp4_and_hls_as_h264_and_every_picture_of_it(take: Take) -> None:
    mp4, playlist, sent = take.finished(6)

    recorded, of_hls = Recorded(mp4, take.created_ms), Recorded(playlist, take.created_ms)
    assert recorded.codecs == of_hls.codecs == {"video": "h264", "audio": "aac"}
    assert ffmpeg_complaints(mp4) == ffmpeg_complaints(playlist) == ""
    assert recorded.holes(sent) == []
    assert len(recorded.readable) == len(recorded.pictures) == len(of_hls.pictures) > 5 * FPS
    assert recorded.av_offset_median_ms <= 20, recorded.av_offsets_ms
    assert recorded.av_offset_worst_ms <= 40, recorded.av_offsets_ms
    assert parse(playlist.read_text()).complaints == []
    for path in (mp4, playlist):
        manifest, video = video_of(path)
        assert (video["codec"], video["transcoded"]) == ("h264", True)
        assert "fault" not in {missing["cause"] for missing in manifest["missing"]}
        assert manifest["files"][0]["note"] == "VP8 was transcoded to H.264."
    shown = take.shown
    assert shown["ext"] == {"vp8": "h264", "transcoded": {"audio": True, "video": True}}
    assert shown["description"] == "VP8 was transcoded to H.264."
    assert not take.is_transcoding


def test_a_transcoder_that_is_killed_costs_pictures_of_a_declared_fault_and_the_recording_goes_on(take: Take) -> None:
    time.sleep(2)
    os.kill(take.child, signal.SIGKILL)
    mp4, _, sent = take.finished(5)

    recorded = Recorded(mp4, take.created_ms)
    manifest, _ = video_of(mp4)
    (fault,) = [missing for missing in manifest["missing"] if missing["cause"] == "fault"]
    assert (fault["kind"], fault["detail"]) == ("video", "transcoder_died")
    assert ffmpeg_complaints(mp4) == ""
    holes = recorded.holes(sent)
    assert len(holes) > 0
    # A busy sender leaves pictures out: how long each of the lost ones was shown counts, not how many they were.
    first, ticks = recorded._sent_index(sent)
    shown_s = {before: (after - before) / 90_000 for before, after in pairwise(ticks[first:])}
    assert (fault["end_ns"] - fault["start_ns"]) / 1e9 == pytest.approx(sum(map(shown_s.get, holes)), abs=2 / FPS)
