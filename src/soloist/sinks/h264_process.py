"""The parent's side of `h264_child.py`: starts it, hands pictures over and takes answers, and never waits for it.

Lives on the media thread. What the pipe does not take stays here; how much that may become is for the owner to limit.
"""

import contextlib
import fcntl
import os
import subprocess
import sys
from collections import deque

from soloist.model.errors import InternalError
from soloist.wire.picture_pipe import Flag, PictureParser, PipedPicture, render_picture

PIPE_BYTES = 1 << 20
"""Of each pipe, where the system grants it: what passes between two looks at it."""
END_S_MAX = 0.2
"""For so long a killed child is waited for: it takes milliseconds, unless it waits for a disk itself."""
_COMMAND = [sys.executable, "-c", "from soloist.sinks.h264_child import main; main()"]


class H264Process:
    """One child process, alive until it is ended or dies."""

    def __init__(self) -> None:
        """Start it.

        Raises:
            InternalError: the system refused a process.
        """
        # Settings hold secrets; it needs none. Its session is its own, so that a Ctrl-C does not end it before us.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SOLOIST_")}
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module, nothing from outside
                _COMMAND,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise InternalError(f"The transcoder could not be started: {error.strerror}.") from error
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: S101, PT018 - by PIPE
        self._input, self._output = self._process.stdin, self._process.stdout
        for pipe in (self._input, self._output):
            os.set_blocking(pipe.fileno(), False)
            with contextlib.suppress(OSError):
                fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._waiting: deque[memoryview] = deque()
        self._parser = PictureParser()
        self.has_died = False
        """True once it is known that no more answers come."""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def push(self, picture: PipedPicture) -> None:
        """Hand a picture over, as soon as the pipe takes it."""
        self._waiting.append(memoryview(render_picture(picture)))
        self._write()

    def answers(self) -> list[PipedPicture]:
        """Return what came back since the last call. Does not block."""
        self._write()
        found: list[PipedPicture] = []
        while not self.has_died:
            try:
                data = os.read(self._output.fileno(), PIPE_BYTES)
                found += self._parser.push(data)
            except BlockingIOError:
                break
            except (OSError, ValueError):
                data = b""
            self.has_died = not data
        return found

    def end(self) -> None:
        """End it now, whatever it does, and forget it; one the kernel cannot end now is reaped when the next starts."""
        self.has_died = True
        self._waiting.clear()
        self._process.kill()
        for pipe in (self._input, self._output):
            with contextlib.suppress(OSError):
                pipe.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_S_MAX)

    def _write(self) -> None:
        try:
            while self._waiting:
                written = os.write(self._input.fileno(), self._waiting[0])
                if written < len(self._waiting[0]):
                    self._waiting[0] = self._waiting[0][written:]
                else:
                    self._waiting.popleft()
        except BlockingIOError:
            return
        except OSError:
            self._waiting.clear()  # It has died, which its output tells.


def piped(data: bytes, pts_ticks: int, *, is_keyframe: bool, is_forced: bool) -> PipedPicture:
    """Return a picture as it is handed over."""
    flags = (Flag.KEYFRAME if is_keyframe else Flag(0)) | (Flag.FORCED if is_forced else Flag(0))
    return PipedPicture(flags, pts_ticks, data)
