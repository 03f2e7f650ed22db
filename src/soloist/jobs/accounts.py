"""Who may ask and what they own: projects, credentials, tokens, apps and record rules.

Reads serve the API on every request; writes serve the operator's commands and the dev data.
Spec: API sections 2.5, 2.6, 9.4.
"""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, Table, delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from soloist.jobs import schema
from soloist.jobs.codec import render_rule_body, rule_of_row
from soloist.jobs.grants import add_grant, list_grants
from soloist.jobs.known_names import list_names
from soloist.model.callback import RecordCallback
from soloist.model.errors import NotFoundError, ProjectDisabledError, TokenExpiredError
from soloist.model.ids import AppId, ProjectId, RuleId
from soloist.model.media import Codec
from soloist.model.rule import RecordRule, Vp8Mode
from soloist.wire.granted import Grant, folders_of_rule, is_below

VIDEO_CODECS = (Codec.H264, Codec.VP8, Codec.VP9, Codec.AV1)
"""What a new app prefers: H.264, which every player takes, then the others in the order players do."""


FORGOTTEN_AFTER = timedelta(days=2)
"""How long ago a token expired that is forgotten: until then its holder is told that it has."""


TOKENS_MAX = 10_000
"""Of one access key; the oldest ends when another is asked for."""

_IS_DISABLED = schema.projects.c.disabled_at.is_not(None).label("is_disabled")


@dataclass(frozen=True, slots=True)
class Credential:
    """An access key and what it may act for."""

    access_key: str
    secret_key: str = field(repr=False)
    project_ids: tuple[ProjectId, ...]
    """Projects it may name in X-Project-Id."""
    default_project: ProjectId
    """The project meant when it names none."""
    expires_at: datetime | None = None
    """When it ends; None for never."""
    is_enabled: bool = True
    """Whether its project is."""


@dataclass(frozen=True, slots=True)
class App:
    """A customer's application: the scope of rooms, rules and jobs."""

    app_id: AppId
    project_id: ProjectId
    app_name: str
    enabled: bool
    join_key: str = field(repr=False)
    """Key of its join tokens (HS256), 64 hex digits."""
    video_codecs: tuple[Codec, ...]
    """What a WHIP answer prefers, first one first."""
    created_at: datetime
    state_changed_at: datetime | None = None
    """When it was last enabled or disabled; None if never since it was made."""
    auto_rule_id: RuleId | None = None
    """Rule of automatic recording; None while that is off."""
    auto_since: datetime | None = None
    """Rooms that began after this are recorded automatically."""
    auto_changed_at: datetime | None = None
    """When automatic recording was last changed; None if never."""
    callback: RecordCallback | None = None
    """Where its events are told, as far as that was looked up."""
    vp8: Vp8Mode = Vp8Mode.WEBM
    """What becomes of VP8 in jobs that start from now on."""
    old_join_key: str | None = field(default=None, repr=False)
    """The one before, whose tokens are good until `old_join_key_until`."""
    old_join_key_until: datetime | None = None
    is_project_enabled: bool = True
    """Whether its project is, as far as that was looked up."""

    def join_keys(self, now: datetime) -> tuple[str, ...]:
        """Return the keys whose tokens let in at `now`, the present one first."""
        if self.old_join_key is None or self.old_join_key_until is None or self.old_join_key_until <= now:
            return (self.join_key,)
        return self.join_key, self.old_join_key


@dataclass(frozen=True, slots=True)
class StoredRule:
    """A record rule and when it was made and last replaced."""

    rule: RecordRule
    created_at: datetime
    updated_at: datetime


