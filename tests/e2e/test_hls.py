"""A person publishes from Chromium and is recorded as HLS and MP4; hls.js plays it while it grows and afterwards."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import av
import pytest
from huaweicloudsdkcloudrtc.v2 import (
    HLSRecordConfig,
    MP4RecordConfig,
    RecordObsFileAddr,
    RecordParam,
    RecordRuleReq,
)
from playwright.sync_api import Browser
from support.browser import Tab
from support.hls_rules import Playlist, changes, jumps_s, parse
from support.playback import Player, player_of
from support.probe import probe
from support.recorded import Recorded, ffmpeg_complaints, wait_for_files
from support.sdk import Sdk
from support.server import Server

FPS = 15
FRAME_S = 1 / FPS
SLICE_S = 2
FOLDER = "hls"


@pytest.fixture(scope="module")
def app(sdk: Sdk) -> str:
    """A customer's app whose rule asks for both formats."""
    app_id: str = sdk.call("create_app", body={"app_name": "both"}).app_id
    return app_id


@pytest.fixture(scope="module")
def rule(sdk: Sdk, app: str) -> RecordParam:
    body = RecordRuleReq(
        obs_addr=RecordObsFileAddr(location="cn-north-4", project_id="dev", bucket="recordings", object=FOLDER),
        record_formats=["HLS", "MP4"],
        hls_config=HLSRecordConfig(
            record_cycle=0,
            record_prefix="{record_format}/{stream}",
            record_slice_duration=SLICE_S,
            record_max_duration_to_merge_file=-1,
        ),
        mp4_config=MP4RecordConfig(record_cycle=3600, record_prefix="{record_format}/{stream}"),
    )
    return RecordParam(record_rule_id=sdk.call("create_record_rule", app_id=app, body=body).rule_id)


@pytest.fixture
def player(browser: Browser, server: Server) -> Iterator[Player]:
    with player_of(browser, server.bucket) as opened:
        yield opened


class Growth:
    """Reads a playlist again and again; notes what may not have happened to it."""

    def __init__(self, server: Server, job: str) -> None:
        self._folder = server.bucket / FOLDER
        self._job = job
        self.texts: list[str] = []

    def look(self) -> Playlist:
        """Return what the playlist says now; empty if it is not there yet."""
        found = list(self._folder.rglob(f"*{self._job}*.m3u8"))
        text = found[0].read_text() if found else ""
        if text and text not in self.texts[-1:]:
            self.texts.append(text)
        return parse(text) if text else Playlist()

    @property
    def complaints(self) -> list[str]:
        """Which rules it ever broke."""
        of_texts = [complaint for text in self.texts for complaint in parse(text).complaints]
        return of_texts + [change for before, after in pairwise(self.texts) for change in changes(before, after)]


def grow(growth: Growth, tab: Tab, *, segments: int, within_s: float = 30) -> None:
    """Let the page go on until a playlist lists so many segments."""
    deadline = time.monotonic() + within_s
    while len(growth.look().segments) < segments:
        assert time.monotonic() < deadline, f"the playlist does not grow: {growth.texts}"
        tab.wait(0.2)


def late_ms(playlist: Playlist, recorded: Recorded) -> float:
    """Return how much later the playlist dates its first picture than that was taken, milliseconds."""
    with av.open(str(recorded.path)) as container:
        zero_s = (container.start_time or 0) / 1_000_000
    picture, starts_at = recorded.readable[0], playlist.segments[0].starts_at
    assert starts_at is not None
    return (starts_at.timestamp() + picture.pts_s - zero_s) * 1000 - recorded.captured_ms(picture)


@dataclass(frozen=True)
class Stage:
    """Everything a scenario needs."""

    server: Server
    sdk: Sdk
    tab: Tab
    player: Player
    room: str
    app: str
    rule: RecordParam

    def record(self, codec: str) -> str:
        """Have alice publish and be recorded; return the job."""
        url = self.server.whip_url(self.room, "alice", self.app)
        self.tab.join("alice", url, token="devtoken", codec=codec, fps=FPS)
        self.tab.wait(1)
        return str(self.sdk.create(self.app, room_id=self.room, user_id="alice", record_param=self.rule).job_id)


@pytest.fixture
def stage(server: Server, sdk: Sdk, tab: Tab, player: Player, room: str, app: str, rule: RecordParam) -> Stage:  # noqa: PLR0917 - fixtures
    return Stage(server, sdk, tab, player, room, app, rule)


@pytest.mark.parametrize(("codec", "extension"), [("H264", ".ts"), ("VP9", ".m4s")])
def test_hls_and_mp4_of_one_recording_play_while_it_goes_on_and_afterwards(
    stage: Stage, codec: str, extension: str
) -> None:
    server, sdk, tab, player = stage.server, stage.sdk, stage.tab, stage.player
    job, created_ms = stage.record(codec), round(time.time() * 1000)
    growth = Growth(server, job)
    # A player looks for new segments once a target duration (RFC 8216 §6.3.4), 6 s here: it needs to begin with more.
    grow(growth, tab, segments=4)
    key = f"{FOLDER}/hls/s_{job}_{stage.room}_alice.m3u8"
    player.play("live", key)
    grow(growth, tab, segments=6)
    sdk.stop(job, stage.app)
    (mp4,) = wait_for_files(server.bucket / FOLDER / "mp4", job, extension=".mp4")
    wait_for_files(server.bucket / FOLDER / "hls", job, extension=".json")
    playlist = growth.look()
    player.play("afterwards", key, rate=2)
    live, afterwards = player.until_ended("live", 30), player.until_ended("afterwards", 20)

    assert growth.complaints == []
    assert playlist.is_ended
    assert {segment.uri[segment.uri.rindex(".") :] for segment in playlist.segments} == {extension}
    assert all(abs(jump_s) <= 0.002 for jump_s in jumps_s(playlist))
    for seen in (live, afterwards):
        assert (seen.fatal, seen.stalls) == ([], []), seen
        assert seen.position_s == pytest.approx(playlist.duration_s, abs=0.1), seen
        assert seen.size[0] * 9 == seen.size[1] * 16  # A busy sender may step down from 640 x 360.
        assert seen.has_sound

    path = server.bucket / key
    complaints = ffmpeg_complaints(path).splitlines()
    # A busy sender may change its picture; ffmpeg 5.1 knows one initialisation section and says so of others.
    is_changed = len({segment.map_uri for segment in playlist.segments}) > 1
    assert [line for line in complaints if not (is_changed and "duplicated MOOV" in line)] == []
    of_mp4, of_hls = Recorded(mp4, created_ms), Recorded(path, created_ms)
    assert playlist.duration_s == pytest.approx(float(probe(mp4).duration_s or 0), abs=FRAME_S)
    assert len(of_hls.pictures) == len(of_mp4.pictures)
    # How far sound was off when it was sent is the same in both; the page is busy with playing.
    in_hls, in_mp4 = of_hls.av_offset_of_second_ms, of_mp4.av_offset_of_second_ms
    # Where a recording begins just before a beep, one of them may hold too little before it to tell where that begins.
    assert len(both := in_hls.keys() & in_mp4.keys()) >= max(len(in_hls), len(in_mp4)) - 1 > 0
    assert [in_hls[second] for second in both] == pytest.approx([in_mp4[second] for second in both], abs=3)
    assert abs(late_ms(playlist, of_hls)) < 150
