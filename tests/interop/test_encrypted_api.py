"""The API by HTTPS, from certificate files and behind nginx: the official SDK and a WHIP publisher work through both.

The SDK signs the Host it was pointed at, so a proxy has to hand it on unchanged.
"""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from interop import pion
from interop.certificates import write_certificate
from interop.clips import Clips
from interop.conftest import DevStage
from interop.judge import judge
from interop.production import production, trusting_client
from interop.recorded_clip import Stage, record_clip
from interop.table import Row, Table
from support.sdk import Sdk
from support.server import free_port

from soloist.model.media import Codec

NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {cert}; ssl_certificate_key {key};
    location / {{ proxy_pass {upstream}; {host} }}
  }}
}}
"""
HOST_KEPT = "proxy_set_header Host $http_host;"


class HttpsStage:
    """An instance whose API is reached at another address, by HTTPS."""

    def __init__(self, behind: DevStage, url: str) -> None:
        self._behind = behind
        self._url = url

    @property
    def bucket(self) -> Path:
        return self._behind.bucket

    def sdk(self) -> Sdk:
        sdk = Sdk(self._url)
        sdk.client = trusting_client(self._url, "devkey", "devsecret", "dev")
        return sdk

    def endpoint(self, room: str, user: str) -> tuple[str, str]:
        return f"{self._url}/whip/demo/{room}/{user}", "devtoken"


@contextmanager
def nginx(folder: Path, upstream: str, host: str) -> Iterator[str]:
    """Run nginx as TLS proxy before an instance; yield its address."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if program is None:
        raise RuntimeError("no nginx: `scripts/setup.sh interop` installs it")
    port, (cert, key) = free_port(), write_certificate(folder, "p256")
    config = folder / "nginx.conf"
    config.write_text(
        NGINX.format(folder=folder, port=port, cert=cert, key=key, upstream=upstream, host=host), encoding="ascii"
    )
    process = subprocess.Popen([program, "-p", str(folder), "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        _await_port(port, process)
        yield f"https://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _await_port(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 10
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, "nginx ended"
        assert time.monotonic() < deadline, "nginx does not listen"
        time.sleep(0.05)


def judged(row: Row, stage: Stage, clips: Clips) -> None:
    """Record pion through `stage` and judge the file."""
    plan = {"codec": "H264", "certificate": "p256", "setup": "actpass", "rtx": True, "transport": "udp"}
    plan |= {"layers": [str(clips.pictures(Codec.H264))], "audio": str(clips.sound())}
    recorded = record_clip(stage, lambda url, token: pion.run({**plan, "url": url, "token": token}))
    judge(row, recorded, frames=recorded.sent["video_frames"][0], packets=recorded.sent["audio_frames"])


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_sdk_and_publisher_work_through_nginx(stage: DevStage, clips: Clips, table: Table, tmp_path: Path) -> None:
    pion.build()
    row = table.add(Row("pion, through nginx", pion.version(), "H264", "p256 actpass"))
    with nginx(tmp_path, stage.server.url, HOST_KEPT) as url:
        judged(row, HttpsStage(stage, url), clips)


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_a_proxy_that_changes_host_breaks_the_signature(stage: DevStage, tmp_path: Path) -> None:
    with nginx(tmp_path, stage.server.url, "") as url, pytest.raises(ClientRequestException) as refused:
        HttpsStage(stage, url).sdk().create(room_id="r", user_id="u")

    assert refused.value.status_code == 401


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_sdk_and_publisher_work_by_https_from_certificate_files(clips: Clips, table: Table, tmp_path: Path) -> None:
    pion.build()
    row = table.add(Row("pion, HTTPS", pion.version(), "H264", "p256 actpass"))
    cert, key = write_certificate(tmp_path, "p256")
    options = ["--tls-cert", str(cert), "--tls-key", str(key)]
    with production("127.0.0.1", *options, reached_at="127.0.0.1", scheme="https") as stage:
        assert "API https://127.0.0.1" in stage.server.log.read_text(), "the ready line names another scheme"
        assert stage.operators_token("r", "u").count(".") == 2
        judged(row, stage, clips)
