"""A deliverer over real parts (database, rendering, guarded connections) as the api process runs it, but impatient.

Its notices name their process in X-Sender, so that a test can kill the one that sends.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

from soloist.api.notices import NoticeOptions, Notices
from soloist.callbacks.post import Poster, PostLimits
from soloist.clock import utc_now
from soloist.jobs.deliverer import Deliverer, DeliverySettings
from soloist.storage.object_urls import ObjectUrls
from soloist.wire.addresses import LOOPBACK, OutgoingGuard

PLAIN = NoticeOptions()
PATIENT = PostLimits(connect_s=5.0, total_s=10.0)
"""What is told twice because the machine was busy for a second would be taken for a fault."""
URLS = ObjectUrls({"cn-north-4": Path("/srv/recordings")}, "http://here.example:8080", "its secret")


@contextlib.asynccontextmanager
async def delivering(url, *, allowed=LOOPBACK, limits=PATIENT, options=PLAIN, **settings) -> AsyncIterator[Deliverer]:
    """Deliver while this lasts; `settings` are those of DeliverySettings."""
    quick = {"first_delay": timedelta(milliseconds=50), "delay_max": timedelta(milliseconds=200), "drain_s": 1.0}
    poster = Poster(OutgoingGuard(allowed), limits)

    async def post(url, body, headers):
        await poster.post(url, body, {**headers, "X-Sender": str(os.getpid())})

    notices = Notices(URLS, post, options, clock=utc_now)
    deliverer = Deliverer(DeliverySettings(url, **(quick | settings)), notices)
    running = asyncio.create_task(deliverer.run())
    try:
        yield deliverer
    finally:
        deliverer.stop()
        await running
        await poster.close()


def deliver_until_killed(url: str) -> None:
    """Deliver for ever: the whole life of a process."""

    async def deliver() -> None:
        async with delivering(url):
            await asyncio.Event().wait()

    asyncio.run(deliver())
