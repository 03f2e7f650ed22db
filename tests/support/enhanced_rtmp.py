"""A server of enhanced RTMP on MediaMTX's library (`enhanced_rtmp/`), which says frame by frame what arrived."""

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.go import go_build
from support.instance import until

SOURCE = Path(__file__).parent / "enhanced_rtmp"


@dataclass(frozen=True)
class EnhancedRtmp:
    """A running one."""

    said: Path

    @property
    def url(self) -> str:
        return f"rtmp://127.0.0.1:{self.said.read_text().split()[0]}/live/key"

    def finished(self, coding: str, count: int) -> list[str]:
        """Return its frames once there are at least `count`: when their sender ends, the last may be under way."""
        return until(lambda: len(found := self.frames(coding)) >= count and found, 10, f"fewer than {count} arrived")

    def frames(self, coding: str) -> list[str]:
        """Return the SHA-256 of each frame of a coding that arrived, in order."""
        found = [line.split() for line in self.said.read_text().splitlines()[1:]]
        return [digest for of, digest in found if of == coding]


@contextlib.contextmanager
def enhanced_rtmp(folder: Path) -> Iterator[EnhancedRtmp]:
    """Run one that takes VP9, AV1 and AAC."""
    program = go_build(SOURCE, "enhanced-rtmp")
    running = EnhancedRtmp(folder / "frames")
    with running.said.open("wb") as said, subprocess.Popen([program], stdout=said) as process:
        try:
            until(running.said.read_text, 30, "it does not listen")
            yield running
        finally:
            process.terminate()
