"""One job on this recorder: a single actor that opens its recording, waits for the verdict, and ends it (R42).

States in order: opening, recording, ending, done. Verdicts reach it from outside (`stop`, `lose`, `hand_over`) or from
the recording (idle, failed); the first one counts. A job lost afterwards shows as EpochLostError at the next write.
STOPPED is persisted before files are finished, files are finished before JobEnded is written.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from soloist.jobs import store
from soloist.jobs.outage import persist
from soloist.jobs.port import JobJournal, OpenRecording, RecordingPort
from soloist.keeping.port import EpochLostError
from soloist.model.errors import DestinationError, InternalError, SoloistError
from soloist.model.event import JobEnded
from soloist.model.ids import JobId
from soloist.model.job import Job, JobEvent, StopReason
from soloist.model.rule import RecordRule

log = structlog.get_logger("soloist.jobs")


class Outcome(StrEnum):
    """How an assignment left its job."""

    ENDED = "ended"
    """Over, and told so."""
    HANDED_OVER = "handed_over"
    """Live; the next recorder of this slot goes on."""
    LOST = "lost"
    """Another recorder's."""
    UNSETTLED = "unsettled"
    """STOPPED, but its files could not be published; to be tried again."""


class Verdict(StrEnum):
    """Why the recording ends here."""

    STOPPED = "stopped"
    IDLE = "idle"
    FAILED = "failed"
    HAND_OVER = "hand_over"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Desk:
    """What every assignment of a recorder works with."""

    database: AsyncEngine
    port: RecordingPort
    clock: Callable[[], datetime]


