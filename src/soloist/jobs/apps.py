"""What the API and the operator can ask of apps: create, list, show, enable, delete, and automatic recording.

Creation holds the row lock of its project, which makes names unique and the quota exact. Spec: API section 2.6.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from soloist.clock import utc_now
from soloist.jobs import outbox, schema
from soloist.jobs.accounts import VIDEO_CODECS, Accounts, App, app_of_row, app_values
from soloist.jobs.callbacks import find_callbacks
from soloist.jobs.rules import hold_rule
from soloist.model.errors import AppLimitError, InvalidValueError, NotFoundError, RuleExistsError
from soloist.model.ids import AppId, ProjectId, RuleId
from soloist.model.rule import Vp8Mode

apps = schema.apps

APP_NAME_MAX = 256


@dataclass(frozen=True, slots=True)
class AppPage:
    """Some apps of a project, and how many there are in all."""

    apps: list[App]
    count: int


class AppService:
    """Accepts commands about apps; safe to share between requests."""

    def __init__(
        self, database: AsyncEngine, *, apps_max: int | None = None, clock: Callable[[], datetime] = utc_now
    ) -> None:
        """`apps_max` is how many a project may have; None for any number."""
        self._database = database
        self._accounts = Accounts(database)
        self._apps_max = apps_max
        self._clock = clock

    async def create(self, project_id: ProjectId, app_name: str, vp8: Vp8Mode = Vp8Mode.WEBM) -> App:
        """Make an app, enabled, with a join key of its own.

        Raises:
            InvalidValueError: the name is empty, too long, holds control characters, or is another app's; or this
                installation cannot do with VP8 what is wanted.
            AppLimitError: the project has as many apps as it may.
        """
        if not 1 <= len(app_name) <= APP_NAME_MAX or not app_name.isprintable():
            raise InvalidValueError(f"app_name: 1 to {APP_NAME_MAX} printable characters, such as: shop")
        check_vp8(vp8)
        created = _new_app(project_id, app_name, vp8, self._clock())
        await self._accounts.create_project(project_id)
        async with self._database.begin() as connection:
            await _hold_project(connection, project_id)
            await self._check_place(connection, project_id, app_name)
            await connection.execute(apps.insert().values(app_values(created)))
        return created

    async def list_apps(
        self, project_id: ProjectId, *, enabled: bool | None = None, offset: int = 0, limit: int = 100
    ) -> AppPage:
        """Return a project's apps, oldest first, `limit` of them from the `offset`-th on; all or those of a state."""
        scope = [apps.c.project_id == project_id]
        if enabled is not None:
            scope.append(apps.c.enabled == enabled)
        query = select(apps).where(*scope).order_by(apps.c.created_at, apps.c.app_id).offset(offset).limit(limit)
        async with self._database.connect() as connection:
            count = await connection.scalar(select(func.count()).select_from(apps).where(*scope))
            found = [app_of_row(row) for row in await connection.execute(query)]
            return AppPage(await _with_callbacks(connection, found), int(count or 0))

    async def show(self, project_id: ProjectId, app_id: AppId) -> App:
        """Return an app with its callback.

        Raises:
            NotFoundError: the project has no such app.
        """
        app = await self._accounts.require_app(project_id, app_id)
        async with self._database.connect() as connection:
            return (await _with_callbacks(connection, [app]))[0]

    async def enable(self, project_id: ProjectId, app_id: AppId, *, enabled: bool) -> App:
        """Enable or disable an app; what it is already stays as it is, and running jobs go on. Spec: API section 5.1.

        Raises:
            NotFoundError: the project has no such app.
        """
        values = {"enabled": enabled, "state_changed_at": self._clock()}
        changed = [apps.c.app_id == app_id, apps.c.project_id == project_id, apps.c.enabled != enabled]
        async with self._database.begin() as connection:
            await connection.execute(update(apps).where(*changed).values(values))
        return await self._accounts.require_app(project_id, app_id)

    async def change_vp8(self, project_id: ProjectId, app_id: AppId, vp8: Vp8Mode) -> App:
        """Decide what becomes of VP8 in jobs that start from now on; running jobs keep their snapshot.

        Raises:
            NotFoundError: the project has no such app.
            InvalidValueError: this installation cannot do it.
        """
        check_vp8(vp8)
        ours = [apps.c.app_id == app_id, apps.c.project_id == project_id]
        async with self._database.begin() as connection:
            await connection.execute(update(apps).where(*ours).values(vp8=vp8))
        return await self._accounts.require_app(project_id, app_id)

    async def rotate_join_key(self, project_id: ProjectId, app_id: AppId, keep_old: timedelta) -> App:
        """Give an app a new join key; tokens of the one before are good for a while yet, of any older one no more.

        Raises:
            NotFoundError: the project has no such app.
        """
        until = self._clock() + keep_old
        values = {"join_key": secrets.token_hex(32), "old_join_key": apps.c.join_key, "old_join_key_until": until}
        ours = [apps.c.app_id == app_id, apps.c.project_id == project_id]
        async with self._database.begin() as connection:
            await connection.execute(update(apps).where(*ours).values(values))
        return await self._accounts.require_app(project_id, app_id)

    async def delete(self, project_id: ProjectId, app_id: AppId) -> None:
        """Delete an app that is disabled, has no record rule, hence no live job, and whose files are all finished.

        What its callback is still to be told is told for its 24 hours, paused or not: nobody could resume it. Its ended
        jobs stay known.

        Raises:
            NotFoundError: the project has no such app.
            InvalidValueError: it is enabled, or a job's files are not finished yet.
            RuleExistsError: it has record rules. Spec: API section 4.10.
        """
        async with self._database.begin() as connection:
            app = await self._hold_app(connection, project_id, app_id)
            if app.enabled:
                raise InvalidValueError(f"app_id: app {app_id} is enabled, disable it first")
            rules = schema.record_rules
            if await connection.scalar(select(rules.c.rule_id).where(rules.c.app_id == app_id).limit(1)):
                raise RuleExistsError("delete the app's record rules first")
            await _refuse_unfinished(connection, app_id)
            await outbox.retire(connection, app_id)
            await connection.execute(delete(apps).where(apps.c.app_id == app_id))

    async def record_automatically(self, project_id: ProjectId, app_id: AppId, rule_id: RuleId | None) -> App:
        """Switch automatic recording on by a rule, or off by None.

        It holds for rooms that begin from now on; another rule does not change since when it is on.

        Raises:
            NotFoundError: the project has no such app.
            InvalidValueError: the app has no such rule.
        """
        async with self._database.begin() as connection:
            app = await self._hold_app(connection, project_id, app_id)
            if rule_id is not None and not await hold_rule(connection, app_id, rule_id):
                raise InvalidValueError(f"record_rule_id {rule_id} is not a rule of this app")
            if rule_id != app.auto_rule_id:
                now = self._clock()
                since = None if rule_id is None else app.auto_since or now
                values = {"auto_rule_id": rule_id, "auto_since": since, "auto_changed_at": now}
                await connection.execute(update(apps).where(apps.c.app_id == app_id).values(values))
        return await self._accounts.require_app(project_id, app_id)

    async def _check_place(self, connection: AsyncConnection, project_id: ProjectId, app_name: str) -> None:
        is_ours = apps.c.project_id == project_id
        if await connection.scalar(select(apps.c.app_id).where(is_ours, apps.c.app_name == app_name).limit(1)):
            raise InvalidValueError(f"app_name: the project has an app named {app_name}")
        count = await connection.scalar(select(func.count()).select_from(apps).where(is_ours))
        if self._apps_max is not None and int(count or 0) >= self._apps_max:
            raise AppLimitError(f"project has {count} apps, which is its limit")

    async def _hold_app(self, connection: AsyncConnection, project_id: ProjectId, app_id: AppId) -> App:
        query = select(apps).where(apps.c.app_id == app_id, apps.c.project_id == project_id).with_for_update()
        row = (await connection.execute(query)).one_or_none()
        if row is None:
            raise NotFoundError(f"app {app_id} does not exist")
        return app_of_row(row)


