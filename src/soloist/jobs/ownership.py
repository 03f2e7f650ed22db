"""Whose bucket is whose: the project whose rule names it first owns it, for good.

Locations are shared by all projects, and a rule names any bucket there is. Without an owner, naming another project's
bucket would be enough to list it and to write into it.
"""

from sqlalchemy import literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from soloist.jobs import schema
from soloist.model.errors import InvalidValueError
from soloist.model.ids import AppId, ProjectId
from soloist.model.rule import StorageAddress

owners = schema.bucket_owners

Place = tuple[str, str]
"""Location and bucket."""


async def own_bucket(connection: AsyncConnection, app_id: AppId, address: StorageAddress) -> ProjectId | None:
    """Make the app's project the owner of a bucket that has none; return its owner, None if there is no such app."""
    there = {"location": address.location, "bucket": address.bucket}
    mine = select(*(literal(value) for value in there.values()), schema.apps.c.project_id)
    mine = mine.where(schema.apps.c.app_id == app_id)
    await connection.execute(insert(owners).from_select([*there, "project_id"], mine).on_conflict_do_nothing())
    return await find_owner(connection, address)


async def find_owner(connection: AsyncConnection, address: StorageAddress) -> ProjectId | None:
    """Return whose bucket an address names; None if it is nobody's."""
    there = {"location": address.location, "bucket": address.bucket}
    owner = await connection.scalar(select(owners.c.project_id).filter_by(**there))
    return None if owner is None else ProjectId(owner)


async def refuse_foreign(
    connection: AsyncConnection, project_id: ProjectId, app_id: AppId, address: StorageAddress
) -> None:
    """Return if the bucket is the project's, which it becomes if it is nobody's yet.

    Raises:
        InvalidValueError: it is another project's.
    """
    if await own_bucket(connection, app_id, address) not in (project_id, None):
        raise InvalidValueError(f"obs_addr.bucket: {address.bucket} is another project's bucket; name another one")


async def foreign_places(connection: AsyncConnection, project_id: ProjectId) -> set[Place]:
    """Return the buckets that other projects own."""
    rows = await connection.execute(select(owners).where(owners.c.project_id != project_id))
    return {(row.location, row.bucket) for row in rows}
