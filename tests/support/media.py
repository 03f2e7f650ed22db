"""Test media made without a browser: a picture that flashes and a tone that beeps together, once a second.

Every picture also carries its number as a row of black and white blocks, so that a file can be asked which frames it
holds. Knows encoders (PyAV); knows nothing of sinks. Encoded clips are cached: the same request costs nothing twice.
"""

import contextlib
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from typing import Any

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.video.codeccontext import VideoCodecContext

from soloist.model.media import AudioFormat, Codec, Kind, Sample, VideoFormat

VIDEO_RATE_HZ = 90_000
AUDIO_RATE_HZ = 48_000
COUNTER_BITS = 16
CHECK_BITS = 4
COUNTER_HEIGHT_SHARE = 6
"""The counter takes the top sixth of the picture."""
IDENTITY_BITS = 8
IDENTITY_HEIGHT_SHARE = 4
"""An identity, if there is one, takes what is between the counter and the end of the top quarter."""
FLASH_SECONDS = Fraction(1, 10)
BEEP_SECONDS = Fraction(1, 10)
GROUND_HZ = 400
OPUS_LOOKAHEAD_TICKS = 312
"""libopus decodes this much later than it was given; the generator speaks that much earlier."""

ENCODER_PATIENCE_S = 60
ENCODER_TRIES = 3
"""SVT-AV1 encodes ten seconds of these pictures in two; 60 s is a machine with much else to do, or a deadlock."""

_ENCODERS = {
    Codec.H264: ("libx264", {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline"}),
    Codec.VP8: ("libvpx", {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "auto-alt-ref": "0"}),
    Codec.VP9: ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "auto-alt-ref": "0"}),
    Codec.AV1: ("libsvtav1", {"preset": "11", "svtav1-params": "pred-struct=1:lp=1:rc=2:lookahead=0"}),
}


HIGH_PROFILE = (("preset", "veryfast"), ("profile", "high"))
"""Options for H.264 of another profile than usual."""


def counter_check(number: int) -> int:
    """Return the four check bits of a counter: the exclusive-or of its nibbles, inverted."""
    return ~(number ^ number >> 4 ^ number >> 8 ^ number >> 12) & 0xF


