"""From a recording's samples to what RTMP carries: pictures as FLV wants them, sound as AAC, in one order by time.

Done once for all targets of a job. Sound that stays away while the picture goes on becomes silence, so that servers and
players are not left waiting for it. Plain synchronous code. Spec: design section 7 (audio is AAC by default).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from soloist.forwarding.enhanced import codec_config
from soloist.model.errors import InternalError, SourceError
from soloist.model.media import Codec, Kind, Sample
from soloist.sinks.aac import RATE_HZ, AacTranscoder
from soloist.wire.clock import ns_to_ticks, ticks_to_ns
from soloist.wire.flv import FOURCC, avc_config, avc_payload
from soloist.wire.interleave import Interleaver
from soloist.wire.opus import channel_count

MS_NS = 1_000_000
LATE_NS = 600 * MS_NS
"""Sound this much behind the picture is not coming: silence takes its place."""
FILL_NS = 400 * MS_NS
"""How far behind the picture that silence ends, so that sound which does come is not cut off."""
HOLE_TICKS = 5 * RATE_HZ
"""A longer hole is not filled: nobody wants minutes of silence at once that are over already."""
NO_PICTURE_NS = 2_000 * MS_NS
"""How long the first sound waits for the first picture."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One picture or AAC frame, ready to be sent to any target."""

    kind: Kind
    at_ms: int
    """On the recording's timeline."""
    is_keyframe: bool
    """Always true of sound."""
    codec: Codec
    payload: bytes
    config: bytes
    """Decoder configuration: of keyframes and of sound."""
    width: int = 0
    height: int = 0
    is_refused: bool = False
    """True of a keyframe that cannot be carried at all, with everything that follows it."""


class Feed:
    """Turns one job's samples into units."""

    def __init__(self) -> None:
        self._interleaver = Interleaver()
        self._transcoder: AacTranscoder | None = None
        self._expected: frozenset[Kind] = frozenset()
        self._channels = 0
        self._first_sound_ns: int | None = None
        self._sound_ns = 0
        """Up to where there is sound."""
        self._has_picture = False
        self._asked: dict[int, Sample] = {}

    def expect(self, kinds: frozenset[Kind]) -> None:
        """Say which tracks there may be."""
        self._expected = kinds
        self._interleaver.expect(kinds)

    def push(self, sample: Sample) -> list[Unit]:
        """Take the next sample; return the units that are ready, in time order."""
        if sample.kind is Kind.VIDEO:
            self._has_picture |= sample.is_keyframe
            samples = [*self._silence(sample.pts_ns), sample] if self._has_picture else []
        else:
            samples = self._hear(sample)
        return list(filter(None, (self._unit(ready) for ready in self._interleaver.push(samples))))

    def flush(self) -> list[Unit]:
        """Return what is still held: nothing more comes for now."""
        return list(filter(None, (self._unit(ready) for ready in self._interleaver.flush())))

    def _hear(self, sample: Sample) -> list[Sample]:
        """Return the AAC frames a packet completes; none before the job's first picture, if there is to be one."""
        self._channels = max(self._channels, channel_count(sample.data)) if self._transcoder is None else self._channels
        if self._first_sound_ns is None:
            self._first_sound_ns = sample.pts_ns
        waits = Kind.VIDEO in self._expected and sample.pts_ns - self._first_sound_ns < NO_PICTURE_NS
        if self._transcoder is None and waits and not self._has_picture:
            return []
        begins_anew = abs(sample.pts_ticks * RATE_HZ // sample.rate_hz - self._sound_ticks) > HOLE_TICKS
        if self._transcoder is None or begins_anew:
            self._transcoder = AacTranscoder(self._channels)
        self._sound_ns = sample.end_ns
        return self._transcoder.push(sample)

    @property
    def _sound_ticks(self) -> int:
        return ns_to_ticks(self._sound_ns, RATE_HZ)

    def _silence(self, picture_ns: int) -> Iterable[Sample]:
        """Return silence for sound that stays away while the picture goes on."""
        if self._transcoder is None or picture_ns - self._sound_ns < LATE_NS:
            return []
        if picture_ns - self._sound_ns > ticks_to_ns(HOLE_TICKS, RATE_HZ):
            self._transcoder = AacTranscoder(self._channels)  # The picture was away as long: nothing to fill.
        self._sound_ns = picture_ns - FILL_NS
        return self._transcoder.advance_to(self._sound_ticks)

    def _unit(self, sample: Sample) -> Unit | None:
        at_ms = (sample.pts_ns + MS_NS // 2) // MS_NS
        if sample.kind is Kind.AUDIO:
            assert self._transcoder is not None, "sound comes out of it"  # noqa: S101 - for the type checker
            config = self._transcoder.format.config
            return Unit(Kind.AUDIO, at_ms, is_keyframe=True, codec=Codec.AAC, payload=sample.data, config=config)
        return _picture(sample, at_ms)


def _picture(sample: Sample, at_ms: int) -> Unit:
    """Return a picture as a unit; a keyframe that cannot be described stands for what cannot be carried."""
    codec = Codec(sample.codec)
    payload = avc_payload(sample.data) if codec is Codec.H264 else sample.data
    config, is_refused = b"", False
    if sample.is_keyframe:
        try:
            config = avc_config(sample.data) if codec is Codec.H264 else _enhanced_config(sample)
        except (SourceError, InternalError):
            is_refused = True
    return Unit(
        Kind.VIDEO,
        at_ms,
        is_keyframe=sample.is_keyframe,
        codec=codec,
        payload=payload,
        config=config,
        width=sample.width,
        height=sample.height,
        is_refused=is_refused,
    )


def _enhanced_config(sample: Sample) -> bytes:
    codec = Codec(sample.codec)
    return codec_config(sample) if codec in FOURCC else b""
