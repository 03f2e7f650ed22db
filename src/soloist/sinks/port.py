"""What a file being written looks like to `recording/recording.py`, whatever the container.

A sink is plain synchronous code. `push` costs microseconds and belongs on the media thread; `finish` reads back and
syncs the whole index, so call it on any other thread once nothing more will be pushed.
"""

from pathlib import Path
from typing import Protocol

from soloist.model.media import Sample


class FileSink(Protocol):
    """One file, open until `finish` or `abort`."""

    @property
    def path(self) -> Path:
        """Where the file is; readable by players while it grows."""

    @property
    def refused_count(self) -> int:
        """Samples left out because they were damaged and would have spoiled the file."""

    def push(self, sample: Sample) -> None:
        """Add one sample; those of one track in time order, tracks in any order.

        `pts_ticks` counts from the recording's origin; the sink takes the file's own start off. A sample that would
        begin before the file does is left out. The first video sample must be a keyframe. May block on the disk.

        Raises:
            InternalError: the spool refused the bytes (disk full, input/output error).
        """

    def finish(self) -> None:
        """Write what is held back and the index, and sync the file to the disk; the sink is closed afterwards.

        Raises:
            InternalError: the file is not complete; what is on disk stays readable up to its last whole fragment.
        """

    def abort(self) -> None:
        """Close at once, without an index; what was written stays readable. Never raises; harmless after `finish`."""