class Accounts:
    """Reads and writes accounts; every method is one transaction and raises SQLAlchemyError if the database is away."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def credential(self, access_key: str) -> Credential | None:
        """Return the credential of an access key; None if there is none, or it has expired."""
        table = schema.credentials
        query = _with_project(table).where(table.c.access_key == access_key, _is_good(table))
        async with self._database.connect() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None
        project_id = ProjectId(row.project_id)
        return Credential(
            row.access_key, row.secret_key, (project_id,), project_id, row.expires_at, is_enabled=not row.is_disabled
        )

    async def project_of_token(self, token: str, now: datetime) -> ProjectId | None:
        """Return the project an X-Auth-Token speaks for; None if it is unknown, or the key it was asked for with ended.

        Tokens are stored and looked up as SHA-256, so neither the table nor the look-up's time gives one away.

        Raises:
            TokenExpiredError: it was good until lately.
            ProjectDisabledError: its project is disabled.
        """
        digest = token_digest(token)
        table, keys = schema.tokens, schema.credentials
        # Of an operator's token, which has no key, the outer join's columns are all null, and the condition holds.
        keyed = table.join(schema.projects).outerjoin(keys, table.c.access_key == keys.c.access_key)
        query = select(table, _IS_DISABLED).select_from(keyed).where(table.c.token_sha256 == digest, _is_good(keys))
        async with self._database.connect() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None or not hmac.compare_digest(row.token_sha256, digest):
            return None
        if row.expires_at is not None and row.expires_at <= now:
            raise TokenExpiredError
        if row.is_disabled:
            raise ProjectDisabledError
        return ProjectId(row.project_id)

    async def app(self, project_id: ProjectId, app_id: AppId) -> App | None:
        """Return an app of this project; None if it has none of that id."""
        found = await self.app_anywhere(app_id)
        return found if found and found.project_id == project_id else None

    async def app_anywhere(self, app_id: AppId) -> App | None:
        """Return an app whichever project owns it; for the rooms, whose paths name no project."""
        table = schema.apps
        query = _with_project(table).where(table.c.app_id == app_id)
        async with self._database.connect() as connection:
            row = (await connection.execute(query)).one_or_none()
        return replace(app_of_row(row), is_project_enabled=not row.is_disabled) if row else None

    async def video_codecs_of(self, app_id: AppId) -> tuple[Codec, ...]:
        """Return what WHIP answers of an app prefer; empty if there is no such app."""
        app = await self.app_anywhere(app_id)
        return app.video_codecs if app else ()

    async def project_of(self, app_id: AppId) -> str:
        """Return the project an app belongs to; empty if there is no such app."""
        app = await self.app_anywhere(app_id)
        return app.project_id if app else ""

    async def require_app(self, project_id: ProjectId, app_id: AppId) -> App:
        """Return an app of this project.

        Raises:
            NotFoundError: it has none of that id.
        """
        found = await self.app(project_id, app_id)
        if found is None:
            raise NotFoundError(f"app {app_id} does not exist")
        return found

    async def app_ids(self, project_id: ProjectId) -> frozenset[AppId]:
        """Return the ids of a project's apps."""
        query = select(schema.apps.c.app_id).where(schema.apps.c.project_id == project_id)
        async with self._database.connect() as connection:
            return frozenset(AppId(app_id) for app_id in await connection.scalars(query))

    async def rule(self, app_id: AppId, rule_id: RuleId) -> RecordRule | None:
        """Return a record rule of this app; None if it has none of that id."""
        table = schema.record_rules
        query = select(table).where(table.c.app_id == app_id, table.c.rule_id == rule_id)
        async with self._database.connect() as connection:
            row = (await connection.execute(query)).one_or_none()
        return rule_of_row(row) if row else None

    async def rules(self, app_id: AppId) -> list[RecordRule]:
        """Return the record rules of an app, by location."""
        table = schema.record_rules
        query = select(table).where(table.c.app_id == app_id).order_by(table.c.location)
        async with self._database.connect() as connection:
            return [rule_of_row(row) for row in await connection.execute(query)]

    async def create_project(self, project_id: ProjectId) -> None:
        """Make sure a project exists."""
        await self._upsert(insert(schema.projects).values(project_id=project_id).on_conflict_do_nothing())

    async def create_credential(self, credential: Credential, now: datetime) -> None:
        """Store a credential, creating its project; an access key that exists gets the new secret and project."""
        await self.create_project(credential.default_project)
        values = {
            "secret_key": credential.secret_key,
            "project_id": credential.default_project,
            "created_at": now,
            "expires_at": credential.expires_at,
        }
        statement = insert(schema.credentials).values(access_key=credential.access_key, **values)
        await self._upsert(statement.on_conflict_do_update(index_elements=["access_key"], set_=values))

    async def create_token(
        self, token: str, project_id: ProjectId, expires_at: datetime | None = None, *, access_key: str | None = None
    ) -> None:
        """Store the digest of a token, creating its project; without `expires_at` it is good for ever.

        It ends with the `access_key` it was asked for with, if it was.
        Tokens that expired `FORGOTTEN_AFTER` ago are forgotten, and of a key those before its latest `TOKENS_MAX`.
        """
        await self.create_project(project_id)
        table = schema.tokens
        values = {
            "project_id": project_id,
            "expires_at": expires_at,
            "access_key": access_key,
        }
        statement = insert(table).values(token_sha256=token_digest(token), created_at=func.now(), **values)
        async with self._database.begin() as connection:
            await connection.execute(statement.on_conflict_do_update(index_elements=["token_sha256"], set_=values))
            if expires_at is not None:
                await connection.execute(delete(table).where(table.c.expires_at < func.now() - FORGOTTEN_AFTER))
            if access_key is not None:
                of_key = table.c.access_key == access_key
                latest = select(table.c.created_at).where(of_key).order_by(table.c.created_at.desc())
                eldest = latest.offset(TOKENS_MAX).limit(1).scalar_subquery()
                await connection.execute(delete(table).where(of_key, table.c.created_at <= eldest))

    async def create_app(self, app: App) -> None:
        """Store an app, creating its project; an app that exists is left as it is."""
        await self.create_project(app.project_id)
        statement = insert(schema.apps).values(app_values(app))
        await self._upsert(statement.on_conflict_do_nothing())

    async def save_rule(self, rule: RecordRule, now: datetime) -> None:
        """Store a record rule and grant its folders to the app's project: for operators.

        One with the same app and id is replaced. Running jobs keep their snapshot.
        """
        table = schema.record_rules
        values = {"location": rule.address.location, "body": render_rule_body(rule), "updated_at": now}
        statement = insert(table).values(app_id=rule.app_id, rule_id=rule.rule_id, created_at=now, **values)
        async with self._database.begin() as connection:
            await connection.execute(statement.on_conflict_do_update(index_elements=["app_id", "rule_id"], set_=values))
        await self.grant_rule(rule)

    async def set_rule(self, rule: RecordRule, now: datetime) -> StoredRule:
        """Store a record rule for its location, in place of the app's rule there, whose id it then takes over.

        Running jobs keep their snapshot. Return the rule as it is stored. Whether the project may name its bucket is
        for the caller to decide. Spec: API section 2.5.
        """
        table = schema.record_rules
        values = {"body": render_rule_body(rule), "updated_at": now}
        key = {"app_id": rule.app_id, "location": rule.address.location}
        statement = insert(table).values(rule_id=rule.rule_id, created_at=now, **key, **values)
        statement = statement.on_conflict_do_update(constraint="record_rules_one_per_location", set_=values)
        async with self._database.begin() as connection:
            return stored_rule((await connection.execute(statement.returning(*table.c))).one())

    async def grant(self, project_id: ProjectId, grants: Iterable[Grant]) -> None:
        """Grant folders of buckets to a project, which is made if there is none."""
        await self.create_project(project_id)
        async with self._database.begin() as connection:
            for grant in grants:
                await add_grant(connection, project_id, grant)

    async def grant_rule(self, rule: RecordRule) -> list[Grant]:
        """Grant to a rule's project the folders it records into; return those that were not granted by name yet."""
        app = await self.app_anywhere(rule.app_id)
        if app is None:
            return []
        place = rule.address.location, rule.address.bucket
        async with self._database.connect() as connection:
            held = [grant.folder for _, grant in await list_grants(connection, app.project_id) if grant.place == place]
        lacking = [folder for folder in folders_of_rule(rule) if not any(is_below(folder, granted) for granted in held)]
        named = rule.address.object.removesuffix("/")
        wanted = [Grant(*place, folder) for folder in ([named] if named and lacking else lacking)]
        await self.grant(app.project_id, wanted)
        return wanted

    async def known_names(self) -> frozenset[str]:
        """Return the names of every key, token and app there is; see `known_names.py`."""
        async with self._database.connect() as connection:
            return await list_names(connection)

    async def _upsert(self, statement: object) -> None:
        async with self._database.begin() as connection:
            await connection.execute(statement)  # type: ignore[call-overload]  # insert or update, both executable


