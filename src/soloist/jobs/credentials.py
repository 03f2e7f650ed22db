"""What an operator can do with credentials, tokens and projects besides making them: list, end, replace.

Nothing here returns a secret of what exists. The API believes its look-ups for a second (`api/known.py`): so soon all
of this takes effect.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from soloist.jobs import schema
from soloist.model.errors import InvalidValueError, NotFoundError
from soloist.model.ids import ProjectId

credentials, tokens, projects = schema.credentials, schema.tokens, schema.projects

TOKEN_ID_DIGITS = 12
"""Of the SHA-256 of a token: what it is called in lists, by which nobody can use it."""


@dataclass(frozen=True, slots=True)
class ListedCredential:
    """An access key, without its secret."""

    access_key: str
    project_id: ProjectId
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class ListedToken:
    """A token, by the beginning of its digest."""

    token_id: str
    project_id: ProjectId
    created_at: datetime | None
    """None of one made before that was kept."""
    expires_at: datetime | None
    access_key: str | None
    """Whose key and secret it was asked for with; None of an operator's."""


@dataclass(frozen=True, slots=True)
class ListedProject:
    """A project and how much it has."""

    project_id: ProjectId
    disabled_at: datetime | None
    apps_count: int
    live_jobs_count: int


async def list_credentials(connection: AsyncConnection, project_id: ProjectId | None) -> list[ListedCredential]:
    """Return the access keys of a project, or of all, by project and age."""
    query = select(credentials).order_by(credentials.c.project_id, credentials.c.created_at)
    if project_id is not None:
        query = query.where(credentials.c.project_id == project_id)
    return [
        ListedCredential(row.access_key, ProjectId(row.project_id), row.created_at, row.expires_at)
        for row in await connection.execute(query)
    ]


async def list_tokens(connection: AsyncConnection, project_id: ProjectId | None, now: datetime) -> list[ListedToken]:
    """Return the tokens of a project, or of all, that are still good at `now`, by project and age."""
    query = select(tokens).order_by(tokens.c.project_id, tokens.c.created_at)
    query = query.where((tokens.c.expires_at.is_(None)) | (tokens.c.expires_at > now))
    if project_id is not None:
        query = query.where(tokens.c.project_id == project_id)
    return [
        ListedToken(
            row.token_sha256[:TOKEN_ID_DIGITS],
            ProjectId(row.project_id),
            row.created_at,
            row.expires_at,
            row.access_key,
        )
        for row in await connection.execute(query)
    ]


async def revoke_credential(connection: AsyncConnection, access_key: str) -> ProjectId:
    """End an access key, with the tokens that were asked for with it; return whose it was.

    Raises:
        NotFoundError: there is none.
    """
    ended = delete(credentials).where(credentials.c.access_key == access_key).returning(credentials.c.project_id)
    project_id = await connection.scalar(ended)
    if project_id is None:
        raise NotFoundError(f"access key {access_key} does not exist; see soloist credential list")
    return ProjectId(project_id)


async def expire_credential(connection: AsyncConnection, access_key: str, expires_at: datetime) -> ProjectId:
    """Let an access key end at a time, or sooner if it did anyway; return whose it is.

    Raises:
        NotFoundError: there is none.
    """
    sooner = func.least(expires_at, credentials.c.expires_at)
    changed = update(credentials).where(credentials.c.access_key == access_key).values(expires_at=sooner)
    project_id = await connection.scalar(changed.returning(credentials.c.project_id))
    if project_id is None:
        raise NotFoundError(f"access key {access_key} does not exist; see soloist credential list")
    return ProjectId(project_id)


async def revoke_token(connection: AsyncConnection, token_id: str) -> ProjectId:
    """End the one token whose digest begins so; return whose it was.

    Raises:
        InvalidValueError: that is no such beginning, or of several tokens.
        NotFoundError: there is none.
    """
    if len(token_id) < TOKEN_ID_DIGITS or not set(token_id) <= set("0123456789abcdef"):
        raise InvalidValueError(f"a token's id is {TOKEN_ID_DIGITS} hex digits; see soloist token list")
    query = select(tokens).where(tokens.c.token_sha256.startswith(token_id)).limit(2)
    rows = (await connection.execute(query)).all()
    if not rows:
        raise NotFoundError(f"token {token_id} does not exist; see soloist token list")
    if len(rows) > 1:
        raise InvalidValueError(f"several tokens begin with {token_id}; give more digits")
    await connection.execute(delete(tokens).where(tokens.c.token_sha256 == rows[0].token_sha256))
    return ProjectId(rows[0].project_id)


async def list_projects(connection: AsyncConnection) -> list[ListedProject]:
    """Return every project by its id."""
    apps, jobs = schema.apps, schema.jobs
    apps_count = select(func.count()).where(apps.c.project_id == projects.c.project_id).scalar_subquery()
    live = (jobs.c.project_id == projects.c.project_id, jobs.c.state != "STOPPED")
    jobs_count = select(func.count()).where(*live).scalar_subquery()
    query = select(projects, apps_count.label("apps"), jobs_count.label("jobs")).order_by(projects.c.project_id)
    return [
        ListedProject(ProjectId(row.project_id), row.disabled_at, row.apps, row.jobs)
        for row in await connection.execute(query)
    ]


async def disable_project(connection: AsyncConnection, project_id: ProjectId, disabled_at: datetime | None) -> None:
    """Disable a project, or enable it again by None; one that is so already stays as it is.

    Raises:
        NotFoundError: there is none.
    """
    when = None if disabled_at is None else func.coalesce(projects.c.disabled_at, disabled_at)
    changed = update(projects).where(projects.c.project_id == project_id).values(disabled_at=when)
    if not (await connection.execute(changed)).rowcount:
        raise NotFoundError(f"project {project_id} does not exist; see soloist project list")
