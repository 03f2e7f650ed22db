"""What the operator's `soloist bucket` commands do: grant a project what it may see and name in storage."""

from dataclasses import dataclass

from soloist.jobs.grants import list_grants, refuse_ungranted, remove_grant
from soloist.model.errors import InvalidValueError, NotFoundError
from soloist.model.ids import ProjectId, parse_id
from soloist.service.admin import Office, new_table
from soloist.storage.bucket import check_bucket_name, check_key
from soloist.wire.granted import EVERY_BUCKET, Grant

LOCATION_LENGTH_MAX = 64


@dataclass(frozen=True, slots=True)
class GrantChoice:
    """What an operator typed of a grant, unchecked."""

    project: str
    location: str
    bucket: str
    folder: str = ""


def check_grant(choice: GrantChoice) -> tuple[ProjectId, Grant]:
    """Return whom an operator means, and what.

    Raises:
        InvalidValueError: an option is outside its alphabet; the message names it.
    """
    folder = choice.folder.removesuffix("/")
    grant = Grant(
        location=parse_id(choice.location, "--location", LOCATION_LENGTH_MAX),
        bucket=choice.bucket if choice.bucket == EVERY_BUCKET else check_bucket_name(choice.bucket),
        folder=check_key(folder) if folder or choice.folder else "",
    )
    if grant.bucket == EVERY_BUCKET and grant.folder:
        raise InvalidValueError("--folder is of one bucket; name that with --bucket")
    return ProjectId(parse_id(choice.project, "--project", 128)), grant


async def bucket_granted(office: Office, choice: GrantChoice) -> None:
    """Grant, and tell who else was granted the same bucket."""
    project_id, grant = check_grant(choice)
    async with office.accounts() as accounts:
        await accounts.grant(project_id, [grant])
    async with office.connection() as connection:
        found = await list_grants(connection)
    others = sorted({whose for whose, other in found if other.place == grant.place and whose != project_id})
    office.out.print(f"Project {project_id} may see and record into {name_of(grant)}.")
    if others:
        office.out.print(f"Of that bucket something is granted to {', '.join(others)} as well.")
    if grant.location not in office.locations:
        office.out.print(f"Location {grant.location} is not in this command's SOLOIST_STORAGE; the server needs it.")


async def bucket_revoked(office: Office, choice: GrantChoice) -> None:
    """Take a grant away, and tell which rules can start no job any more.

    Raises:
        NotFoundError: there is no such grant.
    """
    project_id, grant = check_grant(choice)
    async with office.database() as database, database.begin() as connection:
        if not await remove_grant(connection, project_id, grant):
            raise NotFoundError(f"{name_of(grant)} is not granted to project {project_id}; see soloist bucket list")
    office.out.print(f"Project {project_id} is not granted {name_of(grant)} any more. Jobs that run go on.")
    async with office.accounts() as accounts:
        rules = [rule for app_id in await accounts.app_ids(project_id) for rule in await accounts.rules(app_id)]
    async with office.connection() as connection:
        for rule in rules:
            try:
                await refuse_ungranted(connection, project_id, rule)
            except InvalidValueError:
                office.out.print(f"Rule {rule.rule_id} of app {rule.app_id} records there: its jobs are refused now.")


async def grants_listed(office: Office, project: str | None) -> None:
    """Print what is granted, of one project or of all."""
    project_id = ProjectId(parse_id(project, "--project", 128)) if project is not None else None
    async with office.connection() as connection:
        found = await list_grants(connection, project_id)
    table = new_table("project", "location", "bucket", "folder")
    for whose, grant in found:
        table.add_row(whose, grant.location, grant.bucket, grant.folder or "(all of it)")
    office.out.print(table)


def name_of(grant: Grant) -> str:
    """Return a grant in words."""
    if grant.bucket == EVERY_BUCKET:
        return f"every bucket of location {grant.location} that no other project was granted by name"
    of = f"folder {grant.folder} of bucket" if grant.folder else "bucket"
    return f"{of} {grant.bucket} of location {grant.location}"
