"""What becomes of a file once media stopped flowing into it: finished, committed to the bucket, told.

One `Filing` per recording, on the event loop, works off the media thread's facts strictly in order, so that a job's
events are in order too. Beside each spool file lies its note (`notes.py`): what the next recorder needs to settle the
file if this process dies. Nothing leaves the spool before it stands verified in the bucket (rules R25, R26, R33, R34).
Spec: API sections 5.5, 6.2; design section 5 (spool, manifest).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

import structlog

from soloist.jobs.cutting import Fact, FileEnded, FileOpened, FileSummary
from soloist.jobs.notes import FileNote, write_note
from soloist.jobs.port import Journal
from soloist.jobs.recording import MediaFacts
from soloist.jobs.shelf import Shelf
from soloist.jobs.store import EpochLostError
from soloist.jobs.summary import manifest_of, resumed, told_job
from soloist.model.errors import DestinationError, InternalError, SoloistError
from soloist.model.event import FileCompleted, FileStarted
from soloist.model.job import Job
from soloist.model.media import Kind
from soloist.storage.bucket import Committed
from soloist.storage.errors import KeyTakenError
from soloist.wire.clock import NS

T = TypeVar("T")
log = structlog.get_logger("soloist.filing")

PATIENCE_S = 3600.0
"""How long a recording goes on while its store refuses; then the job fails and its files stay in the spool."""
SETTLING_PATIENCE_S = 30.0
"""The same for what an earlier epoch left: the files of this one wait for it."""
DELAY_S = 0.5
DELAY_S_MAX = 10.0
"""Between two tries, doubling from the one to the other."""


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What was found when what earlier epochs left was settled."""

    ends_ns: Mapping[Kind, int] = field(default_factory=dict)
    """Where each track's media ends, nanoseconds of Unix time; empty if there never was any."""
    refusal: SoloistError | None = None
    """Why something is still in the spool that may be taken later."""


class Filing:
    """Works off one recording's file facts, after what earlier epochs left."""

    def __init__(
        self,
        job: Job,
        journal: Journal,
        shelf: Shelf,
        *,
        fail: Callable[[SoloistError], None],
        settle: Callable[[], Awaitable[Leftovers]] | None = None,
    ) -> None:
        """`settle` is awaited before the first fact is worked off; media need not wait for it."""
        self._job = job
        self._journal = journal
        self._shelf = shelf
        self._fail = fail
        self._loop = asyncio.get_running_loop()
        self._facts: asyncio.Queue[tuple[Fact, MediaFacts]] = asyncio.Queue()
        self._open: dict[int, FileNote] = {}
        self._taken: set[str] = set()
        self._leftovers = Leftovers()
        self._refusal: SoloistError | None = None
        self._settling = asyncio.create_task(self._settle(settle), name=f"settling-{job.job_id}")
        self._task = asyncio.create_task(self._run(), name=f"filing-{job.job_id}")

    def tell(self, fact: Fact, media: MediaFacts) -> None:
        """Take a fact, from any thread; facts are worked off in the order they were told.

        A new file's note is written at once: whatever happens next, the file can be found and published.

        Raises:
            InternalError: the spool refused the note.
        """
        if isinstance(fact, FileOpened):
            self._open[fact.index] = note = _first_note(self._job, fact, media)
            write_note(note)
        else:
            self._shelf.waiting.add(fact.path)
        self._loop.call_soon_threadsafe(self._facts.put_nowait, (fact, media))

    async def drain(self) -> None:
        """Return when leftovers are settled and every fact told so far is worked off.

        Raises:
            SoloistError: a store or the disk refused a file, which stays in the spool with its note.
        """
        await self._settling
        await asyncio.sleep(0)  # What the media thread has told by now is in the queue after one turn of the loop.
        await self._facts.join()
        self._task.cancel()
        if self._refusal is not None:
            raise self._refusal

    def abandon(self) -> None:
        """Publish nothing more; the spool keeps what is there, for another to publish."""
        self._shelf.waiting.difference_update(self._shelf.spool.paths_of(self._job.job_id, self._job.epoch))
        self._settling.cancel()
        self._task.cancel()

    async def _settle(self, settle: Callable[[], Awaitable[Leftovers]] | None) -> None:
        if settle is None:
            return
        try:
            self._leftovers = await settle()
            self._refusal = self._leftovers.refusal
        except EpochLostError:
            log.warning("epoch_lost", job_id=self._job.job_id)
        except Exception as error:
            log.exception("leftovers_not_settled", job_id=self._job.job_id)
            self._fail(InternalError(f"What an earlier recorder left could not be settled: {error}"))

    async def _run(self) -> None:
        await self._settling
        while True:
            fact, media = await self._facts.get()
            try:
                await self._file(fact, media)
            except EpochLostError:
                log.warning("epoch_lost", job_id=self._job.job_id)
            except SoloistError as error:
                log.exception("file_not_published", job_id=self._job.job_id)
                if isinstance(error, DestinationError):
                    self._refusal = error
                self._fail(error)
            except Exception as error:
                log.exception("filing_failed", job_id=self._job.job_id)
                self._fail(InternalError(f"A file could not be published: {error}"))
            finally:
                self._facts.task_done()

    async def _file(self, fact: Fact, media: MediaFacts) -> None:
        media = resumed(media, self._leftovers.ends_ns)
        if isinstance(fact, FileOpened):
            await self._file_opened(fact, media)
        else:
            await self._file_ended(fact, media)

    async def _file_opened(self, fact: FileOpened, media: MediaFacts) -> None:
        first = self._open[fact.index]
        note = await retrying(lambda: self._shelf.freed(first, self._taken), first)
        self._taken.add(note.key)
        self._open[fact.index] = note
        if note != first:
            await asyncio.to_thread(write_note, note)
        await self._journal.file_started(FileStarted(note.key, note.record_format, _started_at(fact, media)))
        if note.detail:
            await self._journal.described(note.detail)

    async def _file_ended(self, fact: FileEnded, media: MediaFacts) -> None:
        await asyncio.to_thread(fact.file.finish)
        note = self._open.pop(fact.index)
        if fact.file.damaged_count:
            text = f"{fact.file.damaged_count} damaged frames were left out or became silence."
            log.warning("frames_damaged", job_id=self._job.job_id, key=note.key, count=fact.file.damaged_count)
            note = replace(note, detail=f"{note.detail} {text}".strip())
        note, committed = await publish(
            self._shelf, self._journal, note, lambda done: manifest_of(note, fact.summary, media, done)
        )
        await self._journal.file_completed(completed(note, committed, fact.summary))
        await asyncio.to_thread(self._shelf.forget, note, committed)


