"""Automatic recording: every stream published in a room that began while its app's mode was on gets a job (rule R45).

Each recorder looks after its own rooms: at once when somebody joins, and every two seconds whatever happened. It only
compares what is published with what the database says is recorded, so a missed moment is made good by the next look.
Spec: API section 2.6.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog
from sqlalchemy import Row, select, tuple_
from sqlalchemy.ext.asyncio import AsyncEngine

from soloist.clock import utc_now
from soloist.jobs import schema
from soloist.jobs.outage import DATABASE_AWAY
from soloist.jobs.service import JobService
from soloist.model.errors import JobRunningError, SoloistError
from soloist.model.ids import AppId, ProjectId
from soloist.model.job import JobState, StartJob, StopReason
from soloist.model.media import Kind, Tier, TrackSource
from soloist.sources.ingest import StreamKey
from soloist.sources.rooms import PublishedStream

log = structlog.get_logger("soloist.automatic")

INTERVAL_S = 2.0
IDLE_TIMEOUT = timedelta(seconds=30)
"""Of automatic jobs: the vendor's default."""
FAILED_PAUSE = timedelta(seconds=30)
"""How long a stream whose job failed is left alone, so that a full disk does not make a job every two seconds."""


class Streams(Protocol):
    """What is published in this recorder's rooms."""

    def streams(self) -> list[PublishedStream]:
        """Return everything that is published here."""

    async def wait_join(self, timeout_s: float) -> None:
        """Return when somebody has joined, or after `timeout_s`."""


@dataclass(frozen=True, slots=True)
class _Mode:
    """One app whose mode is on."""

    project_id: ProjectId
    rule_id: str
    since: datetime


class AutomaticRecording:
    """Reconciles published streams with jobs; one per recorder."""

    def __init__(
        self, database: AsyncEngine, rooms: Streams, jobs: JobService, *, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._database = database
        self._rooms = rooms
        self._jobs = jobs
        self._clock = clock
        self._refused: dict[StreamKey, type[SoloistError]] = {}
        """Streams that may not be recorded, and why, so that it is told once: what a refusal counts may change."""

    @property
    def refused_count(self) -> int:
        """Published streams that ought to be recorded and may not be, at this moment; each look tries them again."""
        return len(self._refused)

    async def run(self) -> None:
        """Reconcile for ever; a failure costs a turn."""
        while True:
            await self._rooms.wait_join(INTERVAL_S)
            try:
                await self.reconcile()
            except DATABASE_AWAY:
                log.debug("turn_skipped")
            except Exception:
                log.exception("automatic_recording_failed")

    async def reconcile(self) -> None:
        """Start a job for every stream that ought to have one and has none."""
        now = self._clock()
        streams = self._rooms.streams()
        modes = await self._modes() if streams else {}
        wanted = [stream for stream in streams if _is_wanted(stream, modes.get(stream.key.app_id), now)]
        rows = await self._jobs_of(wanted, now)
        self._refused = {key: why for key, why in self._refused.items() if any(key == s.key for s in wanted)}
        for stream in wanted:
            if not any(_settles(row, stream, now) for row in rows):
                await self._start(stream, modes[stream.key.app_id])

    async def _modes(self) -> dict[AppId, _Mode]:
        table = schema.apps
        query = select(table).where(table.c.auto_rule_id.is_not(None), table.c.enabled)
        async with self._database.connect() as connection:
            rows = await connection.execute(query)
            return {
                AppId(row.app_id): _Mode(ProjectId(row.project_id), row.auto_rule_id, row.auto_since) for row in rows
            }

    async def _jobs_of(self, streams: Sequence[PublishedStream], now: datetime) -> list[Row[Any]]:
        """Return the jobs of the streams' rooms that may settle one of them: what runs, and what stopped lately."""
        if not streams:
            return []
        rooms = {(stream.key.app_id, stream.key.room_id) for stream in streams}
        longest = max(timedelta(seconds=stream.age_s) for stream in streams)
        table = schema.jobs
        columns = (table.c.app_id, table.c.room_id, table.c.participant_id, table.c.video)
        query = select(*columns, table.c.state, table.c.stop_reason, table.c.stopped_at)
        lately = table.c.stopped_at >= now - max(longest, FAILED_PAUSE)
        query = query.where(tuple_(table.c.app_id, table.c.room_id).in_(rooms), table.c.stopped_at.is_(None) | lately)
        async with self._database.connect() as connection:
            return list(await connection.execute(query))

    async def _start(self, stream: PublishedStream, mode: _Mode) -> None:
        key = stream.key
        try:
            job = await self._jobs.start(mode.project_id, _command(stream, mode.rule_id))
        except JobRunningError:
            return  # A customer was faster.
        except SoloistError as error:
            if self._refused.get(key) is not type(error):
                log.warning("stream_not_recorded", app_id=key.app_id, room_id=key.room_id, error=str(error))
            self._refused[key] = type(error)
        else:
            self._refused.pop(key, None)
            log.info("recording_automatically", job_id=job.job_id, app_id=key.app_id, room_id=key.room_id)


def _is_wanted(stream: PublishedStream, mode: _Mode | None, now: datetime) -> bool:
    return mode is not None and now - timedelta(seconds=stream.room_age_s) >= mode.since


def _settles(row: Row[Any], stream: PublishedStream, now: datetime) -> bool:
    """Return whether a job says that a stream needs no other: it runs, was stopped on order, or has just failed."""
    key = stream.key
    if (row.app_id, row.room_id, row.participant_id) != (key.app_id, key.room_id, key.participant_id):
        return False
    if row.video != key.source.value:
        return False
    if row.state != JobState.STOPPED:
        return True
    if row.stop_reason == StopReason.TENANT_STOP:
        return bool(row.stopped_at >= now - timedelta(seconds=stream.age_s))
    return bool(row.stop_reason == StopReason.INTERNAL_ERROR and now - row.stopped_at < FAILED_PAUSE)


def _command(stream: PublishedStream, rule_id: str) -> StartJob:
    """Return what records a stream: a camera with its microphone, a screen with the sound published beside it."""
    is_screen = stream.key.source is TrackSource.SCREEN
    return StartJob(
        app_id=stream.key.app_id,
        room_id=stream.key.room_id,
        participant_id=stream.key.participant_id,
        with_audio=not is_screen or Kind.AUDIO in stream.kinds,
        video=stream.key.source,
        tier=Tier.FHD,
        idle_timeout=IDLE_TIMEOUT,
        rule_id=rule_id,
        automatic=True,
    )
