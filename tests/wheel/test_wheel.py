"""The wheel as a stranger gets it: into an empty environment, with no Rust, no compiler's help and no source at hand.

Needs what `make wheel` needs to build it; afterwards only what the wheel itself brings.
"""

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from support.database import private_folder
from support.probe import probe
from support.server import free_port

ROOT = Path(__file__).resolve().parents[2]
RECORD_S = 4
PATH = "/usr/bin:/bin"
"""Debian's commands only: neither cargo nor our own environment."""


@pytest.fixture(scope="module")
def wheel():
    """The wheel, built again: seconds, unless what it is made of has changed."""
    done = subprocess.run([str(ROOT / "scripts" / "wheel.sh")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return Path(ROOT, done.stdout.strip().splitlines()[-1])


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """An environment with the wheel and its dependencies in it, and nothing else."""
    folder = tmp_path_factory.mktemp("empty") / "env"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, env=bare())
    install = [str(folder / "bin" / "pip"), "install", "--only-binary", ":all:", "--disable-pip-version-check"]
    done = subprocess.run([*install, str(wheel)], capture_output=True, text=True, env=bare(), check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def bare():
    """Return the variables of a stranger's shell; where packages come from is the machine's own setting."""
    kept = ("HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")
    variables = {name: value for name, value in os.environ.items() if name in kept or name.startswith("PIP_")}
    return {**variables, "PATH": PATH}


def test_the_wheel_is_one_for_every_python_from_3_11_on(wheel):
    assert "-cp311-abi3-manylinux_" in wheel.name


def test_the_native_module_needs_no_openssl_of_the_machine(environment):
    module = next(environment.rglob("soloist/_core.abi3.so"))
    needed = subprocess.run(["ldd", str(module)], capture_output=True, text=True, check=True).stdout

    assert "libssl" not in needed
    assert "libcrypto" not in needed


def test_the_console_is_in_the_wheel(environment):
    installed = {path.name for path in next(environment.rglob("soloist/console")).iterdir()}

    assert installed == {path.name for path in (ROOT / "src" / "soloist" / "console").iterdir()}


def test_no_rust_is_within_reach_of_the_installed_command(environment):
    program = "import shutil, soloist; print(shutil.which('cargo'), soloist.__file__)"
    python = str(environment / "bin" / "python")
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, env=bare(), check=True, cwd="/")

    assert done.stdout.split() == ["None", str(next(environment.rglob("soloist/__init__.py")))]


def test_the_installed_wheel_records_a_participant(environment):
    with private_folder() as folder:
        draw_clip(folder / "clip.mkv", RECORD_S + 6)
        recording = record(environment, folder)
        facts = probe(recording)

    assert (facts.stream("video").codec, facts.stream("audio").codec) == ("h264", "aac")
    assert float(facts.duration_s) == pytest.approx(RECORD_S, abs=1.5)
    assert facts.complaints == ""


def draw_clip(path, seconds):
    """Write a moving picture and a tone as a WebRTC sender would code them, by Debian's ffmpeg."""
    sources = ["-f", "lavfi", "-i", f"testsrc2=s=320x180:r=30:d={seconds}", "-f", "lavfi", "-i", f"sine=d={seconds}"]
    coded = ["-c:v", "libx264", "-profile:v", "baseline", "-g", "30", "-pix_fmt", "yuv420p", "-c:a", "libopus"]
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", *sources, *coded, "-ar", "48000", str(path)], check=True)


def record(environment, folder):
    """Serve, publish a clip and record it, all by the installed command; return the file."""
    port = free_port()
    variables = {"SOLOIST_RUNTIME": str(folder / "run"), "SOLOIST_MEDIA_PORT": "0"}
    serve = start(environment, folder / "serve.log", variables, "serve", "--dev", "--port", str(port),
                  "--data", str(folder / "data"))  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: ask(url, "GET", "/soloist/v1/health")["status"] == "ok", 60, folder)
        whip = f"{url}/whip/demo/room/alice"
        publish = start(environment, folder / "publish.log", {}, "publish", str(folder / "clip.mkv"), "--url", whip)
        try:
            body = {"room_id": "room", "user_id": "alice", "record_param": {"record_rule_id": "demo"}}
            job = ask(url, "POST", "/v2/apps/demo/individual-stream-jobs", body)["job_id"]
            wait_for(lambda: any((folder / "data" / "spool").rglob("*.mp4")), 20, folder)
            time.sleep(RECORD_S)
            ask(url, "DELETE", f"/v2/apps/demo/individual-stream-jobs/{job}")
        finally:
            end(publish)
        bucket = folder / "data" / "storage" / "recordings"
        wait_for(lambda: any(path.with_suffix(".json").exists() for path in bucket.rglob("*.mp4")), 20, folder)
        return next(bucket.rglob("*.mp4"))
    finally:
        end(serve)


def start(environment, log, variables, *arguments):
    with log.open("wb") as output:
        return subprocess.Popen(
            [str(environment / "bin" / "soloist"), *arguments],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**bare(), **variables}, cwd="/",
        )  # fmt: skip


def end(process):
    process.terminate()
    process.wait(30)


def ask(url, method, path, body=None):
    headers = {"X-Auth-Token": "devtoken", "Content-Type": "application/json"}
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url + path, data, headers, method=method)  # noqa: S310 - our own
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own
        return json.loads(answer.read() or b"{}")


def wait_for(is_done, within_s, folder):
    deadline = time.monotonic() + within_s
    while True:
        try:
            if is_done():
                return
        except OSError:
            pass
        if time.monotonic() > deadline:
            logs = [path.read_text(errors="replace")[-2000:] for path in folder.glob("*.log")]
            raise AssertionError("\n".join(logs))
        time.sleep(0.1)