async def publish(
    shelf: Shelf,
    journal: Journal,
    note: FileNote,
    manifest: Callable[[Committed], str],
    *,
    patience_s: float | None = None,
) -> tuple[FileNote, Committed]:
    """Put a file and its manifest into the bucket once the self-fence permits, trying again for an hour or as told.

    The note that is returned has another key if somebody else's object had come to stand under the announced one.

    Raises:
        EpochLostError: the job is another recorder's; nothing is published.
        DestinationError: the store went on refusing; the file stays in the spool.
    """
    shelf.waiting.add(note.path)
    while True:
        try:
            return note, await retrying(partial(_put, shelf, journal, note, manifest), note, patience_s=patience_s)
        except KeyTakenError:
            note = await shelf.freed(note)
            await asyncio.to_thread(write_note, note)


async def _put(shelf: Shelf, journal: Journal, note: FileNote, manifest: Callable[[Committed], str]) -> Committed:
    await journal.permit()
    committed = await shelf.commit(note)
    await shelf.put_manifest(note, manifest(committed))
    return committed


async def retrying(work: Callable[[], Awaitable[T]], note: FileNote, *, patience_s: float | None = None) -> T:
    """Return what `work` returns, trying again for an hour, or as long as told, while a store refuses.

    Raises:
        DestinationError: the store went on refusing, or trying again cannot help.
    """
    delay_s = DELAY_S
    deadline = time.monotonic() + (PATIENCE_S if patience_s is None else patience_s)
    while True:
        try:
            return await work()
        except DestinationError as error:
            log.warning("bucket_refused", job_id=note.job_id, key=note.key, error=str(error))
            if not error.retryable or time.monotonic() + delay_s > deadline:
                raise
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, DELAY_S_MAX)


def _first_note(job: Job, fact: FileOpened, media: MediaFacts) -> FileNote:
    """Return a file's note as far as it is known without asking anybody: under the key its rule wants."""
    return FileNote(
        job=told_job(job),
        path=fact.path,
        key=Shelf.wanted_key(job, media.rule, fact.plan.record_format, _started_at(fact, media)),
        record_format=fact.plan.record_format,
        location=media.rule.address.location,
        bucket=media.rule.address.bucket,
        origin_ns=media.origin_ns,
        start_ns=fact.start_ns,
        detail=fact.plan.note,
    )


def _started_at(fact: FileOpened, media: MediaFacts) -> datetime:
    return datetime.fromtimestamp((media.origin_ns + fact.start_ns) / NS, UTC)


def completed(note: FileNote, committed: Committed, summary: FileSummary) -> FileCompleted:
    """Return the event that tells of a file in the bucket."""
    return FileCompleted(
        key=note.key,
        record_format=note.record_format,
        size_bytes=committed.size,
        sha256=committed.sha256,
        started_at=datetime.fromtimestamp((note.origin_ns + summary.start_ns) / NS, UTC),
        ended_at=datetime.fromtimestamp((note.origin_ns + summary.end_ns) / NS, UTC),
        duration=timedelta(microseconds=(summary.end_ns - summary.start_ns) // 1000),
        width=summary.width,
        height=summary.height,
        detail=note.detail,
    )
