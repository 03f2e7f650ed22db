"""The pion publisher (`pion/`): built once, run with a plan, asked what it sent."""

import json
import re
import subprocess
from pathlib import Path

from support.go import BUILD, go_build

SOURCE = Path(__file__).parent / "pion"
BINARY = BUILD / "interop" / "pion-publisher"
RUN_S = 60.0


def build() -> Path:
    """Return the program, built if its sources changed."""
    return go_build(SOURCE, BINARY.name)


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
