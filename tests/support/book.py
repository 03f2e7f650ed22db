"""A job book and account list in memory: small working players of the edge's ports, for tests without a database."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from soloist.api.app import Commands, Telling
from soloist.jobs.accounts import token_digest
from soloist.jobs.listing import JobPage, ListedJob
from soloist.model.errors import AppDisabledError, InvalidValueError, JobDoneError, JobRunningError, NotFoundError
from soloist.model.ids import JobId, ProjectId
from soloist.model.job import Job, JobEvent, JobState
from soloist.model.rule import RecordFormat, RecordRule, StorageAddress

NOW = datetime(2026, 11, 22, 12, 0, 0, 75_999, tzinfo=UTC)
JOIN_KEY = "6a" * 32


@dataclass(frozen=True)
class BookedApp:
    app_id: str
    project_id: ProjectId
    enabled: bool = True
    join_key: str = JOIN_KEY
    is_project_enabled: bool = True

    def join_keys(self, now):
        del now
        return (self.join_key,)


@dataclass(frozen=True)
class BookedCredential:
    secret_key: str
    project_ids: tuple
    default_project: ProjectId
    is_enabled: bool = True


class NoBans:
    """Keeps nobody out."""

    async def keeps_out(self, app_id, room_id, participant_id, *, issued_at, expires_at):
        del app_id, room_id, participant_id, issued_at, expires_at
        return False


class AccountBook:
    """One project `dev` with app `demo` (enabled) and `off` (disabled), key `devkey` and token `devtoken`."""

    def __init__(self):
        self.apps = {"demo": BookedApp("demo", "dev"), "off": BookedApp("off", "dev", enabled=False)}
        self.credentials = {"devkey": BookedCredential("devsecret", ("dev", "dev2"), "dev")}
        self.tokens = {"devtoken": "dev"}

    async def credential(self, access_key):
        return self.credentials.get(access_key)

    async def project_of_token(self, token, now):
        del now
        return self.tokens.get(token)

    async def app_anywhere(self, app_id):
        return self.apps.get(app_id)

    async def known_names(self):
        tokens = {f"token {token_digest(token)}" for token in self.tokens}
        return tokens | {f"key {key}" for key in self.credentials} | {f"app {app_id}" for app_id in self.apps}

    async def app_ids(self, project_id):
        return frozenset(app.app_id for app in self.apps.values() if app.project_id == project_id)


class JobBook:
    """Keeps jobs in a dict, by the rules of API section 5."""

    def __init__(self, accounts):
        self._accounts = accounts
        self.jobs = {}
        self.files = {}

    async def start(self, project_id, command):
        rule = self._rule(project_id, command.app_id, command.rule_id)
        for job in self.jobs.values():
            if job.is_live and (job.room_id, job.participant_id, job.video) == (
                command.room_id,
                command.participant_id,
                command.video,
            ):
                raise JobRunningError
        job = _job(project_id, command, rule, f"{len(self.jobs):032x}")
        self.jobs[job.job_id] = job
        return job

    async def show(self, project_id, app_id, job_id):
        job = self.jobs.get(job_id)
        if job is None or (job.project_id, job.app_id) != (project_id, app_id):
            raise NotFoundError
        return job

    async def update(self, project_id, app_id, job_id, command):
        job = await self.show(project_id, app_id, job_id)
        if not job.is_live:
            raise JobDoneError
        self.jobs[job_id] = replace(job, rule=self._rule(project_id, app_id, command.rule_id))
        return self.jobs[job_id]

    async def suspend(self, project_id, app_id, job_id, *, suspended):
        job = await self.show(project_id, app_id, job_id)
        if not job.is_live:
            raise JobDoneError
        self.jobs[job_id] = replace(job, suspended=suspended)
        return self.jobs[job_id]

    async def stop(self, project_id, app_id, job_id):
        job = await self.show(project_id, app_id, job_id)
        self.jobs[job_id] = job.after(JobEvent.STOP_REQUESTED, NOW)

    async def page(self, project_id, wanted, *, number, size):
        named = {"app_id": wanted.app_id, "room_id": wanted.room_id, "state": wanted.state}
        asked = {name: value for name, value in named.items() if value is not None}
        found = [
            ListedJob(job, self.files.get(job.job_id, ()))
            for job in reversed(self.jobs.values())
            if job.project_id == project_id and all(getattr(job, name) == asked[name] for name in asked)
        ]
        return JobPage(tuple(found[number * size :][:size]), has_more=len(found) > (number + 1) * size)

    def _rule(self, project_id, app_id, rule_id):
        app = self._accounts.apps.get(app_id)
        if app is None or app.project_id != project_id:
            raise NotFoundError
        if not app.enabled:
            raise AppDisabledError
        if rule_id not in {"demo", "demo2"}:
            raise InvalidValueError(f"rule {rule_id} is not of this app")
        return RecordRule(rule_id, app_id, StorageAddress("cn-north-4", "dev", "recordings"), (RecordFormat.MP4,))


def commands(accounts, jobs=None):
    """Return what the edge needs; nobody plays rules and apps here, whose tests have a database (tests/contract)."""
    return Commands(
        jobs=jobs or JobBook(accounts),
        rules=None,
        apps=None,
        buckets=None,
        telling=Telling(None, None, None),
        bans=NoBans(),
    )


def _job(project_id, command, rule, job_id):
    return Job(
        job_id=JobId(job_id),
        project_id=project_id,
        app_id=command.app_id,
        room_id=command.room_id,
        participant_id=command.participant_id,
        with_audio=command.with_audio,
        video=command.video,
        tier=command.tier,
        idle_timeout=command.idle_timeout,
        rule=rule,
        state=JobState.INIT,
        created_at=NOW,
        updated_at=NOW,
        started_at=NOW,
    )
