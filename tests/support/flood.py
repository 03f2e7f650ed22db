"""A publisher that sends packets of a test's choice at a rate of its choice (`flood/`), on pion.

with flood(service.whip_url("mallory", "mallory"), TINY_OPUS, per_s=25_000, seconds=10) as sending:
    ...
sending.told  # {"packets": 250000, "bytes": 750000, "seconds": 10.0, "was_closed": False}
"""

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.go import go_build

SOURCE = Path(__file__).parent / "flood"
TINY_OPUS = (bytes.fromhex("f8fffe"),)
"""20 ms of stereo silence in three bytes."""


@dataclass
class Flood:
    """A running one."""

    process: "subprocess.Popen[str]"
    told: dict[str, Any] = field(default_factory=dict)
    """What it sent, once it has ended; empty if it could not say so."""

    def finish(self, within_s: float) -> dict[str, Any]:
        """Wait for its end and return what it sent."""
        self.process.wait(within_s)
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.told = json.loads(line)
        return self.told


@contextlib.contextmanager
def flood(
    url: str,
    payloads: Sequence[bytes],
    *,
    per_s: float,
    seconds: float,
    codec: str = "opus",
    ticks: int = 960,
    bearer: str = "devtoken",
) -> Iterator[Flood]:
    """Publish RTP `payloads` (one packet each, over and over) and yield once it is connected and sends."""
    program = go_build(SOURCE, "flood")
    command = [str(program), "-url", url, "-bearer", bearer, "-codec", codec, "-rate", str(per_s)]
    command += ["-ticks", str(ticks), "-duration", f"{seconds}s"]
    with tempfile.TemporaryFile("w+") as payloads_file, tempfile.TemporaryFile("w+") as complaints:
        payloads_file.write("".join(f"{payload.hex()}\n" for payload in payloads))
        payloads_file.seek(0)
        with subprocess.Popen(
            command, stdin=payloads_file, stdout=subprocess.PIPE, stderr=complaints, text=True
        ) as process:
            assert process.stdout is not None
            if "sending" not in process.stdout.readline():
                process.wait(30)
                complaints.seek(0)
                raise AssertionError(complaints.read())
            running = Flood(process)
            try:
                yield running
            finally:
                process.terminate()
                running.finish(30)
