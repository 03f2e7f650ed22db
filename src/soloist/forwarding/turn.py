"""One job's place among the forwarders of its recorder: whether it has one, and what to say while it has none."""

from dataclasses import dataclass, replace

from soloist.clock import utc_now
from soloist.model.forward import ForwardState, TargetStatus
from soloist.wire.places import Places

FULL = "there are as many forwarders as the project, or the recorder, may have; it begins when another one ends"
SHED = "overload: the recorder gives its recordings precedence; it goes on when there is room"


@dataclass(slots=True)
class Turn:
    """Taken while there is a child."""

    places: Places
    project: str
    is_taken: bool = False
    is_shed: bool = False
    _waits_for: str = ""
    _since_ms: int = 0

    def take(self) -> bool:
        """Take a place, if there is one and this forwarding is not shed; return whether it has one."""
        self.is_taken = self.is_taken or (not self.is_shed and self.places.take(self.project))
        waits_for = "" if self.is_taken else SHED if self.is_shed else FULL
        if waits_for and not self._waits_for:
            self.places.refused_count += 1
            self._since_ms = round(utc_now().timestamp() * 1000)
        self._waits_for = waits_for
        return self.is_taken

    def give_back(self) -> None:
        """Give the place back, if it has one."""
        if self.is_taken:
            self.is_taken = False
            self.places.give_back(self.project)

    def told(self, status: TargetStatus) -> TargetStatus:
        """Return where a target stands, which waits as long as its forwarder does."""
        if not self._waits_for:
            return status
        return replace(status, state=ForwardState.WAITING, since_ms=self._since_ms, last_error=self._waits_for)
