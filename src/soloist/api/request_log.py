"""One line a request in the log, and of a flood one a second: strangers must not fill the disk with what they ask.

Refused requests have fewer lines than answered ones, and neither can use up the other's. What is left out is added up
by status in one line, at the end of its second.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable

import structlog

LINES_PER_S_MAX = 100
REFUSED_LINES_PER_S_MAX = 10

log = structlog.get_logger("soloist.api")


class RequestLog:
    """Writes the lines; see the module. For one event loop."""

    def __init__(self, *, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._second = -1
        self._written: Counter[bool] = Counter()
        """Lines of this second, by whether they tell of a refusal."""
        self._left_out: Counter[int] = Counter()

    def tell(self, status: int, **facts: object) -> None:
        """Write a request's line, or count it."""
        second = int(self._seconds())
        if second != self._second:
            self._second = second
            self._written.clear()
        is_refused = 400 <= status < 500 or status == 503
        if self._written[is_refused] < (REFUSED_LINES_PER_S_MAX if is_refused else LINES_PER_S_MAX):
            self._written[is_refused] += 1
            log.info("request", status=status, **facts)
            return
        if not self._left_out:
            asyncio.get_running_loop().call_later(1.0, self._tell_left_out)
        self._left_out[status] += 1

    def _tell_left_out(self) -> None:
        statuses = {str(status): count for status, count in sorted(self._left_out.items())}
        log.info("requests", count=self._left_out.total(), statuses=statuses)
        self._left_out.clear()