def _with_project(table: Table) -> Select[Any]:
    """Return the query of a table's rows, each with whether its project is disabled."""
    return select(table, _IS_DISABLED).select_from(table.join(schema.projects))


def _is_good(table: Table) -> ColumnElement[bool]:
    """Return the condition that what is in a table has no end, or has not come to it."""
    return or_(table.c.expires_at.is_(None), table.c.expires_at > func.now())


def app_of_row(row: Row[Any]) -> App:
    """Return the app of an `apps` row."""
    return App(
        app_id=AppId(row.app_id),
        project_id=ProjectId(row.project_id),
        app_name=row.app_name,
        enabled=row.enabled,
        join_key=row.join_key,
        video_codecs=tuple(Codec(codec) for codec in row.video_codecs),
        created_at=row.created_at,
        state_changed_at=row.state_changed_at,
        auto_rule_id=RuleId(row.auto_rule_id) if row.auto_rule_id else None,
        auto_since=row.auto_since,
        auto_changed_at=row.auto_changed_at,
        vp8=Vp8Mode(row.vp8),
        old_join_key=row.old_join_key,
        old_join_key_until=row.old_join_key_until,
    )


def app_values(app: App) -> dict[str, Any]:
    """Return the columns of an `apps` row."""
    values = {name: getattr(app, name) for name in App.__slots__ if name in schema.apps.c}
    return values | {"video_codecs": [codec.value for codec in app.video_codecs]}


def stored_rule(row: Row[Any]) -> StoredRule:
    """Return the rule of a `record_rules` row with its times."""
    return StoredRule(rule_of_row(row), row.created_at, row.updated_at)


def token_digest(token: str) -> str:
    """Return what is stored of a token: its SHA-256 as 64 hex digits."""
    return hashlib.sha256(token.encode()).hexdigest()