def check_vp8(vp8: Vp8Mode) -> None:
    """Return if this installation can do with VP8 what is wanted.

    Raises:
        InvalidValueError: its FFmpeg lacks the encoder.
    """
    if vp8 is Vp8Mode.H264:
        from soloist.sinks.h264 import ENCODER, is_available  # noqa: PLC0415 - loads FFmpeg, which the API never needs

        if not is_available():
            raise InvalidValueError(f"vp8: h264 needs FFmpeg with {ENCODER}, which PyAV's own wheel has; keep webm")


def _new_app(project_id: ProjectId, app_name: str, vp8: Vp8Mode, now: datetime) -> App:
    """Return an app under a new id, enabled, with a new join key."""
    return App(
        app_id=AppId(secrets.token_hex(12)),
        project_id=project_id,
        app_name=app_name,
        enabled=True,
        join_key=secrets.token_hex(32),
        video_codecs=VIDEO_CODECS,
        created_at=now,
        vp8=vp8,
    )


async def _refuse_unfinished(connection: AsyncConnection, app_id: AppId) -> None:
    """Return if no job of an app has files that are still being finished: their ends are yet to be told."""
    jobs = schema.jobs
    unfinished = select(jobs.c.job_id).where(jobs.c.app_id == app_id, jobs.c.ended_at.is_(None)).limit(1)
    if job_id := await connection.scalar(unfinished):
        raise InvalidValueError(f"app_id: files of job {job_id} are still being finished, delete the app afterwards")


async def _with_callbacks(connection: AsyncConnection, found: list[App]) -> list[App]:
    callbacks = await find_callbacks(connection, [app.app_id for app in found])
    return [replace(app, callback=callbacks.get(app.app_id)) for app in found]


async def _hold_project(connection: AsyncConnection, project_id: ProjectId) -> None:
    projects = schema.projects
    await connection.execute(select(projects).where(projects.c.project_id == project_id).with_for_update())
