"""One session in a process of its own: `main` is what `publishing.py` starts in a child.

A plan comes in as one JSON line on stdin; the session's URL and progress go out as JSON lines on stdout, `done` or an
error as the last of them: a child that ends without has died. When stdin ends, so does the session, with its DELETE: a
parent that dies leaves no publisher behind. A process of its own, because FFmpeg's muxer can wait for ever inside a
call when a server ends the DTLS session, and only killing ends that.
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
    # Whoever interrupts listens no more, so nothing is said then.
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        line = sys.stdin.readline()
        if line:
            threading.Thread(target=_end_with_stdin, daemon=True).start()
            _publish(parse_plan(line))


def _publish(plan: SessionPlan) -> None:
    progress = PublishProgress()
    last: dict[str, object] = {"done": True}
    try:
        run_session(plan, progress, _tell, lambda url: _say({"resource": url}))
    except SoloistError as error:
        last = {"error": type(error).__name__, "message": str(error)}
    # The parent answers the last line by closing stdin; that must not interrupt an orderly end.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _tell(progress)
    _say(last)


def _tell(progress: PublishProgress) -> None:
    _say(asdict(progress))


def _say(what: dict[str, object]) -> None:
    print(json.dumps(what), flush=True)


def _end_with_stdin() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    # Once is enough: a second interrupt must not cut the DELETE short.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt
