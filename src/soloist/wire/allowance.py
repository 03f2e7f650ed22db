"""So many things at once, and so many a second in the long run. Pure: time is an argument."""

from dataclasses import dataclass

from soloist.wire.clock import NS


@dataclass(slots=True)
class Allowance:
    """Hands out permissions; those not used are saved up, as far as `burst` goes."""

    burst: int
    per_s: int
    _spent: int = 0
    """Permissions in use, in billionths: each second gives `per_s` of them back."""
    _at_ns: int | None = None

    def take(self, at_ns: int, *, beyond: int = 0) -> bool:
        """Take one at a moment and return True, if there is one; `beyond` may be borrowed from the time to come."""
        if self._at_ns is not None:
            self._spent = max(self._spent - max(at_ns - self._at_ns, 0) * self.per_s, 0)
        self._at_ns = at_ns if self._at_ns is None else max(self._at_ns, at_ns)
        if self._spent + NS > (self.burst + beyond) * NS:
            return False
        self._spent += NS
        return True
