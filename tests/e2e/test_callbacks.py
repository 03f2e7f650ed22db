"""A participant is recorded by a running service, and the customer is told of it: file, length, address, end."""

import subprocess
import sys
import urllib.request
from pathlib import Path

import av
from huaweicloudsdkcloudrtc.v2 import AppCallbackUrlReq
from support.instance import until
from support.receiver import receiver
from support.sdk import Sdk
from support.server import Server
from support.steady import write_clip

CLIP_S = 4


def test_a_recordings_notices_describe_the_file_that_they_lead_to(
    server: Server, sdk: Sdk, room: str, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "clip.mkv", seconds=CLIP_S)
    with receiver() as customer:
        sdk.call("update_record_callback", app_id="demo", body=AppCallbackUrlReq(url=customer.url))
        job = sdk.create(room_id=room, user_id="alice")
        whip = [server.whip_url(room, "alice"), "--token", "devtoken"]
        subprocess.run([sys.executable, "-m", "soloist", "publish", str(clip), "--url", *whip], check=True, timeout=60)
        sdk.stop(job.job_id)
        until(lambda: len(customer.of(job)) >= 3, 30, "not everything was told")
        sdk.call("update_record_callback", app_id="demo", body=AppCallbackUrlReq(url=""))

    begun, done, over = (notice.fields for notice in customer.of(job))
    assert [told["event_type"] for told in (begun, done, over)] == [
        "RECORD_NEW_FILE_START",
        "RECORD_FILE_COMPLETE",
        "CLOUD_RECORD_SERVER_OVER",
    ]
    with urllib.request.urlopen(done["download_url"], timeout=10) as answer:  # noqa: S310 - our own
        downloaded = tmp_path / "downloaded.mp4"
        downloaded.write_bytes(answer.read())
    assert done["file_size"] == downloaded.stat().st_size
    assert (server.bucket / done["obs_object"]).read_bytes() == downloaded.read_bytes()
    assert (done["obs_bucket"], done["record_format"], begun["record_format"]) == ("recordings", "MP4", "MP4")
    assert done["download_url"].startswith(done["obs_location"])
    with av.open(str(downloaded)) as file:
        picture = file.streams.video[0]
        assert (done["width"], done["height"]) == (picture.width, picture.height)
        assert abs(done["record_duration"] - file.duration / av.time_base) <= 0.5
    assert over["detail_message"] == "TENANT_STOP"
