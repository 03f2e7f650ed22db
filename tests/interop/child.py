"""Publishers that are programs of their own: a plan on stdin, what was sent on stdout, both JSON."""

import json
import subprocess
import sys
from pathlib import Path

PUBLISHERS = Path(__file__).parent / "publishers"
RUN_S = 60.0


def run_publisher(name: str, plan: dict, *, python: str = sys.executable, prefix: tuple[str, ...] = ()) -> dict:
    """Run `publishers/<name>.py` by an interpreter, by way of a command `prefix`; return what was sent."""
    command = [*prefix, python, str(PUBLISHERS / f"{name}.py")]
    done = subprocess.run(command, input=json.dumps(plan), capture_output=True, text=True, timeout=RUN_S, check=False)
    assert done.returncode == 0, f"{name} failed ({done.returncode}):\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}"
    said: dict = json.loads(done.stdout.splitlines()[-1])
    return said
