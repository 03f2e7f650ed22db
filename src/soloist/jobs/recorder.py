"""Opening and ending recordings: where the engine, the rooms, the media thread and the spool are tied together.

Runs on the event loop; the media itself is `recording.py`'s, on the media thread. Implements `jobs/port.py`.
Spec: API section 5; design section 5 (spool); rules R36, R42.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path

import structlog

from soloist.forwarding.forwarding import Forwarding, ForwardSettings, ForwardTotals
from soloist.jobs.port import JobJournal
from soloist.jobs.side_outputs import Shed, SideOutputs
from soloist.keeping.filing import Filing
from soloist.keeping.port import Journal
from soloist.keeping.salvage import salvage
from soloist.keeping.shelf import Shelf
from soloist.model.errors import InternalError, SoloistError, told
from soloist.model.job import Job, StopReason
from soloist.model.rule import RecordRule
from soloist.recording.recording import Recording
from soloist.recording.selection import sources_of
from soloist.sources.receiver import MediaBusyError, MediaStoppedError, MediaThread
from soloist.sources.rooms import Rooms, Subscription
from soloist.storage.spool import Spool
from soloist.wire.places import Places

log = structlog.get_logger("soloist.recorder")

RETURN_TIME = timedelta(seconds=45)
"""How long a room's former publishers count as present after a recorder restart. Spec: design section 7."""

TAP_INTERVAL_S = 0.5
"""Between two attempts to have samples handed to a forwarder while the media thread does not keep up."""

WIND_UP_S_MAX, WIND_UP_INTERVAL_S = 2.0, 0.02
"""How long a recording that ends waits for pictures that are being transcoded, and how often it looks."""


class Recorder:
    """Opens recordings of embedded rooms; one per recorder process."""

    def __init__(
        self,
        rooms: Rooms,
        media: MediaThread,
        shelf: Shelf,
        forwarding: ForwardSettings | None = None,
        *,
        forwarders: Places | None = None,
        transcoders: Places | None = None,
    ) -> None:
        """`forwarders` and `transcoders` are the side processes there may be."""
        self._rooms = rooms
        self._media = media
        self._shelf = shelf
        self._forwarding = forwarding or ForwardSettings()
        self.forwarded = ForwardTotals(forwarders or Places())
        """What all forwarding of this process did."""
        self._transcoders = transcoders or Places()
        self._sheddable: list[SideOutputs] = []
        """Of recordings that run, the newest last."""
        self._shed: list[Shed] = []
        """What is shed, the latest last."""

    def shed_newest(self) -> bool:
        """Give up the side output that began last; return whether there was one. The recordings go on (rule R44)."""
        for outputs in reversed(self._sheddable):
            shed = outputs.shed_one()
            if shed is not None:
                self._shed.append(shed)
                return True
        return False

    def restore_one(self) -> bool:
        """Let what was shed last go on; return whether there was any."""
        while self._shed:
            if self._shed.pop()():
                return True
        return False

    async def open(self, job: Job, journal: JobJournal) -> "RunningRecording":
        """Begin recording `job`; see `RecordingPort.open`."""
        new_forwarding = partial(
            Forwarding,
            job.job_id,
            settings=self._forwarding,
            post=self._media.post,
            permit=journal.permit,
            told=journal.forwarded,
            earlier=job.forwarding,
            totals=self.forwarded,
            project=job.project_id,
        )
        running = RunningRecording(
            job,
            journal,
            rooms=self._rooms,
            media=self._media,
            shelf=self._shelf,
            new_forwarding=new_forwarding,
            transcoders=self._transcoders,
        )
        if job.is_live:
            await running.begin()
        # Only now: one that could not begin is neither finished nor abandoned, and would be kept for ever.
        running.outputs.over = partial(self._forget, running.outputs)
        self._sheddable.append(running.outputs)
        return running

    def _forget(self, outputs: SideOutputs) -> None:
        with suppress(ValueError):
            self._sheddable.remove(outputs)


