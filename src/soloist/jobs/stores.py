"""A look at every bucket that record rules name, when a recorder starts: what would refuse is told before media comes.

Writes to the log and to nothing else: a store may be well again by the time a file is finished. Rule R34.
"""

import structlog
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from soloist.jobs.outage import persist
from soloist.jobs.schema import record_rules
from soloist.keeping.shelf import Shelf
from soloist.model.errors import SoloistError

log = structlog.get_logger("soloist.stores")


async def look_at_stores(database: AsyncEngine, shelf: Shelf) -> None:
    """Tell of each bucket of a rule whether it can be written to, and whether it is create-only."""
    for location, bucket, folder in await persist(lambda: _places(database), what="look at the rules' buckets"):
        try:
            creates_only = await shelf.bucket(location, bucket).probe(folder)
        except SoloistError as error:
            log.warning("bucket_refuses", location=location, bucket=bucket, error=str(error))
        except Exception:  # A look must not end the recorder.
            log.exception("bucket_not_looked_at", location=location, bucket=bucket)
        else:
            log.info("bucket_ready", location=location, bucket=bucket, creates_only=creates_only)


async def _places(database: AsyncEngine) -> list[tuple[str, str, str]]:
    address = record_rules.c.body["address"]
    bucket, folder = address["bucket"].astext.label("bucket"), address["object"].astext.label("object")
    place = (record_rules.c.location, bucket)
    query = select(*place, func.min(folder).label("folder")).group_by(*place).order_by(*place)
    async with database.connect() as connection:
        return [(row.location, row.bucket, row.folder) for row in await connection.execute(query)]
