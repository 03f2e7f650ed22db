"""One session in a process of its own: `main` is what `publishing.py` starts in a child.

A plan comes in as one JSON line on stdin, progress goes out as JSON lines on stdout, an error as the last of them. When
stdin ends, so does the session, with its DELETE: a parent that dies leaves no publisher behind. A process of its own,
because FFmpeg's muxer can wait for ever inside a call when a server ends the DTLS session, and only killing ends that.
"""

import contextlib
import json
import os
import signal
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import NoReturn

import av

from soloist.model.errors import SoloistError
from soloist.publisher.pacing import PublishProgress, SessionPlan, run_session


def render_plan(plan: SessionPlan) -> str:
    """Return a plan as the line `main` reads."""
    return json.dumps(asdict(replace(plan, file=Path(plan.file).absolute())), default=str)


def parse_plan(line: str) -> SessionPlan:
    """Return the plan of a line."""
    fields = json.loads(line)
    return SessionPlan(**{**fields, "file": Path(fields["file"])})


def main() -> None:
    """Publish what stdin says."""
    av.logging.set_level(None)
    signal.signal(signal.SIGTERM, _interrupt)
    plan = parse_plan(sys.stdin.readline())
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    progress = PublishProgress()
    try:
        with contextlib.suppress(KeyboardInterrupt):
            run_session(plan, progress, _tell)
        _tell(progress)
    except SoloistError as error:
        _tell(progress)
        print(json.dumps({"error": type(error).__name__, "message": str(error)}), flush=True)


def _tell(progress: PublishProgress) -> None:
    print(json.dumps(asdict(progress)), flush=True)


def _end_with_stdin() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    # Once is enough: a second interrupt must not cut the DELETE short.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt
