"""A real nginx with its RTMP module: records what is published to it, says what it sees, drops who it is told to."""

import contextlib
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.instance import until
from support.server import free_port

CONFIG = """
load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off; master_process off; error_log {folder}/error.log info; pid {folder}/nginx.pid;
events {{}}
rtmp {{
  server {{
    listen 127.0.0.1:{port};
    application live {{ live on; record all; record_path {folder}; record_unique on; }}
  }}
}}
{stream}
http {{
  access_log off;
  server {{
    listen 127.0.0.1:{http_port};
    location /stat {{ rtmp_stat all; }}
    location /control {{ rtmp_control all; }}
  }}
}}
"""
TLS = """
stream {{
  server {{
    listen 127.0.0.1:{tls_port} ssl; ssl_certificate {certificate}; ssl_certificate_key {key};
    proxy_pass 127.0.0.1:{port};
  }}
}}
"""


@dataclass(frozen=True)
class NginxRtmp:
    """A running one."""

    folder: Path
    port: int
    http_port: int
    tls_port: int

    def url(self, name: str, app: str = "live") -> str:
        return f"rtmp://127.0.0.1:{self.port}/{app}/{name}"

    def stat(self) -> str:
        """Return its statistics, XML."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/stat", timeout=5) as answer:
            return answer.read().decode()

    def streams(self) -> set[str]:
        """Return the names that are being published."""
        found = re.findall(r"<stream>\s*<name>([^<]*)</name>(.*?)</stream>", self.stat(), re.DOTALL)
        return {name for name, body in found if "<publishing/>" in body}

    def drop(self, name: str) -> None:
        """Cut a publisher off."""
        target = f"http://127.0.0.1:{self.http_port}/control/drop/publisher?app=live&name={name}"
        with urllib.request.urlopen(target, timeout=5) as answer:
            answer.read()

    def finished(self, name: str) -> list[Path]:
        """Return what was recorded under a name once nginx has taken in all that its publishers sent.

        A publisher ends when its bytes are with this machine's TCP; a busy nginx may still have to read them.
        """
        until(lambda: name not in self.streams(), 10, f"{name} is still published")
        return self.recordings(name)

    def recordings(self, name: str) -> list[Path]:
        """Return what was recorded under a name, one FLV file a connection, oldest first."""
        return sorted(self.folder.glob(f"{name}-*.flv"), key=lambda path: path.stat().st_mtime_ns)


@contextlib.contextmanager
def nginx_rtmp(folder: Path, certificate: Path | None = None, key: Path | None = None) -> Iterator[NginxRtmp]:
    """Run one that records to `folder`; with a certificate it also takes rtmps."""
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    assert nginx, "nginx is missing: scripts/setup.sh tests"
    running = NginxRtmp(folder, free_port(), free_port(), free_port())
    stream = TLS.format(tls_port=running.tls_port, certificate=certificate, key=key, port=running.port)
    text = CONFIG.format(
        folder=folder, port=running.port, http_port=running.http_port, stream=stream if certificate else ""
    )
    if not certificate:
        text = text.replace("load_module /usr/lib/nginx/modules/ngx_stream_module.so;", "")
    if Path("/etc/passwd").exists() and folder.owner() == "root":
        text = f"user root;{text}"
    config = folder / "nginx.conf"
    config.write_text(text)
    with (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen([nginx, "-p", str(folder), "-c", str(config)], stderr=stderr)
    try:
        _await(running, process)
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def _await(running: NginxRtmp, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 30
    while True:
        with contextlib.suppress(OSError):
            running.stat()
            return
        said = (running.folder / "stderr").read_text()
        assert process.poll() is None, said
        assert time.monotonic() < deadline, said
        time.sleep(0.02)
