"""What the API can ask of jobs: start, show, update, stop, look through.

Every command is one transaction: what it changes, the engine's work and the event it causes are committed together or
not at all, before it returns. Nothing here waits for a recorder. Spec: API sections 2.1-2.4, 5.
"""

import functools
import secrets
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any

import procrastinate
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from soloist.clock import utc_now
from soloist.jobs import queue, store
from soloist.jobs.accounts import Accounts, App
from soloist.jobs.admission import admit
from soloist.jobs.library import refuse_closed
from soloist.jobs.listing import JobFilter, JobPage, page_of_jobs
from soloist.jobs.quota import QuotaKeeper
from soloist.jobs.rules import hold_rule
from soloist.model.admission import Shares
from soloist.model.errors import (
    AppDisabledError,
    InvalidValueError,
    JobDoneError,
    LocationUnknownError,
    NotFoundError,
)
from soloist.model.event import JobAccepted, JobEnded
from soloist.model.ids import AppId, JobId, ProjectId, RuleId
from soloist.model.job import Job, JobEvent, JobState, StartJob, StopReason, UpdateJob
from soloist.model.rule import RecordRule
from soloist.storage.object_urls import ObjectUrls
from soloist.wire.addresses import AddressRefusedError, OutgoingGuard
from soloist.wire.placement import slot_of_room
from soloist.wire.rtmp import RtmpUrl


