"""Frames and sender reports as values, for tests of everything behind the receive core."""

from dataclasses import dataclass, replace

NS = 1_000_000_000
MS = 1_000_000
START_NS = 1_795_348_800 * NS
OPUS_20MS = b"\xfc" + bytes(20)
"""A stereo CELT packet of 20 ms by its TOC byte."""


@dataclass(frozen=True, slots=True)
class FrameValue:
    """A `model.media.EncodedFrame` made by hand."""

    mid: str
    rid: str | None
    codec: str
    rtp_ticks: int
    rate_hz: int
    is_keyframe: bool
    follows_gap: bool
    received_ns: int
    width: int
    height: int
    data: bytes
    packets_lost: int = 0

    def but(self, **changes):
        """Return a copy with some fields changed."""
        return replace(self, **changes)


@dataclass(frozen=True, slots=True)
class ReportValue:
    """A `model.media.SenderReport` made by hand."""

    mid: str
    rid: str | None
    rtp_ticks: int
    ntp_ns: int
    received_ns: int


def video_frame(
    n, *, rtp_zero=1_000_000, fps=30, delay_ms=20, keyframe_every=30, rid=None, size=(1280, 720), **changes
):
    """Return picture `n` of a steady camera that started at START_NS."""
    is_key = n % keyframe_every == 0
    frame = FrameValue(
        mid="1",
        rid=rid,
        codec="h264",
        rtp_ticks=rtp_zero + n * 90_000 // fps,
        rate_hz=90_000,
        is_keyframe=is_key,
        follows_gap=False,
        received_ns=START_NS + n * NS // fps + delay_ms * MS,
        width=size[0] if is_key else 0,
        height=size[1] if is_key else 0,
        data=b"picture %d" % n,
    )
    return frame.but(**changes)


def audio_frame(n, *, rtp_zero=77_000, delay_ms=25, **changes):
    """Return 20 ms packet `n` of a microphone that started at START_NS."""
    frame = FrameValue(
        mid="0",
        rid=None,
        codec="opus",
        rtp_ticks=rtp_zero + n * 960,
        rate_hz=48_000,
        is_keyframe=True,
        follows_gap=False,
        received_ns=START_NS + n * 20 * MS + delay_ms * MS,
        width=0,
        height=0,
        data=OPUS_20MS,
    )
    return frame.but(**changes)


def report_at(seconds, *, mid, rtp_zero, rate_hz, ntp_offset_ns=0, rid=None):
    """Return an exact report sent `seconds` after START_NS by a sender whose clock is `ntp_offset_ns` ahead of ours."""
    at_ns = int(seconds * NS)
    ntp_ns = START_NS + at_ns + ntp_offset_ns
    return ReportValue(mid, rid, rtp_zero + at_ns * rate_hz // NS, ntp_ns, START_NS + at_ns + 5 * MS)
