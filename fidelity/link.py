"""What a bad network does to packets, drawn from a seed: pure, so that the same seed takes the same decisions.

One `Link` is one direction. Delay and jitter keep packets in order, as a queue does; reordering holds a packet back
past its successors; a bandwidth is a queue of bounded length that drops at its end.
"""

import random
from dataclasses import asdict, dataclass

QUEUE_MS = 300.0
"""How much a bandwidth's queue holds."""
REORDER_MS = 40.0
"""How long a reordered packet is held back."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """How a network is from some moment on."""

    from_ms: float = 0.0
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    """Share of packets."""
    reorder: float = 0.0
    duplicate: float = 0.0
    kbps: float = 0.0
    """0: no bound."""
    is_dark: bool = False
    """Nothing passes."""

    def as_json(self) -> dict[str, float | bool]:
        """Return its fields."""
        return asdict(self)


class Link:
    """One direction of a network under a schedule of conditions, earliest first."""

    def __init__(self, seed: int, schedule: tuple[Conditions, ...]) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - a draw that can be repeated
        self._schedule = schedule
        self._last_ms = self._free_ms = float("-inf")
        """When the queue will have sent everything it holds."""

    def take(self, now_ms: float, size_bytes: int) -> list[float]:
        """Return when a packet arrives: not at all, once, or twice."""
        now = self.at(now_ms)
        # Each packet takes the same number of draws, so that one condition does not shift the fate of later packets.
        lost, jitter, reordered, doubled = (self._chance.random() for _ in range(4))
        if now.is_dark or lost < now.loss:
            return []
        ready_ms = now_ms
        if now.kbps:
            self._free_ms = max(self._free_ms, now_ms)
            if self._free_ms - now_ms > QUEUE_MS:
                return []
            self._free_ms += size_bytes * 8 / now.kbps
            ready_ms = self._free_ms
        due_ms = max(self._last_ms, ready_ms + now.delay_ms + jitter * now.jitter_ms)
        if reordered < now.reorder:
            due_ms += REORDER_MS
        else:
            self._last_ms = due_ms
        return [due_ms, due_ms] if doubled < now.duplicate else [due_ms]

    def at(self, now_ms: float) -> Conditions:
        """Return the conditions of a moment: before the first, none."""
        found = Conditions()
        for conditions in self._schedule:
            if conditions.from_ms <= now_ms:
                found = conditions
        return found
