"""Whatever a participant changes meanwhile, a recording stays one, and players play all of it (rules R14, R17, R41)."""

import json
import time
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from pathlib import Path

import pytest
from huaweicloudsdkcloudrtc.v2 import (
    HLSRecordConfig,
    MP4RecordConfig,
    RecordObsFileAddr,
    RecordParam,
    RecordRuleReq,
)
from playwright.sync_api import Browser
from support.browser import Tab, publisher_tab
from support.hls_rules import jumps_s, parse
from support.playback import Playback, player_of
from support.recorded import Recorded, ffmpeg_complaints, wait_for_files
from support.sdk import Sdk
from support.server import Server

RECONNECTS = 10
SWITCHES = ({"scale": 2}, {"scale": 1}, {"size": [480, 270]}, {"scale": 2}, {"scale": 4})
HEIGHTS = (180, 360, 270, 180, 90)
"""What each of them makes of 640 x 360."""
CODECS = {"alice": "H264", "bob": "VP9"}
CODINGS = ("H264", "VP9", "VP8", "H264")
"""What one participant's page has its browser send, one after the other."""
PLAYERS = ("hls", "shaka")
STOCK_S = 8
"""Shaka loads ten seconds ahead. The first segment lasts a third of one here: else the machine would be judged."""
START_S = 0.1
"""A player may go to the first picture of a playlist."""


@dataclass
class Show:
    """Two participants' recordings of the same changes, and what two players noticed of their playlists."""

    bucket: Path
    created_ms: int
    jobs: dict[str, str]
    seen: dict[tuple[str, str], Playback] = field(default_factory=dict)
    went_on_s: dict[tuple[str, str], list[tuple[float, float]]] = field(default_factory=dict)

    def the_file(self, name: str, extension: str) -> Path:
        (path,) = self.bucket.rglob(f"*{self.jobs[name]}*{extension}")
        return path


def rule_of(sdk: Sdk, app: str) -> RecordParam:
    """Return a rule whose playlists go over any interruption."""
    body = RecordRuleReq(
        obs_addr=RecordObsFileAddr(location="cn-north-4", project_id="dev", bucket="recordings", object="changes"),
        record_formats=["HLS", "MP4"],
        hls_config=HLSRecordConfig(
            record_cycle=0,
            record_prefix="hls/{stream}",
            record_slice_duration=2,
            record_max_duration_to_merge_file=-1,
        ),
        mp4_config=MP4RecordConfig(
            record_cycle=3600, record_prefix="mp4/{stream}", record_max_duration_to_merge_file=300
        ),
    )
    return RecordParam(record_rule_id=sdk.call("create_record_rule", app_id=app, body=body).rule_id)


