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

    def take(self, at_ns: int, *, count: int = 1, beyond: int = 0) -> bool:
        """Take so many at a moment, if they are there, and return True; `beyond` may be borrowed from later."""
        if self._at_ns is not None:
            self._spent = max(self._spent - max(at_ns - self._at_ns, 0) * self.per_s, 0)
        self._at_ns = at_ns if self._at_ns is None else max(self._at_ns, at_ns)
        if self._spent + count * NS > (self.burst + beyond) * NS:
            return False
        self._spent += count * NS
        return True
