"""What a browser publishes reaches an RTMP server: the same pictures as in its file, with the sound beside them."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.browser import Tab
from support.enhanced_rtmp import enhanced_rtmp
from support.forwarded import ForwardJob, call, flv_pictures, mp4_pictures, packet_hashes
from support.nginx_rtmp import NginxRtmp, nginx_rtmp
from support.recorded import Recorded, ffmpeg_complaints, wait_for_files
from support.server import Server

WAIT_S = 30.0
MP4_RULE = {
    "obs_addr": {"location": "cn-north-4", "project_id": "dev", "bucket": "recordings", "object": "forwarded"},
    "record_formats": ["MP4"],
    "mp4_config": {"record_cycle": 3600, "record_prefix": "{stream}"},
}


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NginxRtmp]:
    with nginx_rtmp(tmp_path_factory.mktemp("nginx")) as running:
        yield running


def reach(tab: Tab, job: ForwardJob, state: str) -> None:
    """Let the page go on until a job's only target is in a state."""
    deadline = time.monotonic() + WAIT_S
    while job.states != [state]:
        assert time.monotonic() < deadline, job.targets
        tab.wait(0.2)


def test_a_browsers_picture_and_sound_arrive_together(server: Server, tab: Tab, room: str, nginx: NginxRtmp) -> None:
    tab.join("alice", server.whip_url(room, "alice"), token="devtoken", codec="H264")
    job = ForwardJob(server.url, room, "alice", [nginx.url("browser")])
    near_ms = round(time.time() * 1000)
    reach(tab, job, "live")
    tab.wait(6)
    job.stop()
    reach(tab, job, "ended")

    (flv,) = nginx.finished("browser")
    (mp4,) = wait_for_files(server.bucket, job.job_id, extension=".mp4")
    sent, kept = flv_pictures(flv), mp4_pictures(mp4)
    assert len(sent) == job.targets[0]["pictures_sent"] > 100
    assert sent == kept[kept.index(sent[0]) :]
    assert ffmpeg_complaints(flv) == ""
    shown = Recorded(flv, near_ms)
    assert len(shown.readable) == len(shown.pictures)
    assert len(shown.av_offsets_ms) >= 4
    assert shown.av_offset_median_ms <= 20, shown.av_offsets_ms
    assert shown.av_offset_worst_ms <= 40, shown.av_offsets_ms


def test_vp8_is_not_forwarded_and_says_what_to_publish(server: Server, tab: Tab, room: str, nginx: NginxRtmp) -> None:
    tab.join("alice", server.whip_url(room, "alice"), token="devtoken", codec="VP8")
    job = ForwardJob(server.url, room, "alice", [nginx.url("vp8")])
    reach(tab, job, "failed")
    tab.wait(1)
    job.stop()
    reach(tab, job, "ended")

    assert "publish H.264" in job.targets[0]["last_error"]
    assert nginx.recordings("vp8") == []
    assert wait_for_files(server.bucket, job.job_id, extension=".webm")


def test_vp8_of_which_h264_is_made_is_forwarded_picture_for_picture(
    server: Server, tab: Tab, room: str, nginx: NginxRtmp
) -> None:
    app = call(server.url, "POST", "/v2/apps", {"app_name": "vp8-forwarded", "ext": {"vp8": "h264"}})[1]["app_id"]
    rule = call(server.url, "POST", f"/v2/apps/{app}/record-rules", MP4_RULE)[1]["rule_id"]
    tab.join("alice", server.whip_url(room, "alice", app), token="devtoken", codec="VP8")
    job = ForwardJob(server.url, room, "alice", [nginx.url("vp8-as-h264")], app=app, rule=rule)
    reach(tab, job, "live")
    tab.wait(4)
    job.stop()
    reach(tab, job, "ended")

    (flv,) = nginx.finished("vp8-as-h264")
    (mp4,) = wait_for_files(server.bucket, job.job_id, extension=".mp4")
    sent, kept = flv_pictures(flv), mp4_pictures(mp4)
    assert len(sent) == job.targets[0]["pictures_sent"] > 60
    assert sent == kept[kept.index(sent[0]) :]
    assert ffmpeg_complaints(flv) == ""
    assert job.view["ext"]["transcoded"]["video"]


@pytest.mark.parametrize("codec", ["VP9", "AV1"])
def test_a_server_of_enhanced_rtmp_gets_each_picture_as_it_is_in_the_file(  # noqa: PLR0917 - fixtures
    server: Server, tab: Tab, room: str, codec: str, tmp_path: Path
) -> None:
    with enhanced_rtmp(tmp_path) as target:
        tab.join("alice", server.whip_url(room, "alice"), token="devtoken", codec=codec)
        job = ForwardJob(server.url, room, "alice", [target.url])
        reach(tab, job, "live")
        tab.wait(3)
        job.stop()
        reach(tab, job, "ended")
        told = job.targets[0]
        sent = target.finished(codec.lower(), told["pictures_sent"])
        sounds = target.finished("aac", told["sounds_sent"])

    (mp4,) = wait_for_files(server.bucket, job.job_id, extension=".mp4")
    kept = packet_hashes(mp4)
    assert len(sent) == told["pictures_sent"] > 60
    assert len(sounds) == told["sounds_sent"]
    assert sent == kept[kept.index(sent[0]) :]
