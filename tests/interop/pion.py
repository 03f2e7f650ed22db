"""The pion publisher (`pion/`): built once, run with a plan, asked what it sent."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).parent / "pion"
BINARY = Path(__file__).parents[2] / "build" / "interop" / "pion-publisher"
TOOLS = Path(__file__).parents[2] / "build" / "tools" / "bin"
BUILD_S = 600.0
RUN_S = 60.0


def build() -> Path:
    """Return the program, built if its sources changed."""
    go = shutil.which("go", path=f"{os.environ['PATH']}:{TOOLS}")
    if go is None:
        raise RuntimeError("no Go on PATH: `scripts/setup.sh interop` installs it")
    BINARY.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([go, "build", "-o", str(BINARY), "."], cwd=SOURCE, check=True, timeout=BUILD_S)
    return BINARY


def version() -> str:
    """Return the pion release the program is built on."""
    found = re.search(r"pion/webrtc/v4 v(\S+)", (SOURCE / "go.mod").read_text())
    assert found, "go.mod names no pion"
    return found[1]


def run(plan: dict, prefix: tuple[str, ...] = ()) -> dict:
    """Publish as the plan says, by way of a command `prefix`; return what was sent."""
    done = subprocess.run(
        [*prefix, str(BINARY)], input=json.dumps(plan), capture_output=True, text=True, timeout=RUN_S, check=False
    )
    assert done.returncode == 0, done.stderr
    report: dict = json.loads(done.stdout)
    return report
