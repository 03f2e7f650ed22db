"""Bounded uploads: so many at once to one store, and whoever waits gets turns job by job, not file by file.

A job that has a hundred segments to send then delays another's only file by one upload. Rule R29.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator

UPLOADS_AT_ONCE = 8
"""To one location. Each holds at most two parts of 8 MiB, so that a recorder needs 128 MiB for a location at most."""


class UploadPool:
    """Hands out turns; one for each location of a recorder, so that a store that hangs delays no other."""

    def __init__(self, turns: int = UPLOADS_AT_ONCE) -> None:
        """`turns` is how many may be taken at once."""
        self._free = turns
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        """Jobs in the order of their next turn."""

    @contextlib.asynccontextmanager
    async def turn(self, job_id: str) -> AsyncIterator[None]:
        """Wait for a turn and hold it for the length of a `with`."""
        await self._take(job_id)
        try:
            yield
        finally:
            self._give_back()

    async def _take(self, job_id: str) -> None:
        if self._free:
            self._free -= 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(job_id, deque()).append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._give_back()
            raise

    def _give_back(self) -> None:
        """Let the next job send one; it then stands at the end of the line."""
        while self._waiting:
            job_id = next(iter(self._waiting))
            places = self._waiting.pop(job_id)
            place = places.popleft()
            if places:
                self._waiting[job_id] = places
            if not place.done():
                place.set_result(None)
                return
        self._free += 1
