"""A look at every bucket that record rules name, when a recorder starts: what would refuse is told before media comes.

Writes to the log and to nothing else: a store may be well again by the time a file is finished. Rule R34.
"""

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from soloist.jobs.outage import persist
from soloist.jobs.schema import record_rules
from soloist.jobs.shelf import Shelf
from soloist.model.errors import SoloistError

log = structlog.get_logger("soloist.stores")


async def look_at_stores(database: AsyncEngine, shelf: Shelf) -> None:
    """Tell of each bucket of a rule whether it can be written to, and whether it is create-only."""
    for location, bucket in await persist(lambda: _places(database), what="look at the rules' buckets"):
        try:
            creates_only = await shelf.bucket(location, bucket).probe()
        except SoloistError as error:
            log.warning("bucket_refuses", location=location, bucket=bucket, error=str(error))
        except Exception:  # A look must not end the recorder.
            log.exception("bucket_not_looked_at", location=location, bucket=bucket)
        else:
            log.info("bucket_ready", location=location, bucket=bucket, creates_only=creates_only)


async def _places(database: AsyncEngine) -> list[tuple[str, str]]:
    bucket = record_rules.c.body["address"]["bucket"].astext.label("bucket")
    query = select(record_rules.c.location, bucket).distinct().order_by(record_rules.c.location, bucket)
    async with database.connect() as connection:
        return [(row.location, row.bucket) for row in await connection.execute(query)]
