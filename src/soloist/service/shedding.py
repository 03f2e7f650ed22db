"""Side outputs given up under load, the newest first, one a second, and let go on one by one once there is room (R44).

Recordings are never touched: what else costs CPU beside them (forwarders, transcoders) is. Jobs' own events tell whose;
how often it came to that is counted here.
"""

from typing import Protocol

import structlog

from soloist.model.admission import LoadState

log = structlog.get_logger("soloist.load")

RESTORE_STEPS = 5
"""Seconds without pressure before one goes on, and between two: what it costs shows before the next one does."""


class Sheddable(Protocol):
    """Has side outputs."""

    def shed_newest(self) -> bool:
        """Give up the one that began last; False if there is none."""

    def restore_one(self) -> bool:
        """Let the one that was given up last go on; False if there is none."""


class Shedding:
    """Decides, once a second, whether one is given up or goes on."""

    def __init__(self, outputs: Sheddable) -> None:
        self._outputs = outputs
        self._quiet_steps = 0
        self.shed_count = 0
        self.restored_count = 0

    def step(self, state: LoadState) -> None:
        """Take a second in which the recorder was in `state`."""
        if state is not LoadState.OK:
            self._quiet_steps = 0
            if self._outputs.shed_newest():
                self.shed_count += 1
                log.warning("side_output_shed", state=state.value)
            return
        self._quiet_steps += 1
        if self._quiet_steps >= RESTORE_STEPS:
            self._quiet_steps = 0
            if self._outputs.restore_one():
                self.restored_count += 1
                log.info("side_output_restored")