def picture(number: int, *, flash: bool, width: int, height: int, identity: int | None = None) -> "np.ndarray":
    """Return picture `number` as planar YUV 4:2:0: the counter on top of grey, white in a flash."""
    luma = np.full((height, width), 235 if flash else 50, dtype=np.uint8)
    bits = (number & 0xFFFF) << CHECK_BITS | counter_check(number & 0xFFFF)
    count = COUNTER_BITS + CHECK_BITS
    for index in range(count):
        left, right = index * width // count, (index + 1) * width // count
        white = bits >> (count - 1 - index) & 1
        luma[: height // COUNTER_HEIGHT_SHARE, left:right] = 235 if white else 16
    if identity is not None:
        for index in range(IDENTITY_BITS):
            left, right = index * width // IDENTITY_BITS, (index + 1) * width // IDENTITY_BITS
            white = identity >> (IDENTITY_BITS - 1 - index) & 1
            luma[height // COUNTER_HEIGHT_SHARE : height // IDENTITY_HEIGHT_SHARE, left:right] = 235 if white else 16
    bar = number * 4 % width
    luma[height * 2 // 3 :, bar : bar + 8] = 120
    chroma = np.full((height // 2, width), 128, dtype=np.uint8)
    return np.concatenate([luma, chroma])


@lru_cache(maxsize=32)
def video_samples(codec: Codec, seconds: Fraction | int, **terms: Any) -> tuple[Sample, ...]:
    """Return `seconds` of encoded pictures starting at 0, one sample each; `terms` are those of `encoded`."""
    return _encoded_apart(codec, seconds, terms) if codec is Codec.AV1 else encoded(codec, seconds, **terms)


def _encoded_apart(codec: Codec, seconds: Fraction | int, terms: dict[str, Any]) -> tuple[Sample, ...]:
    """Encode in a process of its own: SVT-AV1 now and then waits for itself for ever.

    Run as root it also gives itself, and who calls it, SCHED_FIFO 99; whatever a test starts afterwards would inherit
    that and starve the service it is a test of.
    """
    command = [sys.executable, "-c", "from support.media import answer; answer()"]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    asked = pickle.dumps((codec, seconds, terms))
    for _ in range(ENCODER_TRIES):
        with contextlib.suppress(subprocess.TimeoutExpired):
            done = subprocess.run(
                command, input=asked, capture_output=True, env=variables, timeout=ENCODER_PATIENCE_S, check=True
            )
            return pickle.loads(done.stdout)  # noqa: S301 - our own child
    raise AssertionError(f"{codec.value} was not encoded in {ENCODER_TRIES} x {ENCODER_PATIENCE_S} s")


def answer() -> None:
    """Be the process that encodes: take what is asked from standard input, write the samples to standard output."""
    codec, seconds, terms = pickle.load(sys.stdin.buffer)  # noqa: S301 - our own parent
    pickle.dump(encoded(codec, seconds, **terms), sys.stdout.buffer)


def encoded(  # noqa: PLR0913 - an encoder is told this much
    codec: Codec,
    seconds: Fraction | int,
    *,
    width: int = 320,
    height: int = 180,
    fps: int = 30,
    gop: int = 30,
    bit_rate: int = 300_000,
    identity: int | None = None,
    options: tuple[tuple[str, str], ...] = (),
) -> tuple[Sample, ...]:
    """Return `seconds` of encoded pictures starting at 0, one sample each, a keyframe every `gop` pictures.

    `options` of the encoder come before the usual ones of the codec.
    """
    name, usual = _ENCODERS[codec]
    encoder = av.CodecContext.create(name, "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, VIDEO_RATE_HZ), Fraction(fps)
    encoder.bit_rate, encoder.gop_size, encoder.max_b_frames = bit_rate, gop, 0
    gops = {"x264-params": f"keyint={gop}:min-keyint={gop}:scenecut=0"} if codec is Codec.H264 else {}
    encoder.options = usual | gops | dict(options)
    encoder.thread_count = 1
    step = VIDEO_RATE_HZ // fps
    packets = []
    for number in range(int(seconds * fps)):
        at = Fraction(number, fps)
        pixels = picture(number, flash=at % 1 < FLASH_SECONDS, width=width, height=height, identity=identity)
        frame = av.VideoFrame.from_ndarray(pixels, format="yuv420p")
        frame.pts, frame.time_base = number * step, Fraction(1, VIDEO_RATE_HZ)
        if number % gop == 0:
            frame.pict_type = av.video.frame.PictureType.I
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    return tuple(
        Sample(
            Kind.VIDEO, index * step, step, VIDEO_RATE_HZ, bool(packet.is_keyframe), _as_received(codec, bytes(packet))
        )
        for index, packet in enumerate(packets)
    )


def _as_received(codec: Codec, data: bytes) -> bytes:
    """Return coded bytes as the receive core hands them over: AV1 has no temporal delimiters."""
    return data[2:] if codec is Codec.AV1 and data[:2] == b"\x12\x00" else data


def video_format(codec: Codec, samples: tuple[Sample, ...], *, width: int = 320, height: int = 180) -> VideoFormat:
    """Return what a file of these samples is declared to be."""
    return VideoFormat(codec, width, height, next(sample.data for sample in samples if sample.is_keyframe))


def tone(seconds: Fraction | int, *, channels: int = 1, lead_ticks: int = 0, ground: float = 0.0) -> "np.ndarray":
    """Return float samples (channels x ticks): 1 kHz for a tenth of a second at every full second, else silence.

    With `ground`, a hum of so much amplitude stands in place of silence, so that missing sound can be told from it.
    """
    ticks = np.arange(int(seconds * AUDIO_RATE_HZ)) + lead_ticks
    wave = 0.5 * np.sin(2 * np.pi * 1000 * ticks / AUDIO_RATE_HZ)
    hum = ground * np.sin(2 * np.pi * GROUND_HZ * ticks / AUDIO_RATE_HZ)
    is_still = ticks % AUDIO_RATE_HZ >= int(BEEP_SECONDS * AUDIO_RATE_HZ)
    wave[is_still] = hum[is_still]
    return np.tile(wave.astype(np.float32), (channels, 1))


@lru_cache(maxsize=32)
def opus_samples(
    seconds: Fraction | int,
    *,
    channels: int = 1,
    packet_ticks: int = 960,
    bit_rate: int = 64_000,
    ground: float = 0.0,
) -> tuple[Sample, ...]:
    """Return `seconds` of Opus packets starting at 0; decoded, each beep starts at its full second to the tick."""
    encoder = av.CodecContext.create("libopus", "w")
    assert isinstance(encoder, AudioCodecContext)
    encoder.sample_rate, encoder.format, encoder.layout = AUDIO_RATE_HZ, "flt", "mono" if channels == 1 else "stereo"
    encoder.bit_rate = bit_rate
    encoder.options = {"application": "audio", "frame_duration": str(packet_ticks / 48), "vbr": "on"}
    encoder.open()
    wave = tone(seconds, channels=channels, lead_ticks=OPUS_LOOKAHEAD_TICKS, ground=ground)
    packets = [packet for frame in _audio_frames(wave, packet_ticks) for packet in encoder.encode(frame)]
    return tuple(
        Sample(Kind.AUDIO, index * packet_ticks, packet_ticks, AUDIO_RATE_HZ, True, bytes(packet))
        for index, packet in enumerate(packets)
    )


def _audio_frames(wave: "np.ndarray", packet_ticks: int) -> Iterator[av.AudioFrame]:
    """Cut a wave into frames of one packet each."""
    layout = "mono" if len(wave) == 1 else "stereo"
    for start in range(0, wave.shape[1] - packet_ticks + 1, packet_ticks):
        packed = np.ascontiguousarray(wave[:, start : start + packet_ticks].T.reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
        frame.sample_rate, frame.pts = AUDIO_RATE_HZ, start
        yield frame


def opus_format(channels: int = 1) -> AudioFormat:
    """Return the format of Opus kept as it came."""
    return AudioFormat(Codec.OPUS, channels)


def interleaved(*tracks: tuple[Sample, ...]) -> list[Sample]:
    """Return the samples of several tracks in the order in which they would arrive."""
    return sorted((s for track in tracks for s in track), key=lambda s: Fraction(s.pts_ticks, s.rate_hz))
