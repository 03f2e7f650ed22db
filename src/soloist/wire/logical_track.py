"""One logical track of a timeline, and what follows from its state alone: lengths, slews, and where holes begin.

Ticks are of the track's `rate_hz`, pts from the recording's origin.
"""

from dataclasses import dataclass, field

from soloist.model.media import EncodedFrame, Kind
from soloist.model.timing import Cause
from soloist.wire.clock import StreamClock, ns_to_ticks
from soloist.wire.left_out import LeftOut, Loss
from soloist.wire.opus import packet_ticks

StreamKey = tuple[int, str, str | None]
"""Session number, mid and rid of one RTP stream."""

SLEW_PER = 1000
"""One tick of correction for so many ticks of media: 1 ms/s (rule R2)."""
STEP_NS = 500_000_000
"""A report this far ahead of us means the sender's RTP clock stood still; slewing would take minutes."""
AUDIO_TOLERANCE_NS = 10_000_000
VIDEO_FRAME_TICKS = 3000
FRAMES_PER_S = 50
"""Of a track of which nothing is known: sound in packets of 20 ms."""


@dataclass(slots=True)
class Track:
    """One logical track; ticks are of `rate_hz`, pts from the recording's origin."""

    kind: Kind
    rate_hz: int = 0
    stream: StreamKey | None = None
    clock: StreamClock | None = None
    base_ticks: int = 0
    placed_by: str = ""
    last_pts: int = -1
    last_ticks: int = 0
    transit_ns: int = 0
    """The least delay of its frames against the timeline, creeping up."""
    placed_ns: int = 0
    """Arrival of the last frame placed."""
    late_ns: int = 0
    """How much later than the least delayed one it came."""
    heard_ns: int = 0
    """Arrival of the last one, be it one that was dropped."""
    suspects: list[EncodedFrame] = field(default_factory=list)
    """Frames that came too late, until it is known why."""
    suspected_at: tuple[int, int] = (0, 0)
    """Arrival and lateness of the first suspect."""
    slew_ticks: int = 0
    slewed_at: int = 0
    is_step_due: bool = False
    breaks_count: int = 0
    """Of its clock, that are dealt with."""
    needs_keyframe: bool = False
    interruption: tuple[Cause, str] | None = None
    """What was said of what is missing now."""
    word: tuple[Cause, str] | None = None
    """What the numbering says of it: the cause of its longest part so far."""
    word_from: int = 0
    """Where that part begins."""
    seen_end: int = 0
    """Where the last frame ended, be it one that was dropped."""
    packets: int = 0
    """That came since `packets_from`, and would come again in as long a time."""
    packets_from: int = 0
    held: list[EncodedFrame] = field(default_factory=list)
    held_stream: StreamKey | None = None
    left_out: LeftOut = field(default_factory=LeftOut)
    """Frames of it that are missing because of us."""

    @property
    def end_pts(self) -> int:
        """Where the next sample belongs if nothing is missing."""
        return self.last_pts + self.last_ticks if self.last_pts >= 0 else 0


def packets_in(track: Track, ticks: int) -> int:
    """Return how many packets belong into a stretch; as in one of 30 a second where too few came to tell."""
    span = track.last_pts - track.packets_from
    return ticks * track.packets // span if span > track.rate_hz // 4 else ticks * 30 // track.rate_hz


def stood_still(track: Track, frame: EncodedFrame, late_ns: int) -> bool:
    """Return whether sound that is late all at once claims to follow the packet before it: its clock may have stood.

    Chromium's does while the track is replaced by null. A network that was stuck looks the same for a packet's time.
    """
    is_next = frame.rtp_ticks - track.base_ticks - track.end_pts < ns_to_ticks(AUDIO_TOLERANCE_NS, track.rate_hz)
    is_break = late_ns >= STEP_NS and frame.received_ns - track.placed_ns >= STEP_NS
    return is_break and is_next and track.kind is Kind.AUDIO and not frame.packets_lost


def slew(track: Track, rtp_ticks: int) -> int:
    """Move the base by what the media passed since the last move allows; return the frame's pts on it."""
    pts = rtp_ticks - track.base_ticks
    allowed = (pts - track.slewed_at) // SLEW_PER
    if allowed <= 0:
        return pts
    step = max(-allowed, min(allowed, track.slew_ticks))
    track.slew_ticks -= step
    track.base_ticks -= step
    # What is left over counts towards the next: else sound, in short packets, would correct slower than its picture.
    track.slewed_at += allowed * SLEW_PER
    return pts + step


def frame_ticks(track: Track, pts: int) -> int:
    """Return how long a picture is likely shown: as long as the one before it, unless that one stood unusually long."""
    if track.last_pts < 0:
        return VIDEO_FRAME_TICKS
    return min(pts - track.last_pts, max(2 * track.last_ticks, VIDEO_FRAME_TICKS), track.rate_hz)


def lead_ticks(frame: EncodedFrame, kind: Kind) -> int:
    """Return how much of a frame was captured before it could be sent: an audio packet is whole when it leaves."""
    return packet_ticks(frame.data) if kind is Kind.AUDIO else 0


def last_certain(track: Track) -> int:
    """Return up to where there is media for certain, as far as a track goes: when its next frame was due nobody knows.

    A packet of sound says how long it is; how soon the picture after the last one would have come, nothing tells.
    """
    return track.end_pts if track.kind is Kind.AUDIO else track.last_pts + track.rate_hz // 1000


def declared_from(track: Track, loss: Loss, pts: int, origin_ns: int) -> int:
    """Return from where nothing of a track is there for certain, where frames were left out before the one at `pts`.

    Before any media, it is from when something of the session came last.
    """
    if track.last_pts >= 0:
        # Sound whose time stamps speak of shorter packets than it has: they share the time.
        return min(last_certain(track), track.last_pts + (pts - track.last_pts) // (loss.count + 1))
    came = ns_to_ticks(loss.came_ns - origin_ns, track.rate_hz) if loss.came_ns else 0
    return min(came, 0, pts - loss.count * track.rate_hz // FRAMES_PER_S)
