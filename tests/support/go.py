"""Go programs of the tests: built where they are needed."""

import os
import shutil
import subprocess
from pathlib import Path

BUILD = Path(__file__).parents[2] / "build"
BUILD_S = 600.0


def go_build(source: Path, name: str) -> Path:
    """Return the program of a folder, built if its sources changed."""
    go = shutil.which("go", path=f"{os.environ['PATH']}:{BUILD / 'tools' / 'bin'}")
    if go is None:
        raise RuntimeError("no Go on PATH: `scripts/setup.sh tests` installs it")
    binary = BUILD / "interop" / name
    binary.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([go, "build", "-o", str(binary), "."], cwd=source, check=True, timeout=BUILD_S)
    return binary
