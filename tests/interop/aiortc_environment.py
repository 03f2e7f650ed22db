"""The interpreter that has aiortc: its dependencies are not Soloist's, so it lives in an environment of its own.

Its versions are locked with the benchmark's aiortc peer.
"""

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / "build" / "aiortc"
INSTALL_S = 300.0


def aiortc_python() -> str:
    """Return the interpreter, its environment brought to the lock file."""
    uv = shutil.which("uv", path=f"{os.environ['PATH']}:{ROOT / 'build' / 'tools' / 'bin'}")
    if uv is None:
        raise RuntimeError("no uv on PATH: `scripts/setup.sh interop` installs it")
    subprocess.run(
        [uv, "sync", "--quiet", "--locked", "--project", str(ROOT / "benchmarks" / "peer_aiortc")],
        check=True,
        timeout=INSTALL_S,
        env=os.environ | {"UV_PROJECT_ENVIRONMENT": str(ENVIRONMENT)},
    )
    return str(ENVIRONMENT / "bin" / "python")
