"""The official Java SDK, unmodified: one round of create, show and stop, its project found by region."""

import os
import subprocess
from pathlib import Path

HERE = Path(__file__).parent / "java"
JARS = Path(__file__).parents[2] / "build" / "java"  # scripts/setup.sh fetches them


def test_the_official_java_sdk_creates_shows_and_stops_a_job(server, who):
    room, user = who["room_id"], who["user_id"]
    keys = {"HUAWEICLOUD_SDK_AK": "devkey", "HUAWEICLOUD_SDK_SK": "devsecret"}
    command = ["java", "-cp", f"{JARS}/*", HERE / "Round.java", server.url, room, user]

    done = subprocess.run(command, env=os.environ | keys, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr
    created, refused, shown, stopped, after = (line.split() for line in done.stdout.splitlines())
    job_id = created[2]
    assert created == ["created", "201", job_id, "INIT", f"s_{job_id}_{room}_{user}"]
    assert refused == ["refused", "400", "RTC.00001006", "32"]
    fields = [room, user, "true", "CAMERASTREAM", "FHD", "60", "demo"]
    assert shown in (["shown", "200", state, "null", *fields] for state in ("INIT", "RUNNING"))
    assert stopped == ["stopped", "204"]
    assert after == ["after", "200", "STOPPED", "TENANT_STOP", *fields]
