"""Tells the log that somebody sends datagrams under the addresses of publishers: one line a minute at most."""

import structlog

log = structlog.get_logger("soloist.media")

INTERVAL_S = 60.0
TOLD_MIN = 100
"""In a minute; fewer are what a network damages."""


class Forgeries:
    """Looks at the core's counter of forged datagrams, as often as its caller likes."""

    def __init__(self) -> None:
        self._known = 0
        self._due_s: float | None = None

    def look(self, count: int, now_s: float) -> None:
        """Tell by how much the counter grew, when a minute is over."""
        if self._due_s is None:
            self._due_s = now_s + INTERVAL_S
        if now_s < self._due_s:
            return
        if count - self._known >= TOLD_MIN:
            log.warning("datagrams_forged", count=count - self._known, within_s=INTERVAL_S)
        self._known, self._due_s = count, now_s + INTERVAL_S
