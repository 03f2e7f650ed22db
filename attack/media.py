"""Attacks with media: forged datagrams, floods, pictures that always change, clocks that leap. S1, S4, S5, S14."""

import json
import random
import struct
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from interop import pion
from support.media import video_samples

from attack.forgeries import dtls_records, flood, rtp_packets, shortest_record
from attack.plan import Cost
from attack.relay import Relay
from attack.scene import Scene
from fidelity.pattern import Sound
from soloist.model.media import Codec

SEED = 11
TINY_OPUS = b"\x78\xff\xfe"
"""A packet of 20 ms that is three bytes long."""
CONNECT_S = 30.0


def write_ivf(path: Path, fourcc: bytes, per_s: int, frames: Iterable[bytes]) -> Path:
    """Write frames that are due one after the other, so many a second."""
    frames = list(frames)
    with path.open("wb") as out:
        out.write(struct.pack("<4sHH4sHHIIII", b"DKIF", 0, 32, fourcc, 64, 64, per_s, 1, len(frames), 0))
        for number, frame in enumerate(frames):
            out.write(struct.pack("<IQ", len(frame), number) + frame)
    return path


def publish(scene: Scene, room: str, seconds: float, *, app: str = "", **plan: Any) -> str:
    """Publish files by pion as the attacker until they end; return what went wrong, if anything."""
    asked = {
        "url": scene.whip_url(room, app=app),
        "token": scene.join_token(room, app=app),
        "codec": "H264",
        "layers": [],
        "audio": "",
        "certificate": "p256",
        "setup": "actpass",
        "transport": "udp4",
        "rtx": True,
        **plan,
    }
    # A publisher that is sent away sends on to nobody; it ends with its file.
    done = subprocess.run(
        [str(pion.BINARY)],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=2 * seconds + CONNECT_S,
        check=False,
    )
    return done.stderr.strip()


def forged_records(scene: Scene, seconds: float, relay: Relay) -> Cost:
    """S1a: records of DTLS that no holder of the keys made."""
    del scene
    relay.inject(shortest_record())
    count = flood(relay, dtls_records(random.Random(SEED)), seconds)  # noqa: S311 - a draw that can be repeated
    return Cost(f"{count + 1} datagrams of up to 77 bytes")


def forged_media(scene: Scene, seconds: float, relay: Relay) -> Cost:
    """S1b: RTP and RTCP without a valid tag, with foreign SSRC, numbers, times and payload types."""
    del scene
    count = flood(relay, rtp_packets(relay, random.Random(SEED)), seconds)  # noqa: S311 - a draw that can be repeated
    return Cost(f"{count} datagrams of up to 1.2 kB")


def tiny_packets(per_s: int) -> Any:
    """S4: many packets of sound a second in a room of the attacker's own, which is recorded."""

    def run(scene: Scene, seconds: float, relay: Relay) -> Cost:
        del relay
        sound = write_ivf(_folder(scene) / f"tiny-{per_s}.ivf", b"OPUS", per_s, [TINY_OPUS] * round(per_s * seconds))
        room = f"tiny-{per_s}"
        job = scene.start_job(room)
        said = publish(scene, room, seconds, audio=str(sound))
        return Cost(f"{per_s * 65 * 8 / 1e6:.0f} Mbit/s", job=job["job_id"], said=said)

    return run


def changing_pictures(scene: Scene, seconds: float, relay: Relay) -> Cost:
    """S5: keyframes of two profiles in turn, 300 a second."""
    del relay
    # At its greatest haste the encoder uses nothing that would make it more than baseline.
    turns = [_keyframe("baseline", "ultrafast"), _keyframe("main", "veryfast")]
    frames = [turns[number % 2] for number in range(round(300 * seconds))]
    video = write_ivf(_folder(scene) / "changing.ivf", b"H264", 300, frames)
    job = scene.start_job("changing")
    said = publish(scene, "changing", seconds, layers=[str(video)])
    return Cost(f"{300 * 8 * sum(map(len, turns)) / 2e6:.1f} Mbit/s", job=job["job_id"], said=said)


def leaping_clock(scene: Scene, seconds: float, relay: Relay) -> Cost:
    """S14: RTP time runs eight times as fast as the clock on the wall."""
    del relay
    epoch_ns = time.time_ns() + 1_500_000_000
    script = {"epoch_ns": epoch_ns, "seconds": seconds, "key_every": 30, "seed": SEED, "audio_ppm": 7e6, "phases": []}
    job = scene.start_job("leaping")
    said = publish(scene, "leaping", seconds, audio=str(Sound().path()), script=script)
    return Cost("32 kbit/s", job=job["job_id"], said=said)


def _keyframe(profile: str, preset: str) -> bytes:
    options = (("preset", preset), ("profile", profile))
    sample = video_samples(Codec.H264, 1, width=64, height=64, options=options)[0]
    return bytes(sample.data)


def _folder(scene: Scene) -> Path:
    folder = scene.service.instance.folder / "attack"
    folder.mkdir(exist_ok=True)
    return folder
