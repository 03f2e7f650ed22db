"""Refuses for a while who asks too often: with refused credentials, or, where the operator says so, at all.

A credential is verified first and counted only when it is wrong: whoever has the right one always passes, however many
wrong ones came before it from the same address. Failures are counted per access key and source, and per source.
Bounded: the oldest is forgotten first, so a flood of invented keys costs memory for so many of them only.
Spec: API sections 1 (rate limits), 8.2, 9.4.9.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta

from soloist.api.errors import ThrottledError

ENTRIES_MAX = 10_000
SOURCES_WORTH = 10
"""After as many failures in all as so many sources may have, every source is suspect: one subscriber can have thousands
of IPv6 networks."""


class Failures:
    """Counts failures by name within a window that begins with the first one."""

    def __init__(self, failures_max: int, window: timedelta, *, entries_max: int = ENTRIES_MAX) -> None:
        self._failures_max = failures_max
        self._window = window
        self._entries_max = entries_max
        self._counts: OrderedDict[tuple[str, ...], tuple[datetime, int]] = OrderedDict()

    def count(self, name: tuple[str, ...], now: datetime) -> None:
        """Count one failure."""
        began_at, count = self._counts.pop(name, (now, 0))
        if now - began_at >= self._window:
            began_at, count = now, 0
        self._counts[name] = (began_at, count + 1)
        while len(self._counts) > self._entries_max:
            self._counts.popitem(last=False)

    def wait_s(self, name: tuple[str, ...], now: datetime) -> int:
        """Return how many seconds are left of the window in which a name has failed too often; 0 if it has not."""
        began_at, count = self._counts.get(name, (now, 0))
        if count <= self._failures_max or now - began_at >= self._window:
            return 0
        return math.ceil((began_at + self._window - now).total_seconds())


class FailureThrottle:
    """Allows `failures_max` failures of one key from one source within `window`; further ones are told to wait.

    A source that fails `source_failures_max` times, by whatever keys, is suspect: what it names is looked up only if it
    is known to exist (`known.py`).
    """

    def __init__(
        self,
        *,
        failures_max: int,
        window: timedelta,
        source_failures_max: int = 100,
        entries_max: int = ENTRIES_MAX,
        on_failure: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`on_failure` is told of each: `credential`, or `throttled` where it was one too many."""
        self._on_failure = on_failure
        self._pairs = Failures(failures_max, window, entries_max=entries_max)
        self._sources = Failures(source_failures_max, window, entries_max=entries_max)
        self._all = Failures(SOURCES_WORTH * source_failures_max, window)

    def is_suspect(self, source: str, now: datetime) -> bool:
        """Tell whether a source, or all of them together, was refused too often lately."""
        return self._sources.wait_s((source,), now) > 0 or self._all.wait_s((), now) > 0

    def failed(self, key: str, source: str, now: datetime) -> None:
        """Count one failure, after which the caller refuses in its own words.

        Raises:
            ThrottledError: it was one too many of this pair or this source; Retry-After says for how long.
        """
        self._pairs.count((key, source), now)
        self._sources.count((source,), now)
        self._all.count((), now)
        if wait := max(self._pairs.wait_s((key, source), now), self._sources.wait_s((source,), now)):
            self._on_failure("throttled")
            raise ThrottledError("too many failed authentications", headers={"Retry-After": str(wait)})
        self._on_failure("credential")


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
