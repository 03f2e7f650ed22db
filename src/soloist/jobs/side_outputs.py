"""What one recording does beside its files, and may be made to give up for the sake of recordings (rules R39, R44)."""

from collections.abc import Callable
from contextlib import suppress

from soloist.forwarding.forwarding import Forwarding
from soloist.recording.transcoding import PictureLine
from soloist.sources.receiver import MediaBusyError, MediaStoppedError

Shed = Callable[[], bool]
"""Lets a side output that was given up go on; returns False if its job is over."""


class SideOutputs:
    """The forwarder and the transcoder of one recording, on the event loop."""

    def __init__(self, post: Callable[[Callable[[], None]], None], line: PictureLine | None) -> None:
        """`post` runs work on the media thread, which `line` belongs to."""
        self._post = post
        self._line = line
        self.forwarding: Forwarding | None = None
        self.over: Callable[[], None] = lambda: None
        """To be called when the recording ends."""

    def shed_one(self) -> Shed | None:
        """Give one up, the forwarder first; None if there is none that runs."""
        if self.forwarding is not None and self.forwarding.is_running and not self.forwarding.is_shed:
            self.forwarding.shed()
            return self._restore_forwarding
        line = self._line
        if line is not None and line.is_running and not line.is_shed:
            line.is_shed = True
            with suppress(
                MediaBusyError, MediaStoppedError
            ):  # Its child then ends with its next fault, or with the job.
                self._post(line.shed)
            return self._restore_line
        return None

    def _restore_forwarding(self) -> bool:
        forwarding = self.forwarding
        if forwarding is None or forwarding.is_over:
            return False
        forwarding.restore()
        return True

    def _restore_line(self) -> bool:
        assert self._line is not None, "only a line that is there was shed"  # noqa: S101 - for the type checker
        self._line.is_shed = False
        return True
