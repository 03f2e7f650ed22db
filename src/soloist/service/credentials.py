"""What the operator's `soloist credential`, `token` and `project` commands do, and rotating an app's join key."""

import re
import secrets
from datetime import datetime, timedelta

from soloist.clock import utc_now
from soloist.jobs import credentials as held
from soloist.jobs.accounts import Credential, token_digest
from soloist.jobs.apps import AppService
from soloist.model.errors import InvalidValueError
from soloist.model.ids import ProjectId, parse_id
from soloist.service.admin import Office, find_app, new_table

UNITS = {"m": "minutes", "h": "hours", "d": "days"}
LIFETIME_DAYS_MAX = 3650


async def credential_created(office: Office, project: str, expires: str | None, *, as_token: bool) -> None:
    """Make and print an AK/SK pair, or a token; this once."""
    project_id = _project(project)
    expires_at = None if expires is None else utc_now() + parse_lifetime(expires, "--expires")
    async with office.accounts() as accounts:
        if as_token:
            token = secrets.token_urlsafe(32)
            await accounts.create_token(token, project_id, expires_at)
            token_id = token_digest(token)[: held.TOKEN_ID_DIGITS]
            office.out.print(f"X-Auth-Token  {token}\nid            {token_id}\nproject       {project_id}")
        else:
            _print_pair(office, await _new_pair(office, project_id, expires_at))


async def credentials_listed(office: Office, project: str | None) -> None:
    """Print access keys, never their secrets."""
    async with office.connection() as connection:
        found = await held.list_credentials(connection, _project(project) if project is not None else None)
    table = new_table("access key", "project", "created", "expires")
    for one in found:
        table.add_row(one.access_key, one.project_id, time_of(one.created_at), time_of(one.expires_at, "never"))
    office.out.print(table)


async def credential_revoked(office: Office, access_key: str) -> None:
    """End an access key."""
    async with office.database() as database, database.begin() as connection:
        project_id = await held.revoke_credential(connection, access_key)
    office.out.print(f"{access_key} of project {project_id} is revoked, with the tokens that were asked for with it.")


async def credential_rotated(office: Office, access_key: str, keep_old: str) -> None:
    """Make a new pair of the same project, and let the old one end after a while."""
    kept = parse_lifetime(keep_old, "--keep-old")
    now = utc_now()
    async with office.database() as database, database.begin() as connection:
        project_id = await held.expire_credential(connection, access_key, now + kept)
        if not kept:
            await held.revoke_credential(connection, access_key)
    _print_pair(office, await _new_pair(office, project_id, None))
    until = f"is good until {time_of(now + kept)} UTC" if kept else "is revoked"
    office.out.print(f"{access_key} {until}.")


async def tokens_listed(office: Office, project: str | None) -> None:
    """Print tokens by their ids."""
    async with office.connection() as connection:
        found = await held.list_tokens(connection, _project(project) if project is not None else None, utc_now())
    table = new_table("id", "project", "created", "expires", "asked for with")
    for one in found:
        times = (time_of(one.created_at, "unknown"), time_of(one.expires_at, "never"))
        table.add_row(one.token_id, one.project_id, *times, one.access_key or "")
    office.out.print(table)


async def token_revoked(office: Office, token_id: str) -> None:
    """End a token."""
    async with office.database() as database, database.begin() as connection:
        project_id = await held.revoke_token(connection, token_id)
    office.out.print(f"Token {token_id} of project {project_id} is revoked.")


async def projects_listed(office: Office) -> None:
    """Print all projects."""
    async with office.connection() as connection:
        found = await held.list_projects(connection)
    table = new_table("project", "disabled", "apps", "live jobs")
    for one in found:
        counts = (str(one.apps_count), str(one.live_jobs_count))
        table.add_row(one.project_id, time_of(one.disabled_at, "no"), *counts)
    office.out.print(table)


async def project_disabled(office: Office, project: str, *, disabled: bool) -> None:
    """Disable or enable a project, and tell what goes on."""
    project_id = _project(project)
    async with office.database() as database, database.begin() as connection:
        await held.disable_project(connection, project_id, utc_now() if disabled else None)
    if disabled:
        office.out.print(
            f"Project {project_id} is disabled: its requests answer 403, nobody joins its rooms, no job starts. "
            "Jobs that run go on to their end, and what they record is told."
        )
    else:
        office.out.print(f"Project {project_id} is enabled.")


async def join_key_rotated(office: Office, app_id: str, keep_old: str) -> None:
    """Give an app a new join key; tokens of the old one are good for a while."""
    kept = parse_lifetime(keep_old, "--keep-old")
    app = await find_app(office, app_id)
    async with office.database() as database:
        rotated = await AppService(database).rotate_join_key(app.project_id, app.app_id, kept)
    until = f"good until {time_of(rotated.old_join_key_until)} UTC" if kept else "void"
    office.out.print(f"join key  {rotated.join_key}\nTokens of the old one are {until}.")


def parse_lifetime(text: str, option: str) -> timedelta:
    """Return a span typed as minutes, hours or days.

    Raises:
        InvalidValueError: it is none, or too long; names `option`.
    """
    match = re.fullmatch(r"(\d{1,6})([mhd])|0", text)
    span = timedelta() if match is None or match[2] is None else timedelta(**{UNITS[match[2]]: int(match[1])})
    if match is None or span > timedelta(days=LIFETIME_DAYS_MAX):
        raise InvalidValueError(f"{option} is a number of minutes, hours or days, such as 30m, 24h or 90d")
    return span


def time_of(at: datetime | None, otherwise: str = "") -> str:
    """Return a moment as lists show it."""
    return otherwise if at is None else at.strftime("%Y-%m-%d %H:%M:%S")


async def _new_pair(office: Office, project_id: ProjectId, expires_at: datetime | None) -> Credential:
    pair = Credential(secrets.token_hex(10).upper(), secrets.token_hex(20), (project_id,), project_id, expires_at)
    async with office.accounts() as accounts:
        await accounts.create_credential(pair, utc_now())
    return pair


def _print_pair(office: Office, pair: Credential) -> None:
    office.out.print(f"AK       {pair.access_key}\nSK       {pair.secret_key}\nproject  {pair.default_project}")


def _project(text: str) -> ProjectId:
    return ProjectId(parse_id(text, "--project", 128))
