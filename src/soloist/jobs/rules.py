"""What the API can ask of record rules: save, list, show, replace, delete.

At most one rule per app and location. A rule that a live job or automatic recording refers to cannot be deleted; both
take the rule's row lock to refer to it, so that none of them can slip past a delete. Spec: API section 2.5.
"""

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from soloist.clock import utc_now
from soloist.jobs import schema
from soloist.jobs.accounts import Accounts, StoredRule, stored_rule
from soloist.jobs.codec import render_rule_body
from soloist.jobs.grants import refuse_ungranted
from soloist.model.errors import LocationUnknownError, NotFoundError, RuleExistsError, RuleInUseError
from soloist.model.ids import AppId, ProjectId, RuleId
from soloist.model.job import JobState
from soloist.model.rule import RecordRule
from soloist.storage.bucket import check_bucket_name, check_key
from soloist.wire.keys import check_length, check_prefix

rules = schema.record_rules


class RuleService:
    """Accepts commands about record rules; safe to share between requests."""

    def __init__(
        self,
        database: AsyncEngine,
        *,
        locations: Collection[str] | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """`locations` are the storage region ids a rule may name; None for any."""
        self._database = database
        self._accounts = Accounts(database)
        self._locations = locations
        self._clock = clock

    async def save(self, project_id: ProjectId, rule: RecordRule) -> tuple[StoredRule, bool]:
        """Store a rule for its location; return it and whether it is new.

        Where the app has a rule for that location already, this one takes its place, under its id.

        Raises:
            InvalidValueError: a bucket, folder or prefix that cannot be one, or is not granted to the project.
            NotFoundError: the project has no such app.
            LocationUnknownError: the location is not configured here.
        """
        await self._check(project_id, rule)
        try:
            stored = await self._accounts.set_rule(rule, self._clock())
        except IntegrityError as error:  # The app was deleted after the look at it.
            raise NotFoundError(f"app {rule.app_id} does not exist") from error
        return stored, stored.rule.rule_id == rule.rule_id

    async def list_rules(self, project_id: ProjectId, app_id: AppId, *, offset: int, limit: int) -> list[StoredRule]:
        """Return an app's rules by location, `limit` of them from the `offset`-th on.

        Raises:
            NotFoundError: the project has no such app.
        """
        await self._accounts.require_app(project_id, app_id)
        query = select(rules).where(rules.c.app_id == app_id).order_by(rules.c.location).offset(offset).limit(limit)
        async with self._database.connect() as connection:
            return [stored_rule(row) for row in await connection.execute(query)]

    async def show(self, project_id: ProjectId, app_id: AppId, rule_id: RuleId) -> StoredRule:
        """Return a rule.

        Raises:
            NotFoundError: the app has no such rule, or the project no such app.
        """
        await self._accounts.require_app(project_id, app_id)
        async with self._database.connect() as connection:
            return stored_rule(await _find(connection, app_id, rule_id))

    async def replace(self, project_id: ProjectId, rule: RecordRule) -> StoredRule:
        """Store a rule in place of the one of its id; jobs that run keep their snapshot.

        Raises:
            InvalidValueError, LocationUnknownError: as `save`.
            NotFoundError: the app has no such rule, or the project no such app.
            RuleExistsError: the location it moves to has a rule. Spec: API section 4.10.
        """
        await self._check(project_id, rule)
        values = {"location": rule.address.location, "body": render_rule_body(rule), "updated_at": self._clock()}
        try:
            async with self._database.begin() as connection:
                await connection.execute(update(rules).where(*_is(rule.app_id, rule.rule_id)).values(values))
                return stored_rule(await _find(connection, rule.app_id, rule.rule_id))
        except IntegrityError as error:
            if schema.ONE_RULE_PER_LOCATION in str(error.orig):
                raise RuleExistsError(f"the app has a rule for location {rule.address.location}") from error
            raise

    async def delete(self, project_id: ProjectId, app_id: AppId, rule_id: RuleId) -> None:
        """Delete a rule.

        Raises:
            NotFoundError: the app has no such rule, or the project no such app.
            RuleInUseError: a live job or automatic recording refers to it.
        """
        await self._accounts.require_app(project_id, app_id)
        async with self._database.begin() as connection:
            await _find(connection, app_id, rule_id, lock=True)
            await _refuse_used(connection, app_id, rule_id)
            await connection.execute(delete(rules).where(*_is(app_id, rule_id)))

    async def _check(self, project_id: ProjectId, rule: RecordRule) -> None:
        check_places(rule)
        await self._accounts.require_app(project_id, rule.app_id)
        if self._locations is not None and rule.address.location not in self._locations:
            raise LocationUnknownError(f"location {rule.address.location} is not configured here")
        async with self._database.connect() as connection:
            await refuse_ungranted(connection, project_id, rule)


def check_places(rule: RecordRule) -> None:
    """Return if everything a rule says of places can be one.

    Raises:
        InvalidValueError: a bucket, an object prefix or a record prefix that cannot be one; the message names it.
    """
    check_bucket_name(rule.address.bucket)
    if rule.address.object:
        check_key(rule.address.object.removesuffix("/"))
    for config in (rule.mp4, rule.hls):
        if config is not None:
            check_prefix(config.prefix)
            check_length(rule.address.object, config.prefix, rule.app_id)


async def hold_rule(connection: AsyncConnection, app_id: AppId, rule_id: RuleId) -> bool:
    """Keep a rule from being deleted until this transaction ends; return whether it is there."""
    query = select(rules.c.rule_id).where(*_is(app_id, rule_id)).with_for_update(read=True)
    return await connection.scalar(query) is not None


async def _find(connection: AsyncConnection, app_id: AppId, rule_id: RuleId, *, lock: bool = False) -> Row[Any]:
    query = select(rules).where(*_is(app_id, rule_id))
    row = (await connection.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None:
        raise NotFoundError(f"rule {rule_id} does not exist")
    return row


async def _refuse_used(connection: AsyncConnection, app_id: AppId, rule_id: RuleId) -> None:
    jobs, apps = schema.jobs, schema.apps
    live = select(jobs.c.job_id).where(
        jobs.c.app_id == app_id, jobs.c.rule_id == rule_id, jobs.c.state != JobState.STOPPED
    )
    job_id = await connection.scalar(live.limit(1))
    if job_id is not None:
        raise RuleInUseError(f"job {job_id} records by it, stop it first")
    automatic = select(apps.c.app_id).where(apps.c.app_id == app_id, apps.c.auto_rule_id == rule_id)
    if await connection.scalar(automatic) is not None:
        raise RuleInUseError("automatic recording uses it, switch that off first")


def _is(app_id: AppId, rule_id: RuleId) -> tuple[Any, Any]:
    return rules.c.app_id == app_id, rules.c.rule_id == rule_id
