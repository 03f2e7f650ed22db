"""Refuses for a while who asks too often: with refused credentials, or, where the operator says so, at all.

Failures are counted per access key and source address. Bounded: the oldest pair is forgotten first, so a flood of
invented keys costs memory for `pairs_max` of them only. A pair, not the key alone, is blocked: a stranger who guesses
at a key does not lock its owner out.
Spec: API sections 1 (rate limits), 8.2, 9.4.9.
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


class RequestRate:
    """Allows each project so many requests a minute, and as many at once after a minute of silence; 0 for any number.

    A project waits only for its own requests. Holds two numbers per project.
    """

    def __init__(self, per_minute_max: int) -> None:
        self._per_minute_max = per_minute_max
        self._spent: dict[str, tuple[datetime, float]] = {}
        """When a project last asked, and how many requests it had spent by then that have not come back yet."""

    def count(self, project_id: str, now: datetime) -> None:
        """Count a request.

        Raises:
            ThrottledError: the project asks too often; Retry-After says when the next one passes.
        """
        if not self._per_minute_max:
            return
        each_s = 60 / self._per_minute_max
        asked_at, spent = self._spent.get(project_id, (now, 0.0))
        spent = max(0.0, spent - (now - asked_at).total_seconds() / each_s)
        if spent + 1 > self._per_minute_max:
            self._spent[project_id] = (now, spent)
            wait_s = (spent + 1 - self._per_minute_max) * each_s
            message = f"the project may make {self._per_minute_max} requests a minute"
            raise ThrottledError(message, headers={"Retry-After": str(math.ceil(wait_s))})
        self._spent[project_id] = (now, spent + 1)
