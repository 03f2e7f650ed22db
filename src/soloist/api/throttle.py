"""Counts refused credentials per access key and source address, and refuses further tries for a while.

Bounded: the oldest pair is forgotten first, so a flood of invented keys costs memory for `pairs_max` of them only.
A pair, not the key alone, is blocked: a stranger who guesses at a key does not lock its owner out.
Spec: API sections 8.2, 9.4.9.
"""

import math
from collections import OrderedDict
from datetime import datetime, timedelta

from soloist.api.errors import ThrottledError


class FailureThrottle:
    """Allows `failures_max` failures of one pair within `window`; then nothing until the window has passed."""

    def __init__(self, *, failures_max: int, window: timedelta, pairs_max: int = 10_000) -> None:
        self._failures_max = failures_max
        self._window = window
        self._pairs_max = pairs_max
        self._failures: OrderedDict[tuple[str, str], tuple[datetime, int]] = OrderedDict()

    def check(self, access_key: str, source: str, now: datetime) -> None:
        """Return if this pair may try.

        Raises:
            ThrottledError: it has failed too often within the window.
        """
        began_at, count = self._failures.get((access_key, source), (now, 0))
        if count >= self._failures_max and now - began_at < self._window:
            wait = math.ceil((began_at + self._window - now).total_seconds())
            raise ThrottledError("too many failed authentications", headers={"Retry-After": str(wait)})

    def failed(self, access_key: str, source: str, now: datetime) -> None:
        """Count one failure; the window begins with the first one."""
        began_at, count = self._failures.pop((access_key, source), (now, 0))
        if now - began_at >= self._window:
            began_at, count = now, 0
        self._failures[access_key, source] = (began_at, count + 1)
        while len(self._failures) > self._pairs_max:
            self._failures.popitem(last=False)
