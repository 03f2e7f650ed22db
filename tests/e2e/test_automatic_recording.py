"""Somebody publishes into a room of an app that records automatically: nobody starts a job, and the file is there."""

import json
import time
from pathlib import Path

import psycopg
import pytest
from huaweicloudsdkcloudrtc.v2 import AppReq, AutoRecordModeReq, MP4RecordConfig, RecordObsFileAddr, RecordRuleReq
from support.recorded import Recorded, ffmpeg_complaints, wait_for_files
from support.sdk import Sdk
from support.server import Server
from support.steady import steady_publisher, write_clip

MISSED_S_MAX = 2.5
"""A recorder looks at once when somebody joins, and every two seconds besides; the clip has a keyframe a second."""


@pytest.fixture
def app(sdk: Sdk) -> str:
    """A customer's new app whose rooms are recorded by themselves."""
    app_id: str = sdk.call("create_app", body=AppReq(app_name="automatic")).app_id
    rule = RecordRuleReq(
        obs_addr=RecordObsFileAddr(location="cn-north-4", project_id="dev", bucket="recordings", object="auto"),
        record_formats=["MP4"],
        mp4_config=MP4RecordConfig(record_cycle=3600),
    )
    rule_id = sdk.call("create_record_rule", app_id=app_id, body=rule).rule_id
    mode = AutoRecordModeReq(mode="AUTO_INDIVIDUAL_RECORD", record_rule_id=rule_id)
    sdk.call("update_auto_record", app_id=app_id, body=mode)
    return app_id


def live_jobs(server: Server, app: str) -> dict[str, str]:
    """Return the app's running jobs: id by participant."""
    query = "SELECT participant_id, job_id FROM jobs WHERE app_id = %s AND state = 'RUNNING'"
    with psycopg.connect(server.database_url) as database:
        return dict(database.execute(query, (app,)).fetchall())


def test_whoever_publishes_is_recorded_without_a_start(server: Server, sdk: Sdk, app: str, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", seconds=10)
    with steady_publisher(clip, server.whip_url("room", "alice", app), tmp_path / "notes") as publisher:
        deadline = time.monotonic() + 20
        while publisher.frames_count < 120 or "alice" not in live_jobs(server, app):
            assert time.monotonic() < deadline, "no job was started"
            time.sleep(0.2)
        (span,) = publisher.spans
        job = live_jobs(server, app)["alice"]
        sdk.stop(job, app)
        (told,) = wait_for_files(server.bucket / "auto", f"{app}_room_alice_av_m", extension=".json")
        (path,) = wait_for_files(server.bucket / "auto", f"{app}_room_alice_av_m", extension=".mp4")

    assert sdk.show(job, app).stream_name == f"{app}_room_alice_av_m"
    assert ffmpeg_complaints(path) == ""
    recorded = Recorded(path, 0)
    assert recorded.durations_s["video"] > 4 - MISSED_S_MAX
    manifest = json.loads(told.read_text())
    begins_s = (int(manifest["origin"]["unix_ns"]) + manifest["files"][0]["start_ns"]) / 1e9
    assert begins_s - span.began_s < MISSED_S_MAX
