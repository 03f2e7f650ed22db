"""What a running service writes into its logs, whatever it is sent and whatever befalls it: no secret, no address.

One whole run at the most talkative level: a participant publishes by join token and is recorded, strangers send what is
malformed and forged, a recorder is killed, the database refuses a row with a secret in it. Then every line is read.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from datetime import timedelta

import psycopg
import pytest
from support.database import connected
from support.instance import instance, until
from support.log_scan import leaks
from support.offers import OFFER
from support.sdk import Sdk
from support.steady import write_clip

from soloist.clock import utc_now
from soloist.jobs.accounts import Accounts
from soloist.wire.join_token import JoinRole, mint_join_token

CANDIDATES = (
    "a=candidate:1 1 udp 2113937151 198.51.100.23 50000 typ host\r\n"
    "a=candidate:2 1 udp 2113937150 2001:db8::17 50000 typ host\r\n"
)
PASSWORD = "bP+XJMM09aR8AiX1jdukzR6Y"
"""The ICE password of `OFFER`."""
SECRETS = ("devsecret", "devtoken", "turn-secret", "forged-bearer", "forged-token", "f0f0", "hunter2", "row-secret")
SIGNED = "SDK-HMAC-SHA256 Access=devkey, SignedHeaders=x-sdk-date, Signature=" + "f0" * 32
SDP = {"Content-Type": "application/sdp"}
MISCHIEF = (
    ("POST", "/whip/demo/r2/bob", OFFER + CANDIDATES, SDP),
    ("POST", "/whip/demo/r2/bob", OFFER + CANDIDATES, SDP | {"Authorization": "Bearer forged-bearer"}),
    ("POST", "/whip/demo/r2/bob", CANDIDATES + OFFER[:200], SDP),
    ("PATCH", "/whip/demo/r2/bob/none", CANDIDATES, {"Content-Type": "application/trickle-ice-sdpfrag"}),
    ("POST", "/v2/apps/demo/individual-stream-jobs", '{"password": "hunter2"', {"X-Auth-Token": "forged-token"}),
    ("POST", "/v2/apps/demo/individual-stream-jobs", '{"password": "hunter2"', {"X-Auth-Token": "devtoken"}),
    ("GET", "/v2/apps/demo/individual-stream-jobs/none", None, {"Authorization": SIGNED}),
    ("GET", "/v2/198.51.100.23/[2001:db8::17]?password=hunter2", None, {"X-Forwarded-For": "198.51.100.23"}),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The logs of a whole run by name, and its secrets."""
    clip = write_clip(tmp_path_factory.mktemp("clip") / "clip.mkv", seconds=20)
    turn = [{"url": "turn:192.0.2.7:3478", "username": "user", "credential": "turn-secret"}]
    talkative = {
        "SOLOIST_LOG_LEVEL": "debug",
        "SOLOIST_LOG_FORMAT": "json",
        "SOLOIST_ICE_SERVERS": json.dumps(turn),
        "SOLOIST_PUBLIC_ADDRESS": '["127.0.0.1", "::1"]',
    }
    with instance(environment=talkative) as service:
        join_key = asyncio.run(read_join_key(service._database_url))
        token = mint_join_token(
            join_key, app_id="demo", room_id="r1", participant_id="alice", role=JoinRole.JOINER,
            expires_at=utc_now() + timedelta(hours=1),
        )  # fmt: skip
        with publishing(clip, service, token):
            record_through_a_crash(service)
        refuse_a_row(service._database_url)
        postgres = (service.data / "postgres.log").read_text()
        service.stop()
        yield {"serve": service.log.read_text(), "postgres": postgres}, {*SECRETS, PASSWORD, token, join_key}


async def read_join_key(database_url):
    async with connected(database_url) as database:
        return (await Accounts(database).app_anywhere("demo")).join_key


@contextlib.contextmanager
def publishing(clip, service, token):
    command = [sys.executable, "-m", "soloist", "publish", str(clip), "--url", service.whip_url("r1", "alice")]
    quiet = {"stdin": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([*command, "--loop"], env={**os.environ, "SOLOIST_TOKEN": token}, **quiet) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)


def record_through_a_crash(service):
    sdk = Sdk(service.url)
    job = sdk.create(room_id="r1", user_id="alice").job_id
    until(lambda: is_recording(service, job, epoch=1), 20, "nothing is recorded")
    send_mischief(service)
    service.signal("recorder", signal.SIGKILL)
    until(lambda: is_recording(service, job, epoch=2), 30, "nothing is recorded after the crash")
    sdk.stop(job)
    until(lambda: "JobEnded" in service.events(job), 30, "the end is not told")


def is_recording(service, job, *, epoch):
    return any(path.stat().st_size > 10_000 for path in (service.spool / job / str(epoch)).glob("*.mp4"))


def send_mischief(service):
    for method, path, body, headers in MISCHIEF:
        request = urllib.request.Request(service.url + path, body and body.encode(), headers, method=method)  # noqa: S310 - our own
        with contextlib.suppress(urllib.error.HTTPError):
            urllib.request.urlopen(request, timeout=10).close()  # noqa: S310 - our own
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for garbage in (b"", b"\x00\x01\x00\x00!\x12\xa4B", b"\x16\xfe\xfd" + bytes(40), b"\x80\x60" + bytes(40)):
            stranger.sendto(garbage, ("127.0.0.1", service.media_port))


def refuse_a_row(database_url):
    """Have PostgreSQL refuse a row; it would tell the whole of it."""
    row = ("AK", "row-secret", "dev")
    with psycopg.connect(database_url) as connection, pytest.raises(psycopg.errors.NotNullViolation):
        connection.execute("INSERT INTO credentials VALUES (%s, %s, %s, NULL)", row)


def test_no_secret_address_or_candidate_reaches_a_log(run):
    logs, secrets = run
    # The one line that is printed, not logged, tells whoever started it where to connect, in dev mode with what.
    lines = [line for line in logs["serve"].splitlines() if not line.startswith("Soloist is ready")]

    assert leaks("\n".join(lines), secrets) == set()
    assert leaks(logs["postgres"], secrets) == set()


def test_the_logs_that_are_scanned_tell_of_every_process_and_of_what_befell_it(run):
    logs, _ = run
    lines = [json.loads(line) for line in logs["serve"].splitlines() if line.startswith("{")]

    assert {"supervisor", "api", "recorder-0"} <= {line["process"] for line in lines}
    told = {line["event"] for line in lines}
    assert {"publisher_joined", "recording_opened", "child_ended", "file_salvaged", "job_ended", "stopped"} <= told
    assert "null value in column" in logs["postgres"]


@pytest.mark.parametrize(
    "line",
    [
        "peer 198.51.100.23 left",
        "peer 198.51.100.23:4000 left.",
        "udp://[2001:db8::17]:4000",
        "from=2001:db8::17.",
        "('::1', 4000)",
        "candidate:1 1 udp 2113937151 host.local 50000 typ host",
        "the key is hunter2",
    ],
)
def test_the_scan_finds_what_is_there(line):
    assert leaks(line, ["hunter2"])


@pytest.mark.parametrize(
    "line", ["2026-11-22 22:29:28.123 UTC", "PostgreSQL 18.6 on x86_64", "str0m::ice::agent", "candidate:***", "0.0.0"]
)
def test_the_scan_passes_ordinary_lines(line):
    assert leaks(line, ["hunter2"]) == set()
