"""Opus packets in, AAC frames out, sound never moving against the timeline.

What arrives is decoded, laid on a gapless line of samples and encoded anew. A hole in the incoming times (loss, mute,
silence suppression) becomes exactly as much silence; an overlap is cut off; the tick or so a packet by which the
timeline slews is absorbed one sample at a time. Times are ticks of 48 kHz on the recording's timeline.
Plain synchronous code for one thread. Spec: RFC 6716 (Opus); ISO/IEC 14496-3 (AAC-LC).
"""

import struct
from functools import lru_cache

import av
from av.audio.codeccontext import AudioCodecContext

from soloist.model.media import AudioFormat, Codec, Kind, Sample

RATE_HZ = 48_000
FRAME_TICKS = 1024
"""Samples of one AAC frame, and how much earlier than its input the encoder begins (priming)."""
JITTER_TICKS = 96
"""A step in time of up to 2 ms is absorbed gradually; a larger one is a hole or an overlap."""
SLEW_PER_TICKS = 960
"""One sample is added or dropped per this many: just over the 1 ms a second by which the timeline may slew."""
_SETTLED_FRAMES = 3
"""After so many silent frames the encoder holds nothing but silence."""
_BIT_RATES = {1: 64_000, 2: 128_000}


class AacTranscoder:
    """Turns one Opus track into one AAC track of `channels` (1 or 2); other packets are mixed up or down."""

    def __init__(self, channels: int, bit_rate: int | None = None) -> None:
        """`bit_rate` in bits a second; by default 64 000 for mono and 128 000 for stereo."""
        self._channels = channels
        self._bit_rate = bit_rate or _BIT_RATES[channels]
        self._decoder = _decoder(channels)
        self._encoder = _encoder(channels, self._bit_rate)
        self._fifo = av.AudioFifo()
        self._previous: av.AudioFrame | None = None
        self._next: int | None = None
        self._frame_ticks = 0
        self.concealed_count = 0
        """Packets that could not be decoded or encoded and became silence."""

    @property
    def format(self) -> AudioFormat:
        """What the frames are, with the AudioSpecificConfig a file needs."""
        return AudioFormat(Codec.AAC, self._channels, RATE_HZ, bytes(self._encoder.extradata or b""))

    @property
    def is_begun(self) -> bool:
        """True once the track has a beginning."""
        return self._next is not None

    def push(self, sample: Sample) -> list[Sample]:
        """Add one Opus packet and return the AAC frames that are ready.

        Frames follow each other without a hole from one before the first packet's time (the encoder's priming). A
        packet that cannot be decoded becomes silence.
        """
        pcm = self._decode(sample.data)
        return self._fill(sample.pts_ticks) if pcm is None else self._place(pcm, sample.pts_ticks)

    def advance_to(self, pts_ticks: int) -> list[Sample]:
        """Fill with silence up to a time at which nothing has arrived; a packet that still does is cut to what is left.

        The first call before any packet sets where the track begins.
        """
        return self._fill(pts_ticks)

    def finish(self) -> list[Sample]:
        """Return the remaining frames; the last one ends when the sound does. Nothing may be pushed afterwards."""
        if self._next is None:
            return []
        end, samples = self._next, self._append(_silence(self._channels, -self._fifo.samples % FRAME_TICKS))
        for packet in self._encoder.encode(None):
            samples.append(self._framed(bytes(packet)))
        kept = [sample for sample in samples if sample.pts_ticks < end]
        if kept and kept[-1].pts_ticks + FRAME_TICKS > end:
            last = kept.pop()
            kept.append(_sample(last.pts_ticks, end - last.pts_ticks, last.data))
        return kept

    def _decode(self, data: bytes) -> av.AudioFrame | None:
        """Return a packet's samples; None if there are none to be had."""
        try:
            frames = self._decoder.decode(av.Packet(data)) if data else []
        except (av.error.FFmpegError, ValueError):
            frames = []
        if len(frames) == 1 and frames[0].samples:
            frames[0].pts = None
            return frames[0]
        self.concealed_count += 1
        return None

    def _place(self, pcm: av.AudioFrame, pts_ticks: int) -> list[Sample]:
        """Lay decoded samples on the line, as near to their time as slew, holes and overlaps allow."""
        shift = 0 if self._next is None else pts_ticks - self._next
        samples = []
        if abs(shift) <= JITTER_TICKS:
            limit = max(1, pcm.samples // SLEW_PER_TICKS)
            shift = max(-limit, min(limit, shift))
            if shift > 0:
                samples += self._append(_bridge(self._previous, pcm, shift))
        else:
            samples += self._fill(pts_ticks)
        if self._next is None:
            self._start(pts_ticks)
        if shift < 0:
            kept = _without_head(pcm, -shift)
            if kept is None:
                return samples
            pcm = kept
        self._previous = pcm
        return samples + self._append(pcm)

    def _start(self, pts_ticks: int) -> None:
        """Begin the track at a time."""
        self._next = pts_ticks
        self._frame_ticks = pts_ticks - FRAME_TICKS

    def _fill(self, until_ticks: int) -> list[Sample]:
        """Append silence up to a time. A long one costs nothing: the encoder, once settled, is left out of it."""
        if self._next is None:
            self._start(until_ticks)
            return []
        missing = until_ticks - self._next
        if missing <= 0:
            return []
        self._previous = None
        settle = -self._fifo.samples % FRAME_TICKS + _SETTLED_FRAMES * FRAME_TICKS
        if missing < settle + FRAME_TICKS:
            return self._append(_silence(self._channels, missing))
        samples = self._append(_silence(self._channels, settle))
        whole, rest = divmod(missing - settle, FRAME_TICKS)
        silent = silent_frame(self._channels, self._bit_rate)
        samples += [self._framed(silent) for _ in range(whole)]
        self._next += whole * FRAME_TICKS
        return samples + self._append(_silence(self._channels, rest))

    def _append(self, pcm: av.AudioFrame | None) -> list[Sample]:
        """Add samples to the line and encode every whole frame of it."""
        if pcm is None or self._next is None:
            return []
        self._fifo.write(pcm)
        self._next += pcm.samples
        samples = []
        while self._fifo.samples >= FRAME_TICKS:
            samples += [self._framed(data) for data in self._encode(self._fifo.read(FRAME_TICKS))]
        return samples

    def _encode(self, pcm: av.AudioFrame | None) -> list[bytes]:
        """Encode one frame; if the encoder refuses it (samples that are no numbers), start it anew with silence."""
        try:
            return [bytes(packet) for packet in self._encoder.encode(pcm)]
        except (av.error.FFmpegError, ValueError):
            self.concealed_count += 1
            self._encoder = _encoder(self._channels, self._bit_rate)
            self._encoder.encode(_silence(self._channels, FRAME_TICKS))
            return [silent_frame(self._channels, self._bit_rate)]

    def _framed(self, data: bytes) -> Sample:
        """Return the next AAC frame as a sample."""
        pts_ticks = self._frame_ticks
        self._frame_ticks += FRAME_TICKS
        return _sample(pts_ticks, FRAME_TICKS, data)


def _sample(pts_ticks: int, duration_ticks: int, data: bytes) -> Sample:
    """Return an AAC frame as a sample; decoding can start at any."""
    return Sample(Kind.AUDIO, pts_ticks, duration_ticks, RATE_HZ, is_keyframe=True, data=data)


@lru_cache(maxsize=8)
def silent_frame(channels: int, bit_rate: int) -> bytes:
    """Return what the encoder makes of silence between silence."""
    encoder = _encoder(channels, bit_rate)
    packets = [packet for _ in range(5) for packet in encoder.encode(_silence(channels, FRAME_TICKS))]
    return bytes(packets[-1])


def _layout(channels: int) -> str:
    """Return FFmpeg's name for one or two channels."""
    return "mono" if channels == 1 else "stereo"


def _decoder(channels: int) -> AudioCodecContext:
    """Return an Opus decoder that always delivers planar floats of `channels`."""
    context = av.CodecContext.create("opus", "r")
    context.sample_rate, context.layout, context.thread_count = RATE_HZ, _layout(channels), 1
    return context


def _encoder(channels: int, bit_rate: int) -> AudioCodecContext:
    """Return an open AAC-LC encoder."""
    context = av.CodecContext.create("aac", "w")
    context.sample_rate, context.layout, context.thread_count = RATE_HZ, _layout(channels), 1
    context.format, context.bit_rate = av.AudioFormat("fltp"), bit_rate
    # A half to a fifth of the default's CPU, and less noise above the masking threshold too (docs/adr/0007-cost.md).
    context.options = {"aac_coder": "fast"}
    context.open()
    return context


def _silence(channels: int, ticks: int) -> av.AudioFrame | None:
    """Return a frame of zeros; None if it would be empty."""
    return _pcm([bytes(4 * ticks)] * channels, ticks) if ticks else None


def _pcm(planes: list[bytes], ticks: int) -> av.AudioFrame:
    """Return a frame of planar floats."""
    frame = av.AudioFrame(format="fltp", layout=_layout(len(planes)), samples=ticks)
    frame.sample_rate = RATE_HZ
    for plane, data in zip(frame.planes, planes, strict=True):
        plane.update(data.ljust(plane.buffer_size, b"\0"))
    return frame


def _without_head(pcm: av.AudioFrame, ticks: int) -> av.AudioFrame | None:
    """Return a frame without its first samples; None if that is all of it."""
    if ticks >= pcm.samples:
        return None
    return _pcm([bytes(plane)[4 * ticks : 4 * pcm.samples] for plane in pcm.planes], pcm.samples - ticks)


def _bridge(before: av.AudioFrame | None, after: av.AudioFrame, ticks: int) -> av.AudioFrame:
    """Return a few samples half way between the end of one frame and the beginning of the next."""
    ends = [0.0] * len(after.planes)
    if before is not None:
        ends = [struct.unpack_from("f", bytes(plane), 4 * (before.samples - 1))[0] for plane in before.planes]
    starts = [struct.unpack_from("f", bytes(plane))[0] for plane in after.planes]
    return _pcm([struct.pack("f", (a + b) / 2) * ticks for a, b in zip(ends, starts, strict=True)], ticks)