def act(tab: Tab) -> None:
    """Reconnect and change sizes, then switch the camera off and on while the sound goes on."""
    names = list(CODECS)
    for turn in range(RECONNECTS):
        tab.wait(1.2)
        if turn % 2 == 0:
            for name in names:
                tab.change(name, **SWITCHES[turn // 2])
            await_height(tab, names, HEIGHTS[turn // 2])
            tab.wait(1.2)
        tab.rejoin(names, leaves=turn % 3 != 0, width=640, height=360)
    tab.wait(1.5)
    for name in names:
        tab.change(name, camera=False)
    tab.wait(4)
    for name in names:
        tab.change(name, camera=True)
    tab.wait(2.5)


def await_height(tab: Tab, names: list[str], height: int) -> None:
    """Let the page go on until everybody sends pictures of a height; what is recorded is judged later."""
    deadline = time.monotonic() + 5
    while {tab.layers(name)[""]["height"] for name in names} != {height} and time.monotonic() < deadline:
        tab.wait(0.1)


@pytest.fixture(scope="module")
def show(server: Server, sdk: Sdk, browser: Browser, pages: str) -> Show:
    """Both participants' files, played to their ends."""
    app = sdk.call("create_app", body={"app_name": "changes"}).app_id
    rule = rule_of(sdk, app)
    with publisher_tab(browser, pages) as tab:
        for name, codec in CODECS.items():
            tab.join(name, server.whip_url("changes", name, app), token="devtoken", codec=codec, fps=15)
        jobs = {
            name: str(sdk.create(app, room_id="changes", user_id=name, record_param=rule).job_id) for name in CODECS
        }
        created_ms = round(time.time() * 1000)
        act(tab)
        for job in jobs.values():
            sdk.stop(job, app)
        for name, job in jobs.items():
            wait_for_files(server.bucket / "changes", job, extension=".m3u8")
            assert tab.leave(name) == 200
    found = Show(server.bucket / "changes", created_ms, jobs)
    for job in jobs.values():
        wait_for_files(found.bucket / "hls", job, extension=".json")
        wait_for_files(found.bucket / "mp4", job, extension=".mp4")
    with player_of(browser, server.bucket) as player:
        each = [(name, by) for name in CODECS for by in PLAYERS]
        for name, by in each:
            key = found.the_file(name, ".m3u8").relative_to(server.bucket)
            player.play(name + by, str(key), rate=3, by=by, stock_s=STOCK_S)
        for name, by in each:
            found.seen[name, by] = seen = player.until_ended(name + by, 60)
            sought = [seen.duration_s * share for share in (0.8, 0.3, 0.55)]
            found.went_on_s[name, by] = [(at_s, player.go_on(name + by, at_s)) for at_s in sought]
    return found


@pytest.mark.parametrize("by", PLAYERS)
@pytest.mark.parametrize("name", CODECS)
def test_ten_reconnects_and_five_switches_of_size_are_one_playlist_that_players_play_without_an_error(show, name, by):
    playlist, seen = parse(show.the_file(name, ".m3u8").read_text()), show.seen[name, by]

    assert (seen.fatal, seen.stalls) == ([], []), seen
    assert [jump_s for jump_s in seen.jumps if jump_s > START_S] == [], seen
    assert seen.position_s == pytest.approx(playlist.duration_s, abs=0.5), seen
    assert seen.has_sound
    assert all(0 < went_on_s - at_s < 2 for at_s, went_on_s in show.went_on_s[name, by])


@pytest.mark.parametrize("name", CODECS)
def test_every_change_is_tagged_and_stated(show, name):
    path = show.the_file(name, ".m3u8")
    playlist, manifest = parse(path.read_text()), json.loads(path.with_suffix(".json").read_text())
    picture = next(track for track in manifest["tracks"] if track["kind"] == "video")
    start_s = {segment["key"].rsplit("/", 1)[-1]: segment["start_ns"] for segment in manifest["files"][0]["segments"]}
    tagged = {start_s[segment.uri] for segment in playlist.segments[1:] if segment.is_discontinuous}

    assert playlist.complaints == []
    assert all(abs(jump_s) <= 0.002 for jump_s in jumps_s(playlist))
    assert picture["codec"] == CODECS[name].lower()
    sizes = [(layer["width"], layer["height"]) for layer in picture["layers"]]
    assert {(640, 360), (320, 180), (480, 270)} <= set(sizes)
    assert {layer["start_ns"] for layer in picture["layers"][1:]} <= tagged
    assert sum(picture["layer_seconds"].values()) > 20
    idle = [hole for hole in manifest["missing"] if hole["kind"] == "video" and hole["cause"] == "idle"]
    assert len(idle) == RECONNECTS


@pytest.mark.parametrize("name", CODECS)
def test_the_mp4_beside_it_is_one_as_well_and_sound_and_picture_stay_together(show, name):
    path = (
        show.the_file(name, ".mp4")
        if name == "alice"
        else next((show.bucket / "mp4").rglob(f"*{show.jobs[name]}*.mp4"))
    )
    recorded = Recorded(path, show.created_ms)

    assert len(list((show.bucket / "mp4").rglob(f"*{show.jobs[name]}*.mp4"))) == 1
    # ffmpeg scales what changes its size for its own output, and says so.
    assert [line for line in ffmpeg_complaints(path).splitlines() if "swscaler" not in line] == []
    assert len(recorded.readable) == len(recorded.pictures), "a picture cannot be read"
    assert len(recorded.av_offsets_ms) >= 15
    # The worst after each kind of change is for `make fidelity` to judge.
    assert recorded.av_offset_median_ms <= 20, recorded.av_offsets_ms


@dataclass
class Switched:
    """What a recording became whose sender changed the codec within its session, and what was sent in each."""

    mp4: list[Path]
    """And WebM, in order."""
    hls: list[Path]
    created_ms: int
    runs: list[list[dict]]


@pytest.fixture(scope="module")
def switched(server: Server, sdk: Sdk, browser: Browser, pages: str) -> Switched:
    app = sdk.call("create_app", body={"app_name": "codings"}).app_id
    with publisher_tab(browser, pages) as tab:
        url = server.whip_url("codings", "carol", app)
        tab.join("carol", url, token="devtoken", codec=",".join(dict.fromkeys(CODINGS)), fps=15)
        tab.wait(1)
        job = str(sdk.create(app, room_id="codings", user_id="carol", record_param=rule_of(sdk, app)).job_id)
        created_ms = round(time.time() * 1000)
        for codec in CODINGS:
            tab.change("carol", codec=codec)
            tab.wait(3.5)
        sdk.stop(job, app)
        tab.wait(0.5)
        sent = tab.report("carol")["sent"]
        assert tab.leave("carol") == 200
    folder = server.bucket / "changes"
    found = wait_for_files(folder, job, extension=".json", count=len(CODINGS) + CODINGS.count("H264") + 1)
    media = sorted((path for told in found for path in told.parent.glob(f"{told.stem}.*")), key=start_ns)
    return Switched(
        [path for path in media if path.suffix in (".mp4", ".webm")],
        [path for path in media if path.suffix == ".m3u8"],
        created_ms,
        [list(run) for _, run in groupby(sent, lambda picture: picture["codec"])],
    )


def told_of(path: Path) -> dict:
    return json.loads(path.with_suffix(".json").read_text())


def start_ns(path: Path) -> int:
    return told_of(path)["files"][0]["start_ns"]


def test_a_codec_changed_within_the_session_begins_the_next_file_and_nothing_is_lost(switched):
    of_mp4 = [Recorded(path, switched.created_ms) for path in switched.mp4]
    of_hls = [Recorded(path, switched.created_ms) for path in switched.hls]

    assert [one.codecs["video"].upper() for one in of_mp4] == list(CODINGS)
    assert [one.codecs["video"].upper() for one in of_hls] == [codec for codec in CODINGS if codec != "VP8"]
    for files, runs in (
        (of_mp4, switched.runs),
        (of_hls, [run for run in switched.runs if run[0]["codec"] != "video/VP8"]),
    ):
        for recorded, run in zip(files, runs, strict=True):
            first, _ = recorded._sent_index(run)
            assert ffmpeg_complaints(recorded.path) == ""
            assert len(recorded.readable) == len(recorded.pictures), "a picture cannot be read"
            assert recorded.holes(run) == []
            # The recording begins within the first run and ends within the last.
            assert run is runs[0] or first == 0
            assert run is runs[-1] or len(recorded.pictures) == len(run) - first


def test_sound_goes_on_over_a_change_of_codec_and_stays_with_the_picture(switched):
    told = [told_of(path) for path in switched.mp4]
    files = [one["files"][0] for one in told]
    offsets = [Recorded(path, switched.created_ms).av_offsets_ms for path in [*switched.mp4, *switched.hls]]

    # Sound may begin before the first keyframe.
    assert [hole for one in told for hole in one["missing"] if hole["start_ns"] > 0] == []
    assert all(abs(after["start_ns"] - before["end_ns"]) < 100_000_000 for before, after in pairwise(files))
    assert all(offsets)
    assert max(abs(offset) for of_file in offsets for offset in of_file) <= 40, offsets
