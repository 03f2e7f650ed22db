"""Publishers of our own in processes of their own: they send the pattern by a plan and say what they really sent."""

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interop import pion
from support.steady import write_matroska

from fidelity.checker import SentPicture, Truth
from fidelity.pattern import Clip, Sound, digest, digests_of
from fidelity.plan import FALL_BACK_MS, PACKET_MS, Act, Phase, Plan
from soloist.model.media import Codec
from soloist.publisher import publish

RUN_S = 60.0
"""How much longer than its plan a publisher may take."""
SCRIPTED = frozenset(Act) - {Act.BLACKOUT, Act.SUSPEND}
"""What the publisher does itself; the rest its network and the customer do."""


LATE_MS_MAX = 250
"""A publisher further behind had no CPU to send with: what was measured then is not the recorder."""


class LateError(Exception):
    """The machine was too busy to send in time, so there is nothing to measure."""


@dataclass(frozen=True, slots=True)
class Sending:
    """How a publisher sends, beside its plan."""

    codec: Codec = Codec.H264
    sizes: tuple[tuple[int, int], ...] = ((320, 180),)
    """One per layer, lowest first."""
    fps: int = 30
    identity: int = 1
    rtx: bool = True
    nack: bool = True
    red: bool = False
    audio_ppm: float = 0.0
    video_ppm: float = 0.0
    seed: int = 1

    @property
    def frame_ms(self) -> float:
        """From one picture to the next."""
        return 1000 / self.fps

    def clips(self, phase: Phase | None = None) -> list[Clip]:
        """Return the encodings of all layers, or those sent instead during a phase."""
        scale = phase.scale if phase else 1
        identity = (phase.identity if phase else 0) or self.identity
        sizes = [(width // scale, height // scale) for width, height in self.sizes]
        return [Clip(self.codec, size, self.fps, identity) for size in sizes]


def prepare(plan: Plan, sending: Sending) -> None:
    """Encode what will be sent, unless it lies there from an earlier run."""
    Sound().path()
    for phase in (None, *plan.among(Act.REPLACE)):
        for clip in sending.clips(phase):
            clip.path()


def run_pion(plan: Plan, sending: Sending, epoch_ns: int, endpoint: str, *, via: str = "") -> Truth:
    """Publish by pion, which begins at the epoch and ends with its plan; return what it sent."""
    script = {
        "epoch_ns": epoch_ns,
        "seconds": plan.seconds,
        "key_every": sending.clips()[0].key_every,
        "seed": sending.seed,
        "audio_ppm": sending.audio_ppm,
        "video_ppm": sending.video_ppm,
        "phases": [_scripted(phase, sending) for phase in plan.among(*SCRIPTED)],
    }
    asked = {
        "url": endpoint,
        "token": "devtoken",
        "codec": sending.codec.name,
        "layers": [str(clip.path()) for clip in sending.clips()],
        "audio": str(Sound().path()),
        "certificate": "p256",
        "setup": "actpass",
        "simulcast": "rid" if len(sending.sizes) > 1 else "",
        "transport": "udp4",
        "rtx": sending.rtx,
        "red": sending.red,
        "no_nack": not sending.nack,
        "via": via,
        "script": script,
    }
    command, body = [str(pion.BINARY)], json.dumps(asked)
    done = subprocess.run(
        command, input=body, capture_output=True, text=True, timeout=plan.seconds + RUN_S, check=False
    )
    if "not connected within" in done.stderr:
        raise LateError(done.stderr.strip())
    if done.returncode:
        raise RuntimeError(f"the publisher failed: {done.stderr.strip()[-600:]}")
    said = json.loads(done.stdout)
    if said["late_ms"] > LATE_MS_MAX:
        raise LateError(f"the publisher fell {said['late_ms']} ms behind its clock")
    return _truth(said["sent"] or [], plan, sending)


def _scripted(phase: Phase, sending: Sending) -> dict[str, Any]:
    layers = [str(clip.path()) for clip in sending.clips(phase)] if phase.act is Act.REPLACE else []
    times = {"start_ms": phase.start_ms, "end_ms": phase.end_ms}
    return {"act": phase.act.value, **times, "layer": phase.layer, "layers": layers}


def _truth(sent: list[list[int]], plan: Plan, sending: Sending) -> Truth:
    """Turn the publisher's log (see `Sent` in script.go) into what was sent."""
    scripted, silent = plan.among(*SCRIPTED), plan.among(Act.SILENCE_LAYER)
    sounds = digests_of(Sound().path(), Codec.OPUS)
    clips = [sending.clips(), *(sending.clips(phase) for phase in scripted)]
    pictures, packets = [], []
    for is_picture, layer, clip, number, lost, _ in sent:
        if is_picture:
            identity = (scripted[clip - 1].identity if clip else 0) or sending.identity
            sha256 = digests_of(clips[clip][layer].path(), sending.codec)[number]
            at_ms = number * sending.frame_ms
            # Until the recorder falls back, what other layers show is not wanted.
            is_idle = any(phase.start_ms <= at_ms < phase.start_ms + FALL_BACK_MS for phase in silent)
            pictures.append(SentPicture(at_ms, layer, identity, sha256, is_lost=bool(lost) or is_idle))
        else:
            packets.append((float(number * PACKET_MS), bool(lost), sounds[number]))
    return Truth(tuple(pictures), tuple(packets))


def run_soloist(plan: Plan, sending: Sending, endpoint: str) -> Truth:
    """Publish the pattern as a file by the product's own publisher, as it is; return what it sent: all of it."""
    pictures = sending.clips()[0].samples()[: round(plan.seconds * sending.fps)]
    packets = Sound(channels=2).samples()[: round(plan.seconds * 1000 / PACKET_MS)]
    with tempfile.TemporaryDirectory() as folder:
        clip = write_matroska(Path(folder) / "pattern.mkv", pictures, packets)
        publish(clip, endpoint, "devtoken")
    return Truth(
        tuple(
            SentPicture(n * sending.frame_ms, 0, sending.identity, digest(sample.data, sending.codec))
            for n, sample in enumerate(pictures)
        ),
        tuple((float(n * PACKET_MS), False, digest(sample.data, Codec.OPUS)) for n, sample in enumerate(packets)),
    )
