"""What is published and what arrives: kinds, codecs, layers, frames and sender reports.

Spec: API section 6.1 (levels by pixel area); RFC 8852 (rid); RFC 3550 §6.4.1 (sender report).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Kind(StrEnum):
    """What a track carries."""

    AUDIO = "audio"
    VIDEO = "video"


class Codec(StrEnum):
    """A coding Soloist can keep without decoding; AAC is only ever produced, never received."""

    H264 = "h264"
    VP8 = "vp8"
    VP9 = "vp9"
    AV1 = "av1"
    OPUS = "opus"
    AAC = "aac"

    @property
    def kind(self) -> Kind:
        """Whether this codes sound or pictures."""
        return Kind.AUDIO if self in (Codec.OPUS, Codec.AAC) else Kind.VIDEO


class TrackSource(StrEnum):
    """Which of a participant's two streams a publisher sends."""

    CAMERA = "camera"
    SCREEN = "screen"


class Tier(StrEnum):
    """A requested picture level; the highest published layer not above it is recorded."""

    LD = "LD"
    SD = "SD"
    HD = "HD"
    FHD = "FHD"

    @classmethod
    def of_area(cls, pixels: int) -> "Tier":
        """Return the level a picture of `pixels` (width x height) belongs to. Spec: API section 6.1."""
        for tier, pixels_max in ((cls.LD, 14_400), (cls.SD, 57_600), (cls.HD, 230_400)):
            if pixels <= pixels_max:
                return tier
        return cls.FHD

    @property
    def rank(self) -> int:
        """Position from lowest (0) to highest (3)."""
        return list(Tier).index(self)


@dataclass(frozen=True, slots=True)
class Layer:
    """One encoding of a video track, as last seen in a keyframe."""

    rid: str | None
    """RFC 8852 restriction id; None where the publisher sends a single encoding."""
    width: int
    height: int


def choose_layer(layers: list[Layer], wanted: Tier) -> Layer | None:
    """Return the highest layer whose level is not above `wanted`, else the lowest; None if there is none.

    Layers are compared by pixel area, never by rid name (rule R20).
    """
    by_area = sorted(layers, key=lambda layer: layer.width * layer.height)
    fitting = [layer for layer in by_area if Tier.of_area(layer.width * layer.height).rank <= wanted.rank]
    return fitting[-1] if fitting else by_area[0] if by_area else None


class EncodedFrame(Protocol):
    """One coded picture or audio packet, as the receive core hands it over; never decoded, never changed."""

    @property
    def mid(self) -> str:
        """Media section it came by (RFC 8843)."""

    @property
    def rid(self) -> str | None:
        """Layer it belongs to; None without simulcast."""

    @property
    def codec(self) -> str:
        """A `Codec` value: that of the payload type it arrived with."""

    @property
    def rtp_ticks(self) -> int:
        """RTP time stamp unwrapped to 64 bits, in `rate_hz`; its origin is arbitrary."""

    @property
    def rate_hz(self) -> int:
        """RTP clock rate: 90000 for video, 48000 for Opus."""

    @property
    def is_keyframe(self) -> bool:
        """True if decoding can start here; always True for audio."""

    @property
    def follows_gap(self) -> bool:
        """True if something before it, in this layer, was lost for good."""

    @property
    def packets_lost(self) -> int:
        """RTP packets of this layer missing for good right before it; 0 where its numbering began anew."""

    @property
    def received_ns(self) -> int:
        """Arrival of its first packet, nanoseconds since the Unix epoch on the core's steady clock."""

    @property
    def width(self) -> int:
        """Coded picture width in pixels; 0 unless this is a video keyframe."""

    @property
    def height(self) -> int:
        """Coded picture height in pixels; 0 unless this is a video keyframe."""

    @property
    def data(self) -> bytes:
        """H.264 as Annex B with parameter sets in keyframes; AV1 without temporal delimiters; others as sent."""


class SenderReport(Protocol):
    """One RTCP sender report: the sender's own pairing of RTP time and wall clock (RFC 3550 §6.4.1)."""

    @property
    def mid(self) -> str:
        """Media section of the RTP stream it speaks of."""

    @property
    def rid(self) -> str | None:
        """Layer of the RTP stream it speaks of."""

    @property
    def rtp_ticks(self) -> int:
        """RTP time, unwrapped on the same axis as the frames of that layer."""

    @property
    def ntp_ns(self) -> int:
        """The sender's wall clock at that RTP time, nanoseconds since the Unix epoch."""

    @property
    def received_ns(self) -> int:
        """Arrival of the report on the core's steady clock, nanoseconds since the Unix epoch."""


@dataclass(frozen=True, slots=True)
class NegotiatedTrack:
    """One media section the publisher said it would send."""

    mid: str
    kind: Kind
    codecs: tuple[Codec, ...]
    """What the answer accepted, preferred first."""
    rids: tuple[str, ...] = ()
    """Simulcast layers announced; empty for a single encoding."""


@dataclass(slots=True)
class Sample:
    """A frame placed in a file. A value like the others, but one is made for each frame: freezing it costs 1 us."""

    kind: Kind
    pts_ticks: int
    """Presentation time in `rate_hz`, from the recording's origin; also the decode time (no reordering)."""
    duration_ticks: int
    """How long it is shown; the muxer uses it only for the last sample of a file."""
    rate_hz: int
    is_keyframe: bool
    data: bytes
    codec: str = ""
    """A `Codec` value."""
    width: int = 0
    """Picture width in pixels, in video keyframes; else 0."""
    height: int = 0
    rid: str | None = None
    """Simulcast layer it came by."""
    is_transcoded: bool = False
    """True for a picture that is not the sender's own coding."""

    @property
    def pts_ns(self) -> int:
        """Presentation time in nanoseconds from the recording's origin, rounded to the nearest."""
        return (self.pts_ticks * 2_000_000_000 + self.rate_hz) // (2 * self.rate_hz)

    @property
    def end_ns(self) -> int:
        """Where it stops being shown, if nothing comes sooner."""
        return ((self.pts_ticks + self.duration_ticks) * 2_000_000_000 + self.rate_hz) // (2 * self.rate_hz)


@dataclass(frozen=True, slots=True)
class VideoFormat:
    """What a video track of a file is declared to be."""

    codec: Codec
    width: int
    height: int
    keyframe: bytes
    """The first keyframe, from which decoder configuration is taken."""
    is_transcoded: bool = False
    """True if its pictures are not the sender's own coding."""


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """What an audio track of a file is declared to be."""

    codec: Codec
    channels: int
    rate_hz: int = 48_000
    config: bytes = b""
    """AudioSpecificConfig for AAC (ISO/IEC 14496-3 §1.6.2.1); empty for Opus."""
