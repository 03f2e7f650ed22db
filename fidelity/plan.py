"""What a publisher and its network will do, as a value, and what must be missing from the recording for it.

Pure. Times are milliseconds of the pattern's own time, which begins at an epoch all parts of a run agree on.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

KEY_MS = 500
"""From one keyframe of the pattern to the next: a picture comes back with a keyframe."""
PACKET_MS = 20
STILL_MS = 2000
"""A picture may stand this long without anything being missing (docs/media-timeline.md)."""
FALL_BACK_MS = 2000
"""After so long a silence of the chosen layer another one is recorded."""


class Act(StrEnum):
    """What can be otherwise for a while. The names are those of the pion publisher's script."""

    MUTE_AUDIO = "mute_audio"
    MUTE_VIDEO = "mute_video"
    LOSE_AUDIO = "lose_audio"
    LOSE_VIDEO = "lose_video"
    LEAVE = "leave"
    BLACKOUT = "blackout"
    SUSPEND = "suspend"
    KILL = "kill"
    REPLACE = "replace"
    SILENCE_LAYER = "silence_layer"
    STALL_AUDIO = "stall_audio"
    STALL_VIDEO = "stall_video"


BOTH, AUDIO, VIDEO = ("audio", "video"), ("audio",), ("video",)
MISSING = {
    Act.MUTE_AUDIO: (AUDIO, "pause"),
    Act.MUTE_VIDEO: (VIDEO, "pause"),
    Act.LOSE_AUDIO: (AUDIO, "gap"),
    Act.LOSE_VIDEO: (VIDEO, "gap"),
    Act.LEAVE: (BOTH, "idle"),
    Act.BLACKOUT: (BOTH, "gap"),
    Act.SUSPEND: (BOTH, "pause"),
    Act.KILL: (BOTH, "fault"),
    Act.SILENCE_LAYER: (VIDEO, "gap"),
    Act.STALL_AUDIO: (AUDIO, "pause"),
    Act.STALL_VIDEO: (VIDEO, "pause"),
}
"""Which tracks an act takes media from, and the word for it. Spec: docs/manifest.md, Causes."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch in which something is otherwise."""

    act: Act
    start_ms: int
    end_ms: int
    layer: int = 0
    """Of `silence_layer`."""
    identity: int = 0
    """Of `replace`: whose pictures are sent instead."""
    scale: int = 1
    """Of `replace`: by how much smaller they are."""

    def missing(self) -> "Iterator[Absence]":
        """Yield what must be missing for it, track by track."""
        kinds, cause = MISSING.get(self.act, ((), ""))
        for kind in kinds:
            if self.start_ms == 0 and cause == "pause":
                cause = "gap"  # Never sent is not yet muted.
            step = KEY_MS if kind == "video" else PACKET_MS
            end_ms = min(self.end_ms, self.start_ms + FALL_BACK_MS) if self.act is Act.SILENCE_LAYER else self.end_ms
            start, end = _up(self.start_ms, PACKET_MS), _up(end_ms, step)
            if self.act is not Act.MUTE_VIDEO or self.start_ms == 0 or end - start > STILL_MS:
                yield Absence(kind, float(start), float(end), cause, self.act.value)


@dataclass(frozen=True, slots=True)
class Absence:
    """A stretch of one track without media."""

    kind: str
    start_ms: float
    end_ms: float
    cause: str
    detail: str = ""

    @property
    def length_ms(self) -> float:
        """How long it is."""
        return self.end_ms - self.start_ms

    def overlap_ms(self, other: "Absence") -> float:
        """Return how much of it another one shares on the same track."""
        if self.kind != other.kind:
            return 0.0
        return max(0.0, min(self.end_ms, other.end_ms) - max(self.start_ms, other.start_ms))


@dataclass(frozen=True, slots=True)
class Plan:
    """A run of one publisher."""

    seconds: float
    phases: tuple[Phase, ...] = ()

    def expected(self, kinds: tuple[str, ...] = BOTH) -> tuple[Absence, ...]:
        """Return what must be missing for the acts of this plan, in order; what is lost by chance nobody knows."""
        return tuple(absence for phase in self.phases for absence in phase.missing() if absence.kind in kinds)

    def among(self, *acts: Act) -> tuple[Phase, ...]:
        """Return the phases of some acts."""
        return tuple(phase for phase in self.phases if phase.act in acts)


def _up(ms: int, step: int) -> int:
    return -(-ms // step) * step


def drawn(seed: int, acts: tuple[Act, ...], count: int, calm_ms: tuple[int, int] = (1200, 2200)) -> Plan:
    """Return `count` interruptions drawn from `acts`, with calm between them; the same seed, the same plan."""
    chance = random.Random(seed)  # noqa: S311 - a draw that can be repeated
    at_ms, phases = 2500, []
    order = [acts[number % len(acts)] for number in range(count)]
    chance.shuffle(order)
    for act in order:
        at_ms += chance.randrange(*calm_ms)
        length_ms = chance.randrange(*LENGTHS_MS[act])
        end_ms = _up(at_ms + length_ms, KEY_MS)
        phases.append(Phase(act, at_ms, end_ms))
        # The customer's order takes up to a second, and then it still wants a keyframe.
        at_ms = end_ms + (1500 if act is Act.SUSPEND else 0)
    return Plan((at_ms + 3000) / 1000, tuple(phases))


LENGTHS_MS = {
    Act.MUTE_AUDIO: (300, 2000),
    Act.MUTE_VIDEO: (2300, 3200),
    Act.LOSE_AUDIO: (200, 1500),
    Act.LOSE_VIDEO: (200, 1500),
    Act.LEAVE: (1500, 2600),
    Act.BLACKOUT: (600, 2000),
    Act.SUSPEND: (2600, 3600),
}
"""From how short to how long an interruption is drawn."""
