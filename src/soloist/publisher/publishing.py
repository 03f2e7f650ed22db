"""Publishes a file in as many sessions as it takes, each in a child process that is watched.

A session ends in one of these ways: its plan is done, which the child says; the caller interrupts; the server refuses;
the server is gone, and is tried again; the session was ended from the other side, which shows as silence of the child
(`session.py`), or has vanished there (`vigil.py`); the child died. A session that another publisher replaced, or
whose user was removed, is not tried again.
"""

import contextlib
import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from soloist.model.errors import InternalError, RequestError, SoloistError
from soloist.publisher.clip import ClipError
from soloist.publisher.inquiry import farewell
from soloist.publisher.pacing import OnProgress, PublishProgress, SessionPlan
from soloist.publisher.sender import PublishRefusedError, ServerAwayError
from soloist.publisher.session import render_plan
from soloist.publisher.vigil import Vigil
from soloist.wire.clock import NS

CONNECT_S = 20.0
"""Time to start, connect and send the first packet: FFmpeg gives the handshake 5 s, HTTP has no limit of its own."""
SILENCE_S = 2.0
"""A child tells its progress five times a second."""
END_S = 3.0
"""Time for the DELETE."""
RETRY_INTERVAL_S = 0.5
SHORT_SESSION_S = 15.0
ENDED_IN_A_ROW_MAX = 2
"""So often may the server end a session soon after it began; then somebody else publishes in our place."""


class SessionEndedError(ServerAwayError):
    """The server ended the session, as when another publisher of the same user and stream takes its place."""


class SentAwayError(RequestError):
    """The server wants this publisher not to come back: another took its place, or its user was removed."""


class ChildDiedError(InternalError):
    """The process that published died before it was done; was it killed, or is the machine out of memory?"""


_VANISHED = json.dumps({"error": ServerAwayError.__name__, "message": "the server has forgotten the session"})

_ERRORS: dict[str, type[SoloistError]] = {
    error.__name__: error for error in (ClipError, PublishRefusedError, ServerAwayError)
}


def publish(
    file: Path,
    url: str,
    token: str | None = None,
    *,
    loop: bool = False,
    duration: float | None = None,
    retry_for_s: float = 0.0,
    on_progress: OnProgress = lambda _progress: None,
) -> PublishProgress:
    """Publish `file` to a WHIP endpoint in real time; return what was sent. Blocks until the end.

    Ends at the end of the file (never with `loop`), after `duration` seconds, or by KeyboardInterrupt; the session is
    deleted in every case. A server that goes away midway is tried again twice a second for `retry_for_s` seconds.
    `on_progress` is called in this thread about five times a second.

    Raises:
        ClipError: the file cannot be read.
        PublishRefusedError: the server does not take it.
        ServerAwayError: the server is not there, or is gone; SessionEndedError: it sends us away again and again.
        SentAwayError: another publisher took this one's place, or its user was removed from the room.
        ChildDiedError: the process that publishes died.
    """
    total = PublishProgress()
    end_ns = None if duration is None else int(duration * NS)
    patience = _Patience(retry_for_s)
    while True:
        plan = SessionPlan(file, url, token, loop=loop, start_ns=total.media_ns, end_ns=end_ns)
        started_at = time.monotonic()
        try:
            _watch(plan, total, on_progress)
        except ServerAwayError as error:
            patience.judge(error, has_sent=total.media_ns > 0, session_s=time.monotonic() - started_at)
            time.sleep(RETRY_INTERVAL_S)
        else:
            on_progress(total)
            return total


class _Patience:
    """Decides whether another session is tried."""

    def __init__(self, retry_for_s: float) -> None:
        self._retry_for_s = retry_for_s
        self._lost_at: float | None = None
        self._ended_in_a_row = 0

    def judge(self, error: ServerAwayError, *, has_sent: bool, session_s: float) -> None:
        """Return if it is worth trying again; raise `error` if not."""
        is_ended = isinstance(error, SessionEndedError)
        self._ended_in_a_row = self._ended_in_a_row + 1 if is_ended and session_s < SHORT_SESSION_S else 0
        if is_ended:
            # It was connected, so whatever was lost before had been found again.
            self._lost_at = None
        self._lost_at = self._lost_at or time.monotonic()
        is_over = time.monotonic() - self._lost_at >= self._retry_for_s
        if not has_sent or is_over or self._ended_in_a_row >= ENDED_IN_A_ROW_MAX:
            raise error