class RunningRecording:
    """One job being recorded; see `OpenRecording`."""

    def __init__(
        self,
        job: Job,
        journal: Journal,
        *,
        rooms: Rooms,
        media: MediaThread,
        shelf: Shelf,
        new_forwarding: Callable[[], Forwarding],
        transcoders: Places | None = None,
    ) -> None:
        self._job = job
        self._new_forwarding = new_forwarding
        self._forwarding: Forwarding | None = None
        self._rooms = rooms
        self._media = media
        self._loop = asyncio.get_running_loop()
        self._failure: asyncio.Future[SoloistError] = self._loop.create_future()
        self._salvage = partial(salvage, job, journal, shelf)
        self._filing = Filing(job, journal, shelf, fail=self._fail, went_on=self._count_from, settle=self._salvage)
        self._subscription: Subscription | None = None
        self._recording = Recording(
            job,
            new_path=partial(_new_path, shelf.spool, job),
            emit=self._filing.tell,
            fail=self._fail_from_media,
            has_room=self._filing.has_room,
            transcoders=transcoders,
        )
        self.outputs = SideOutputs(self._media.post, self._recording.line)

    async def begin(self) -> None:
        """Listen to the participant from now on."""
        self._subscription = await self._rooms.subscribe(
            self._job.app_id,
            self._job.room_id,
            self._job.participant_id,
            sources=sources_of(self._job),
            subscriber=self._recording,
            on_failed=self._fail_from_media,
        )
        if self._job.forward_urls:
            self.forward(self._job.forward_urls)

    async def idle(self) -> None:
        """Return once the room was without a co-host for too long; see `OpenRecording.idle`.

        After a take-over, who published before counts as present for a while: browsers take their time to notice.
        """
        presumed_for = RETURN_TIME if self._job.epoch > 1 else timedelta(0)
        await self._rooms.wait_idle(
            self._job.app_id, self._job.room_id, self._job.idle_timeout, presumed_for=presumed_for
        )

    async def failed(self) -> SoloistError:
        """Return the fault that ends this recording; see `OpenRecording.failed`."""
        return await asyncio.shield(self._failure)

    def update(self, rule: RecordRule) -> None:
        """Go on under `rule` from the next cut point."""
        self._behind_media(lambda: self._recording.update(rule))

    def forward(self, urls: Sequence[str]) -> None:
        """Forward to these servers from now on, beside what is recorded."""
        if self._forwarding is not None:
            self._forwarding.aim(urls)
            return
        self._forwarding = self.outputs.forwarding = forwarding = self._new_forwarding()
        forwarding.start(urls)
        self._tap(forwarding)

    def suspend(self, *, suspended: bool) -> None:
        """Record nothing until further notice, or go on from the next keyframe."""
        self._behind_media(lambda: self._recording.suspend(suspended=suspended))

    async def finish(self, reason: StopReason | None) -> None:
        """Close the open file and publish everything; see `OpenRecording.finish`.

        Raises:
            SoloistError: a store or the disk refused a file; it stays in the spool for the next one who takes the job.
        """
        self.outputs.over()
        if reason is None:
            self._filing.hand_over()
        try:
            await self._stop()
        except BaseException:
            await self._finish_forwarding(reason)
            raise
        drained, _ = await asyncio.gather(self._filing.drain(), self._finish_forwarding(reason), return_exceptions=True)
        if drained is not None:
            raise drained
        if self._failure.done() and isinstance(self._failure.result(), InternalError):
            leftovers = await self._salvage(own=True)
            if leftovers.refusal is not None:
                raise leftovers.refusal
        log.info("recording_finished", job_id=self._job.job_id, reason=reason)

    async def abandon(self) -> None:
        """Stop without publishing; see `OpenRecording.abandon`."""
        self.outputs.over()
        self._filing.abandon()
        if self._forwarding is not None:
            await self._forwarding.abandon()
        if self._subscription is not None:
            await self._subscription.close(at_once=True)
            await asyncio.wrap_future(self._media.call(self._recording.abort))

    def _behind_media(self, work: Callable[[], None]) -> None:
        """Run `work` on the media thread; what was received before is recorded as it was until now."""
        if self._subscription is None:
            self._media.post(work)
        else:
            self._subscription.behind(lambda _: work()).add_done_callback(_log_failure)

    async def _stop(self) -> None:
        """Hear no more, and close the open file."""
        if self._subscription is not None:
            await self._subscription.close()
            await self._wind_up()
            await asyncio.wrap_future(self._media.call(self._recording.stop))

    def _tap(self, forwarding: Forwarding) -> None:
        """Hand samples to the forwarder; later, if the media thread does not keep up."""
        with suppress(MediaStoppedError):  # There are none any more.
            try:
                self._media.post(lambda: self._recording.tap(forwarding.tap))
            except MediaBusyError:
                self._loop.call_later(TAP_INTERVAL_S, self._tap, forwarding)

    async def _finish_forwarding(self, reason: StopReason | None) -> None:
        """End the streams and tell so; also of a recorder that crashed before it could, once the job is over."""
        if self._forwarding is None and self._job.forward_urls and reason is not None:
            self._forwarding = self._new_forwarding()
            self._forwarding.aim(self._job.forward_urls)
        if self._forwarding is not None:
            await self._forwarding.finish(goes_on=reason is None)

    async def _wind_up(self) -> None:
        """Give pictures that are being transcoded their time; what is not there by then is lost, and declared."""
        deadline = self._loop.time() + WIND_UP_S_MAX
        while not await asyncio.wrap_future(self._media.call(self._recording.wind_up)):
            if self._loop.time() > deadline:
                log.warning("transcoder_too_slow", job_id=self._job.job_id)
                return
            await asyncio.sleep(WIND_UP_INTERVAL_S)

    def _count_from(self, index: int, began_at_ns: int) -> None:
        with suppress(MediaStoppedError):  # The file is closed then.
            self._media.post(lambda: self._recording.count_from(index, began_at_ns))

    def _fail(self, error: SoloistError) -> None:
        if not self._failure.done():
            self._failure.set_result(error)

    def _fail_from_media(self, error: Exception) -> None:
        self._loop.call_soon_threadsafe(self._fail, told(error))


def _log_failure(done: Future[None]) -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        log.error("recording_not_told", error=repr(error))


def _new_path(spool: Spool, job: Job, index: int, extension: str) -> Path:
    return spool.create(job.job_id, job.epoch, f"{index:05d}.{extension}")