class Assignment:
    """Runs one job under one epoch; the engine owns the task."""

    def __init__(self, job: Job, journal: JobJournal, desk: Desk) -> None:
        self._job = job
        self._rule = job.rule
        self._forward_urls = job.forward_urls
        self._is_suspended = job.suspended
        self._seen_at: datetime | None = None
        self._journal = journal
        self._desk = desk
        self._recording: OpenRecording | None = None
        self._verdict: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._error: SoloistError | None = None
        if not job.is_live:
            self.stop()

    @property
    def job_id(self) -> JobId:
        """Which job this is."""
        return self._job.job_id

    @property
    def job(self) -> Job:
        """The job as it was when it was taken, or when it ended."""
        return self._job

    @property
    def epoch(self) -> int:
        """Under which epoch it is held."""
        return self._job.epoch

    @property
    def seen_at(self) -> datetime | None:
        """When the row was last changed, as far as the recording follows it; None before it was compared."""
        return self._seen_at

    def saw(self, updated_at: datetime) -> None:
        """Note that the recording, if it is open, follows the row as it was changed at this time."""
        if self._recording is not None:
            self._seen_at = updated_at

    def stop(self) -> None:
        """End the job as STOPPED, which has been persisted."""
        self._judge(Verdict.STOPPED)

    def hand_over(self) -> None:
        """Finish files but leave the job live: this recorder is being shut down."""
        self._judge(Verdict.HAND_OVER)

    def lose(self) -> None:
        """Drop the job: it is another recorder's."""
        self._judge(Verdict.LOST)

    def update(self, rule: RecordRule | None) -> None:
        """Go on under another rule; none, and the one already in force, change nothing."""
        if rule is not None and rule != self._rule and self._recording is not None and not self._verdict.done():
            self._rule = rule
            self._recording.update(rule)

    def forward(self, urls: tuple[str, ...]) -> None:
        """Forward to these; those it forwards to already go on undisturbed."""
        if urls != self._forward_urls and self._recording is not None and not self._verdict.done():
            self._forward_urls = urls
            self._recording.forward(urls)

    def suspend(self, *, suspended: bool) -> None:
        """Hold the recording still, or let it go on."""
        if suspended != self._is_suspended and self._recording is not None and not self._verdict.done():
            self._is_suspended = suspended
            self._recording.suspend(suspended=suspended)

    async def run(self) -> Outcome:
        """Record until a verdict falls, then end accordingly."""
        with structlog.contextvars.bound_contextvars(job_id=self.job_id, epoch=self.epoch):
            try:
                return await self._run()
            except EpochLostError:
                return await self._abandon()

    async def _run(self) -> Outcome:
        try:
            self._recording = await self._desk.port.open(self._job, self._journal)
            log.info("recording_opened", room_id=self._job.room_id, participant_id=self._job.participant_id)
            verdict = await self._await_verdict(self._recording)
        except EpochLostError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, this job ends and no other
            verdict = self._fail(error)
        log.info("recording_judged", verdict=verdict.value)
        if verdict is Verdict.LOST:
            return await self._abandon()
        if verdict is Verdict.HAND_OVER:
            return Outcome.HANDED_OVER if await self._finish(None) else Outcome.UNSETTLED
        return await self._end(verdict)

    async def _await_verdict(self, recording: OpenRecording) -> Verdict:
        """Return the first verdict; the recording's own are awaited only as long as nobody else has judged."""
        idle = asyncio.ensure_future(recording.idle())
        failed = asyncio.ensure_future(recording.failed())
        try:
            await asyncio.wait((self._verdict, idle, failed), return_when=asyncio.FIRST_COMPLETED)
            if self._verdict.done():
                return self._verdict.result()
            if failed.done():
                return self._fail(failed.result())
            idle.result()
            self._judge(Verdict.IDLE)
            return Verdict.IDLE
        finally:
            idle.cancel()
            failed.cancel()
            await asyncio.gather(idle, failed, return_exceptions=True)

    async def _end(self, verdict: Verdict) -> Outcome:
        reason = await self._persist_stop(verdict)
        if not await self._finish(reason):
            return Outcome.UNSETTLED
        await self._persist_ended(reason)
        log.info("job_ended", reason=reason.value)
        return Outcome.ENDED

    async def _persist_stop(self, verdict: Verdict) -> StopReason:
        """Make the row STOPPED if it is not yet; return the reason it carries, which may be another's."""
        event = {Verdict.IDLE: JobEvent.IDLE_TOO_LONG, Verdict.FAILED: JobEvent.FAILED}.get(verdict)

        async def transaction() -> Job:
            async with self._desk.database.begin() as connection:
                move = event or JobEvent.STOP_REQUESTED
                job = await store.move(connection, self._claim, move, self._desk.clock())
                if self._error is not None and job.stop_reason is StopReason.INTERNAL_ERROR:
                    await store.describe(connection, self._claim, str(self._error))
                return job

        self._job = await persist(transaction, what="stop the job")
        return self._job.stop_reason or StopReason.INTERNAL_ERROR

    async def _finish(self, reason: StopReason | None) -> bool:
        """Finish the recording; return whether all its files are published."""
        if self._recording is None:
            return True
        try:
            await self._recording.finish(reason)
        except EpochLostError:
            raise
        except DestinationError as error:
            log.warning("files_not_published", error=str(error))
        except Exception:
            log.exception("recording_not_finished")
        else:
            return True
        return False

    async def _persist_ended(self, reason: StopReason) -> None:
        ended = JobEnded(reason, str(self._error)[:128] if self._error else "")

        async def transaction() -> None:
            async with self._desk.database.begin() as connection:
                if not await store.has_ended(connection, self._claim):
                    await store.append_event(connection, self._claim, ended, self._desk.clock())

        await persist(transaction, what="tell the end of the job")

    async def _abandon(self) -> Outcome:
        log.warning("job_lost")
        if self._recording is not None:
            await self._recording.abandon()
        return Outcome.LOST

    def _judge(self, verdict: Verdict) -> None:
        if not self._verdict.done():
            self._verdict.set_result(verdict)

    def _fail(self, error: BaseException) -> Verdict:
        if isinstance(error, SoloistError):
            log.error("recording_failed", error=str(error))
        else:
            log.error("recording_failed", exc_info=error)
            error = InternalError()
        self._error = error
        self._judge(Verdict.FAILED)
        return Verdict.FAILED

    @property
    def _claim(self) -> store.Claim:
        return store.Claim(self.job_id, self.epoch)