def _watch(plan: SessionPlan, total: PublishProgress, on_progress: OnProgress) -> None:
    """Run one session in a child and add what it sends to `total`."""
    command = [sys.executable, "-c", "from soloist.publisher.session import main; main()"]
    # Its own session, so that Ctrl-C reaches only us, and the child ends in order.
    with subprocess.Popen(  # noqa: S603 - our own interpreter and module, nothing from outside
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as child:
        lines = _lines_of(child)
        resources: list[str] = []
        vigils: list[Vigil] = []

        def connected(url: str) -> None:
            resources.append(url)
            vigils.append(Vigil(url, plan.token, lambda: lines.put(_VANISHED)))

        try:
            _give(child, render_plan(plan))
            _listen(lines, connected, total, on_progress)
        except ServerAwayError as error:
            if isinstance(error, SessionEndedError):
                # It hangs in a call: there is nothing it could still send in order.
                child.kill()
            for url in resources:
                if (words := farewell(url, plan.token)) is not None:
                    raise SentAwayError(f"The server sent this publisher away: {words}.") from error
            raise
        finally:
            for vigil in vigils:
                vigil.end()
            _end(child)
    if child.returncode:
        raise ChildDiedError


def _listen(
    lines: "queue.SimpleQueue[str]",
    on_resource: Callable[[str], None],
    total: PublishProgress,
    on_progress: OnProgress,
) -> None:
    """Take in what the child says until it is done; `on_resource` is told the URL of its session."""
    before = PublishProgress(**_values(total))
    has_connected = False
    while True:
        said = _next_said(lines, has_connected=has_connected)
        if "done" in said:
            return
        if "resource" in said:
            on_resource(said["resource"])
            continue
        session = PublishProgress(**said)
        if session.media_ns and not has_connected:
            has_connected = True
            total.reconnects_count += bool(before.media_ns)
        _add(total, before, session)
        on_progress(total)


def _next_said(lines: "queue.SimpleQueue[str]", *, has_connected: bool) -> dict[str, Any]:
    """Return the child's next line; an error it tells is raised, and so are its silence and its death."""
    try:
        line = lines.get(timeout=SILENCE_S if has_connected else CONNECT_S)
    except queue.Empty:
        raise SessionEndedError if has_connected else ServerAwayError from None
    if not line:
        raise ChildDiedError
    said: dict[str, Any] = json.loads(line)
    if "error" in said:
        raise _ERRORS.get(said["error"], InternalError)(said["message"])
    return said


def _add(total: PublishProgress, before: PublishProgress, session: PublishProgress) -> None:
    total.media_ns = max(before.media_ns, session.media_ns)
    total.behind_ns = session.behind_ns
    for name in ("frames_count", "audio_packets_count", "sent_bytes"):
        setattr(total, name, getattr(before, name) + getattr(session, name))


def _values(progress: PublishProgress) -> dict[str, int]:
    return {field.name: getattr(progress, field.name) for field in fields(progress)}


def _lines_of(child: "subprocess.Popen[str]") -> "queue.SimpleQueue[str]":
    """Return a queue of the child's lines; an empty one is the end."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in child.stdout or ():
            lines.put(line)
        lines.put("")

    threading.Thread(target=read, daemon=True).start()
    return lines


def _give(child: "subprocess.Popen[str]", line: str) -> None:
    # A child that has died already is noticed by its silence.
    with contextlib.suppress(BrokenPipeError):
        if child.stdin is not None:
            child.stdin.write(f"{line}\n")
            child.stdin.flush()


def _end(child: "subprocess.Popen[str]") -> None:
    """End the child in order if it still lives, else by force."""
    with contextlib.suppress(BrokenPipeError):
        if child.stdin is not None:
            child.stdin.close()
    try:
        child.wait(END_S)
    except subprocess.TimeoutExpired:
        child.kill()
