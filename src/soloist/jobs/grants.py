"""Which buckets, and folders of them, an operator granted to which project, and what is refused beyond that.

Locations are shared by all projects and their credentials reach every bucket. So a project sees, names and reads only
what the operator gave it (`soloist bucket grant`). Jobs that run go on when a grant is taken away.
"""

from sqlalchemy import delete, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from soloist.jobs import schema
from soloist.model.errors import InvalidValueError
from soloist.model.ids import ProjectId
from soloist.model.rule import RecordRule
from soloist.wire.granted import EVERY_BUCKET, Grant, Reach, folders_of_rule, is_below

grants = schema.bucket_grants


async def add_grant(connection: AsyncConnection, project_id: ProjectId, grant: Grant) -> None:
    """Grant a folder of a bucket to a project that exists; what it has already stays as it is."""
    values = {"location": grant.location, "bucket": grant.bucket, "folder": grant.folder}
    statement = insert(grants).values(project_id=project_id, **values)
    await connection.execute(statement.on_conflict_do_nothing())


async def remove_grant(connection: AsyncConnection, project_id: ProjectId, grant: Grant) -> bool:
    """Take a grant away; return whether there was just this one."""
    values = {"location": grant.location, "bucket": grant.bucket, "folder": grant.folder}
    done = await connection.execute(delete(grants).filter_by(project_id=project_id, **values))
    return bool(done.rowcount)


async def list_grants(
    connection: AsyncConnection, project_id: ProjectId | None = None
) -> list[tuple[ProjectId, Grant]]:
    """Return what was granted, to one project or to all, by project, location, bucket and folder."""
    query = select(grants).order_by(*grants.c)
    if project_id is not None:
        query = query.where(grants.c.project_id == project_id)
    rows = await connection.execute(query)
    return [(ProjectId(row.project_id), Grant(row.location, row.bucket, row.folder)) for row in rows]


async def reach_of(connection: AsyncConnection, project_id: ProjectId) -> Reach:
    """Return all that a project was granted."""
    own = tuple(grant for _, grant in await list_grants(connection, project_id))
    if not any(grant.bucket == EVERY_BUCKET for grant in own):
        return Reach(own)
    named = [grants.c.project_id != project_id, grants.c.bucket != EVERY_BUCKET]
    rows = await connection.execute(select(grants.c.location, grants.c.bucket).where(*named).distinct())
    return Reach(own, frozenset((row.location, row.bucket) for row in rows))


async def is_granted(connection: AsyncConnection, location: str, bucket: str, key: str) -> bool:
    """Return whether an object is within what some project was granted."""
    there = [grants.c.location == location, or_(grants.c.bucket == bucket, grants.c.bucket == EVERY_BUCKET)]
    folders = await connection.scalars(select(grants.c.folder).where(*there))
    return any(is_below(key, folder) for folder in folders)


async def refuse_ungranted(connection: AsyncConnection, project_id: ProjectId, rule: RecordRule) -> None:
    """Return if every key of a rule is within what the project was granted.

    Raises:
        InvalidValueError: it is not; the message names the field and what the operator has to run.
    """
    location, bucket = rule.address.location, rule.address.bucket
    folders = (await reach_of(connection, project_id)).folders(location, bucket)
    remedy = f"soloist bucket grant --project {project_id} --location {location} --bucket {bucket}"
    if not folders:
        raise InvalidValueError(
            f"obs_addr.bucket: bucket {bucket} of location {location} is not granted to project {project_id}; "
            f"name another one or ask your operator to run `{remedy}`"
        )
    for wanted in folders_of_rule(rule):
        if not any(is_below(wanted, folder) for folder in folders):
            shown = ", ".join(f"{folder}/" for folder in folders)
            raise InvalidValueError(
                f"obs_addr.object: of bucket {bucket} only {shown} is granted to project {project_id}; record below "
                f"that or ask your operator to run `{remedy} --folder {wanted or '...'}`"
            )