class JobService:
    """Accepts commands about jobs; safe to share between requests."""

    def __init__(
        self,
        database: AsyncEngine,
        engine: procrastinate.App,
        slots: Sequence[str],
        *,
        limits: Shares | None = None,
        locations: Collection[str] | None = None,
        urls: ObjectUrls | None = None,
        clock: Callable[[], datetime] = utc_now,
        guard: OutgoingGuard | None = None,
    ) -> None:
        """`locations` are the storage region ids a rule may name, None for any; `urls` makes files' addresses.

        `guard` judges where streams may be forwarded to: public addresses, unless told otherwise.
        """
        self._guard = guard or OutgoingGuard()
        self._locations = locations
        self._urls = urls
        self._database = database
        self._engine = engine
        self._slots = tuple(slots)
        self._limits = limits or Shares()
        self._clock = clock
        self._accounts = Accounts(database)
        self._quota = QuotaKeeper(database, self._limits.quota)

    async def start(self, project_id: ProjectId, command: StartJob) -> Job:
        """Accept a job: it is persisted, queued and in state INIT when this returns.

        Raises:
            NotFoundError: the project has no such app.
            AppDisabledError: the app is disabled.
            InvalidValueError: the app has no such rule, its bucket is not granted to the project or revoked by it, or
                an RTMP server's address is not permitted.
            LocationUnknownError: the rule's location is not configured here.
            QuotaError: the project keeps as much as it may.
            JobLimitError: the project has its share, or the room's recorder is full.
            JobRunningError: the stream has a live job.
        Spec: API section 2.1 (validation order), 5.3.
        """
        self._check_forwards(command.forward_urls)
        app, rule = await self._app_and_rule(project_id, command.app_id, command.rule_id)
        await self._quota.check(project_id)
        slot = slot_of_room(command.app_id, command.room_id, self._slots)
        job = _new_job(app, command, rule, self._clock())
        async with self._database.begin() as connection:
            ahead_count = await admit(connection, project_id, slot, self._limits)
            if rule is not None:
                await _hold_rule(connection, rule)
                await refuse_closed(connection, project_id, rule)
            await store.insert_job(connection, job, slot)
            await store.append_event(connection, store.Claim(job.job_id, job.epoch), JobAccepted(slot), job.created_at)
            # Behind its own project's, before what others have more of: nobody waits for another's burst.
            engine_id = await queue.enqueue(connection, self._engine, job.job_id, slot, priority=-ahead_count)
            await store.set_engine_id(connection, job.job_id, engine_id)
        return job

    async def show(self, project_id: ProjectId, app_id: AppId, job_id: JobId) -> Job:
        """Return a job as it is persisted.

        Raises:
            NotFoundError: the app has no such job.
        """
        async with self._database.connect() as connection:
            return (await _find(connection, project_id, app_id, job_id))[0]

    async def update(self, project_id: ProjectId, app_id: AppId, job_id: JobId, command: UpdateJob) -> Job:
        """Give a live job another rule, other servers to forward to, or both; what it has already changes nothing.

        Raises:
            NotFoundError: the app has no such job.
            JobDoneError: the job has stopped.
            InvalidValueError: the app has no such rule, or an RTMP server's address is not permitted.
            LocationUnknownError: the rule's location is not configured here.
        Spec: API sections 5.4, 6.3.
        """
        self._check_forwards(command.forward_urls or ())
        rule = await self._accounts.rule(app_id, RuleId(command.rule_id)) if command.rule_id is not None else None
        async with self._database.begin() as connection:
            job, _ = await _find(connection, project_id, app_id, job_id, lock=True)
            if not job.is_live:
                raise JobDoneError
            if rule is None and command.rule_id is not None:
                raise InvalidValueError(f"record_rule_id {command.rule_id} is not a rule of this app")
            if rule is not None and (job.rule is None or job.rule.rule_id != rule.rule_id):
                self._check_location(rule)
                await _hold_rule(connection, rule)
                await refuse_closed(connection, project_id, rule)
                await store.save_rule(connection, job_id, rule, self._clock())
            if command.forward_urls is not None and command.forward_urls != job.forward_urls:
                await store.save_forward_urls(connection, job_id, command.forward_urls, self._clock())
            return (await _find(connection, project_id, app_id, job_id))[0]

    async def suspend(self, project_id: ProjectId, app_id: AppId, job_id: JobId, *, suspended: bool) -> Job:
        """Suspend a live job, or let it go on; one that is so already stays as it is.

        Raises:
            NotFoundError: the app has no such job.
            JobDoneError: the job has stopped.
        Spec: API section 2.3; rule R52.
        """
        async with self._database.begin() as connection:
            job, _ = await _find(connection, project_id, app_id, job_id, lock=True)
            if not job.is_live:
                raise JobDoneError
            if job.suspended == suspended:
                return job
            await store.save_suspended(connection, job_id, suspended=suspended, now=self._clock())
            return (await _find(connection, project_id, app_id, job_id))[0]

    async def stop(self, project_id: ProjectId, app_id: AppId, job_id: JobId) -> None:
        """Stop a job: STOPPED is persisted and the stream free for a new job when this returns.

        A job that has stopped stays as it is. Its files are finished by the recorder afterwards.

        Raises:
            NotFoundError: the app has no such job.
        Spec: API section 5.5.
        """
        async with self._database.begin() as connection:
            job, row = await _find(connection, project_id, app_id, job_id, lock=True)
            now = self._clock()
            stopped = job.after(JobEvent.STOP_REQUESTED, now)
            if stopped is job:
                return
            await store.save_move(connection, stopped)
            was_taken = job.epoch > 0
            if (
                not was_taken
            ):  # No recorder ever held it, so there is nothing to finish and nobody else to tell the end.
                claim = store.Claim(job_id, job.epoch)
                await store.append_event(connection, claim, JobEnded(StopReason.TENANT_STOP), now)
            if row.engine_id is not None:
                await queue.withdraw(connection, row.engine_id, keep_waiting=was_taken)

    async def page(self, project_id: ProjectId, wanted: JobFilter, *, number: int, size: int) -> JobPage:
        """Return the page of this number, counted from 0, of a project's jobs with their files, newest first."""
        url_of = functools.partial(self._urls.download_url, now=self._clock()) if self._urls else lambda *_: ""
        return await page_of_jobs(self._database, project_id, wanted, number=number, size=size, url_of=url_of)

    async def _app_and_rule(
        self, project_id: ProjectId, app_id: AppId, rule_id: str | None
    ) -> tuple[App, RecordRule | None]:
        app = await self._accounts.app(project_id, app_id)
        if app is None:
            raise NotFoundError(f"app {app_id} does not exist")
        if not (app.enabled and app.is_project_enabled):
            raise AppDisabledError
        if rule_id is None:
            return app, None
        rule = await self._accounts.rule(app_id, RuleId(rule_id))
        if rule is None:
            raise InvalidValueError(f"record_rule_id {rule_id} is not a rule of this app")
        self._check_location(rule)
        return app, rule

    def _check_forwards(self, urls: Sequence[str]) -> None:
        """Refuse addresses that would never be connected to; names are judged when they are."""
        for number, url in enumerate(urls):
            try:
                self._guard.check_host(RtmpUrl.parse(url).host)
            except AddressRefusedError as error:
                raise InvalidValueError(f"publish_param.rtmp_urls[{number}]: {error}") from error

    def _check_location(self, rule: RecordRule) -> None:
        location = rule.address.location
        if self._locations is not None and location not in self._locations:
            raise LocationUnknownError(f"location {location} of rule {rule.rule_id} is not configured here")


async def _find(
    connection: AsyncConnection, project_id: ProjectId, app_id: AppId, job_id: JobId, *, lock: bool = False
) -> tuple[Job, Row[Any]]:
    found = await store.find_job(connection, store.in_app(project_id, app_id, job_id), lock=lock)
    if found is None:
        raise NotFoundError(f"job {job_id} does not exist")
    return found


async def _hold_rule(connection: AsyncConnection, rule: RecordRule) -> None:
    if not await hold_rule(connection, rule.app_id, rule.rule_id):
        raise InvalidValueError(f"record_rule_id {rule.rule_id} is not a rule of this app")


def _new_job(app: App, command: StartJob, rule: RecordRule | None, now: datetime) -> Job:
    return Job(
        job_id=JobId(secrets.token_hex(16)),
        project_id=app.project_id,
        app_id=command.app_id,
        room_id=command.room_id,
        participant_id=command.participant_id,
        with_audio=command.with_audio,
        video=command.video,
        tier=command.tier,
        idle_timeout=command.idle_timeout,
        rule=rule,
        state=JobState.INIT,
        created_at=now,
        updated_at=now,
        started_at=now,
        automatic=command.automatic,
        vp8=app.vp8,
        forward_urls=command.forward_urls,
    )
