"""A sender with a plan and a network with faults: what the receive core hands over, and what is missing by right.

Everything follows from the plan and its seed; time is virtual. The plan is the truth that causes are judged against.
"""

import random
from dataclasses import dataclass, field

from soloist.model.media import Kind
from soloist.model.timing import Cause
from support.frames import MS, NS, OPUS_20MS, START_NS, FrameValue, ReportValue

RATE_HZ = {Kind.AUDIO: 48_000, Kind.VIDEO: 90_000}
MID = {Kind.AUDIO: "0", Kind.VIDEO: "1"}
PLI_ANSWER_NS = 150 * MS
"""From a gap to the keyframe that mends it."""


@dataclass(frozen=True)
class Interruption:
    """What happens to some tracks for a while."""

    at_ns: int
    lasts_ns: int
    cause: Cause
    """pause: not sent. gap: sent, and lost on the way."""
    kinds: frozenset[Kind] = frozenset(Kind)

    def covers(self, kind, ns):
        return kind in self.kinds and self.at_ns <= ns < self.at_ns + self.lasts_ns


@dataclass(frozen=True)
class ClockFault:
    """From a moment on a track's RTP time is off by so many ticks; a stall also keeps it from sending meanwhile."""

    at_ns: int
    kind: Kind
    ticks: int
    stalled_ns: int = 0


@dataclass(frozen=True)
class Plan:
    """What a sender does in `seconds` and what the network does to it; times count from START_NS."""

    seed: int
    seconds: int
    interruptions: tuple[Interruption, ...] = ()
    faults: tuple[ClockFault, ...] = ()
    fps: int = 30
    ppm: dict[Kind, int] = field(default_factory=dict)
    """How much slower than nominal each RTP clock runs."""
    begins_ns: dict[Kind, int] = field(default_factory=dict)
    delay_ns: int = 20 * MS
    jitter_ns: int = 3 * MS
    tail_loss: float = 0.0
    """Share of packets lost for good in the last moments before a pause."""
    reports: str = "exact"
    """exact, scattered (stamped at sending, for sound), late (from the fifth second on) or none."""
    ntp_ahead_ns: int = 0


@dataclass(frozen=True)
class Hole:
    """What must be declared missing of a track: after the frame captured at `from_ns`, until the one at `until_ns`."""

    kind: Kind
    from_ns: int
    until_ns: int
    cause: Cause


class PlannedSender:
    """Runs a plan: `items` is what arrives, `holes` what is missing by right.

    `first_ns` and `last_ns` say when each track's first and last frame that can be shown was taken.
    """

    def __init__(self, plan):
        self.plan = plan
        self.items = []
        self.holes = []
        self.first_ns = {}
        self.last_ns = {}
        self._chance = random.Random(plan.seed)
        for kind in Kind:
            self._run(kind)
        self.items.sort(key=lambda item: item.received_ns)

    def rtp(self, kind, ns):
        """Return a track's RTP time at a moment."""
        slow = self.plan.ppm.get(kind, 0)
        faults = sum(f.ticks for f in self.plan.faults if f.kind is kind and f.at_ns <= ns)
        return 1_000_000 + ns * RATE_HZ[kind] * (1_000_000 - slow) // (1_000_000 * NS) + faults

    def _run(self, kind):
        period_ns = 20 * MS if kind is Kind.AUDIO else NS // self.plan.fps
        at_ns = self.plan.begins_ns.get(kind, 0)
        arrived_ns, lost, is_damaged, key_due_ns, reported_ns = 0, 0, kind is Kind.VIDEO, 0, 0
        before_ns, caught = None, None
        while at_ns < self.plan.seconds * NS:
            now_ns, at_ns = at_ns, at_ns + period_ns
            hit = next((i for i in self.plan.interruptions if i.covers(kind, now_ns)), None)
            if hit and not (caught and caught[0]):
                # The end of what was sent before a pause may be lost too; what interrupts is the pause.
                caught = (hit, caught[1] if caught else before_ns)
            if self._is_stalled(kind, now_ns) or (hit and hit.cause is Cause.PAUSE):
                continue
            is_key = kind is Kind.AUDIO or before_ns is None or (key_due_ns and now_ns >= key_due_ns)
            packets = 1 if kind is Kind.AUDIO else self._chance.randint(2, 5)
            gone = packets if hit else self._tail_lost(kind, now_ns, packets)
            if gone:
                lost += gone
                caught = caught or (None, before_ns)
                continue
            if kind is Kind.VIDEO and lost:
                is_damaged, key_due_ns = True, key_due_ns or now_ns + PLI_ANSWER_NS
            sent_ns = now_ns + (20 * MS if kind is Kind.AUDIO else 5 * MS)
            arrived_ns = max(arrived_ns + 1000, sent_ns + self.plan.delay_ns + self._jitter())
            self.items.append(self._frame(kind, now_ns, arrived_ns, is_key=is_key, lost=lost, packets=packets))
            lost = 0
            if now_ns - reported_ns >= NS:
                reported_ns = now_ns
                self._report(kind, now_ns)
            if is_damaged and not is_key:
                continue
            if kind is Kind.VIDEO and is_key:
                is_damaged, key_due_ns = False, 0
            if caught and caught[1] is not None:
                cause = caught[0].cause if caught[0] else Cause.GAP
                self.holes.append(Hole(kind, caught[1], now_ns, cause))
            before_ns, caught = now_ns, None
            self.first_ns.setdefault(kind, now_ns)
            self.last_ns[kind] = now_ns

    def _is_stalled(self, kind, ns):
        return any(f.kind is kind and f.at_ns <= ns < f.at_ns + f.stalled_ns for f in self.plan.faults)

    def _tail_lost(self, kind, ns, packets):
        is_tail = any(i.covers(kind, ns + 70 * MS) and i.cause is Cause.PAUSE for i in self.plan.interruptions)
        return sum(is_tail and self._chance.random() < self.plan.tail_loss for _ in range(packets))

    def _jitter(self):
        return self._chance.randrange(self.plan.jitter_ns + 1)

    def _frame(self, kind, ns, arrived_ns, *, is_key, lost, packets):
        is_sound = kind is Kind.AUDIO
        return FrameValue(
            mid=MID[kind],
            rid=None,
            codec="opus" if is_sound else "h264",
            rtp_ticks=self.rtp(kind, ns),
            rate_hz=RATE_HZ[kind],
            is_keyframe=bool(is_key),
            follows_gap=lost > 0,
            received_ns=START_NS + arrived_ns,
            width=0 if is_sound or not is_key else 640,
            height=0 if is_sound or not is_key else 360,
            data=OPUS_20MS if is_sound else bytes(1200 * packets - 600),
            packets_lost=lost,
        )

    def _report(self, kind, ns):
        if self.plan.reports == "none" or (self.plan.reports == "late" and ns < 5 * NS):
            return
        late_ns = 22 * MS + self._chance.randrange(-3, 8) * MS
        late_ns = late_ns if self.plan.reports == "scattered" and kind is Kind.AUDIO else 0
        ntp_ns = START_NS + ns + late_ns + self.plan.ntp_ahead_ns
        received_ns = START_NS + ns + self.plan.delay_ns + max(late_ns, 1 * MS) + self._jitter()
        self.items.append(ReportValue(MID[kind], None, self.rtp(kind, ns), ntp_ns, received_ns))
