"""One publisher's recording, made by a job of the REST API, and what is in its file by decoders that are not ours."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from support.probe import counters, probe, sync
from support.recorded import ffmpeg_complaints, wait_for_files
from support.sdk import Sdk

TAKEN_S = 10.0
LAST_PACKET_S = 0.3
"""What a publisher sends last may be on its way when it says that it is done; a job that is stopped stops at once."""


class Stage(Protocol):
    """A running instance, wherever it listens."""

    @property
    def bucket(self) -> Path:
        """The folder that plays the bucket."""

    def sdk(self) -> Sdk:
        """Return a client of its API."""

    def endpoint(self, room: str, user: str) -> tuple[str, str]:
        """Return a WHIP endpoint and the token to use there."""


@dataclass(frozen=True)
class RecordedClip:
    """A finished recording of the test clip."""

    path: Path
    sent: dict
    """What the publisher says of itself."""

    @cached_property
    def numbers(self) -> list[int | None]:
        """The number burnt into each picture; None where it cannot be read."""
        return [number for _, number in counters(self.path)]

    @cached_property
    def complaints(self) -> str:
        """What ffmpeg and ffprobe say against the file."""
        return ffmpeg_complaints(self.path) + probe(self.path).complaints

    @cached_property
    def manifest(self) -> dict:
        """The manifest beside the file."""
        return json.loads(next(self.path.parent.glob(f"{self.path.stem.rpartition('_')[0]}*.json")).read_text())

    @cached_property
    def offsets_ms(self) -> tuple[float, ...]:
        """How late each beep is after its flash."""
        return sync(self.path).offsets_ms

    @property
    def sound_packets_count(self) -> int:
        """Packets of sound that reached the file."""
        return sum(file["frames"].get("audio", 0) for file in self.manifest["files"])


def record_clip(
    stage: Stage, publish: Callable[[str, str], dict], *, extension: str = ".mp4", **fields: object
) -> RecordedClip:
    """Start a job, let `publish` send the clip to an endpoint with a token, stop the job; return the only file."""
    room, user, sdk = f"r-{uuid4().hex[:12]}", "alice", stage.sdk()
    job = sdk.create(room_id=room, user_id=user, **fields).job_id
    try:
        _await_recorder(sdk, job)
        sent = publish(*stage.endpoint(room, user))
        time.sleep(LAST_PACKET_S)
    finally:
        sdk.stop(job)
    (path,) = wait_for_files(stage.bucket, job, extension=extension)
    return RecordedClip(path, sent)


def _await_recorder(sdk: Sdk, job: str) -> None:
    """Wait until a recorder has taken the job: an encoded clip has no other first keyframe to send when asked."""
    deadline = time.monotonic() + TAKEN_S
    while (state := sdk.show(job).state) != "RUNNING":
        assert time.monotonic() < deadline, f"the job is {state} after {TAKEN_S:g} s"
        time.sleep(0.05)
