"""What becomes of a file once media stopped flowing into it: finished, committed to the bucket, told.

One `Filing` per recording, on the event loop, works off the media thread's facts strictly in order, so that a job's
events are in order too. Beside each spool file lies its note (`notes.py`): what the next recorder needs to settle the
file if this process dies. Nothing leaves the spool before it stands verified in the bucket (rules R25, R26, R33, R34).
Spec: API sections 5.5, 6.2; design section 5 (spool, manifest).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import structlog

from soloist.clock import utc_now
from soloist.keeping.ledger import shifted
from soloist.keeping.notes import FileNote, PlaylistTerms, is_transcoded, write_note
from soloist.keeping.playlists import OpenPlaylist, ended_mark
from soloist.keeping.port import EpochLostError, Journal
from soloist.keeping.publishing import announced, completed, publish
from soloist.keeping.shelf import Shelf
from soloist.keeping.summary import manifest_of, resumed, told_job
from soloist.model.errors import DestinationError, SoloistError, SourceError, told
from soloist.model.event import RecordingTroubled
from soloist.model.job import Job
from soloist.model.media import Kind
from soloist.model.rule import ALWAYS_APPEND, HlsConfig
from soloist.recording.cutting import Fact, FileEnded, FileOpened, SegmentEnded
from soloist.recording.facts import MediaFacts
from soloist.recording.terms import segments_zero_ns
from soloist.sinks.hls import HlsFile
from soloist.sinks.matrix import SEGMENTED
from soloist.wire.clock import NS

log = structlog.get_logger("soloist.filing")

UNFILED_MAX = 200
"""Files of a job that have ended and do not stand in their bucket: beyond them none begins until one does."""
RETURN_NS = 45 * NS
"""How long after a recorder's start a publisher who comes back was away because the recorder was."""


class TooManyFilesError(SourceError):
    """The job has as many files as it may: its media broke off or changed too often; start another job."""

    retryable = False


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What was found when what earlier epochs left was settled."""

    ends_ns: Mapping[Kind, int] = field(default_factory=dict)
    """Where each track's media ends, nanoseconds of Unix time; empty if there never was any."""
    refusal: SoloistError | None = None
    """Why something is still in the spool that may be taken later."""
    playlist: OpenPlaylist | None = None
    """One that this epoch may go on with."""


class Filing:
    """Works off one recording's file facts, after what earlier epochs left."""

    def __init__(
        self,
        job: Job,
        journal: Journal,
        shelf: Shelf,
        *,
        fail: Callable[[SoloistError], None],
        went_on: Callable[[int, int], None],
        settle: Callable[[], Awaitable[Leftovers]] | None = None,
    ) -> None:
        """`settle` is awaited before the first fact is worked off; media need not wait for it.

        `went_on` is told which file turned out to be an earlier epoch's playlist going on, and when that one began,
        nanoseconds of Unix time.
        """
        self._job = job
        self._journal = journal
        self._shelf = shelf
        self._fail = fail
        self._went_on = went_on
        self._loop = asyncio.get_running_loop()
        self._facts: asyncio.Queue[tuple[Fact | RecordingTroubled, MediaFacts]] = asyncio.Queue()
        self._finishings: dict[int, asyncio.Task[None]] = {}
        """Of files that have ended, each of which lets go of its muxer whatever its bucket does."""
        self._finishing = asyncio.Lock()
        self._counts = dict.fromkeys(("opened", "ended", "filed"), 0)
        """Files so far; `filed` belongs to the event loop, the others to the media thread."""
        self._open: dict[int, FileNote] = {}
        self._taken: set[str] = set()
        self._leftovers = Leftovers()
        self._refusal: SoloistError | None = None
        self._transcoded: dict[Kind, bool] = {}
        """Which tracks the job says are transcoded, as far as this epoch told."""
        self._playlists: dict[int, OpenPlaylist] = {}
        self._concluded: set[int] = set()
        """Playlists that have ended, although they may not be published yet."""
        self._opened_ns = int(utc_now().timestamp()) * NS
        self._is_handing_over = False
        self._settling = asyncio.create_task(self._settle(settle), name=f"settling-{job.job_id}")
        self._task = asyncio.create_task(self._run(), name=f"filing-{job.job_id}")

    def tell(self, fact: Fact | RecordingTroubled, media: MediaFacts) -> None:
        """Take a fact, from any thread; facts are worked off in the order they were told.

        A new file's note is written at once: whatever happens next, the file can be found and published.

        Raises:
            InternalError: the spool refused the note.
        """
        if isinstance(fact, FileOpened):
            self._counts["opened"] += 1
            self._open[fact.index] = note = _first_note(self._job, fact, media)
            write_note(note)
        elif isinstance(fact, FileEnded) and not self._is_handing_over and isinstance(fact.file, HlsFile):
            self._concluded.add(fact.index)
            with suppress(OSError):  # It only helps whoever comes after a crash.
                ended_mark(fact.path).touch()
        if isinstance(fact, SegmentEnded):
            self._shelf.waiting.add(fact.segment.path)
        elif isinstance(fact, FileEnded):
            self._counts["ended"] += 1
            self._shelf.waiting.add(fact.path)
        self._loop.call_soon_threadsafe(self._take, fact, media)

    def has_room(self) -> bool:
        """Return whether this job may have another file now, from any thread; it fails once it has had all it may."""
        if self._counts["opened"] >= self._shelf.files_per_job_max:
            with suppress(RuntimeError):  # The loop is gone, and the job with it.
                self._loop.call_soon_threadsafe(self._fail, TooManyFilesError())
            return False
        return self._counts["ended"] - self._counts["filed"] < UNFILED_MAX

    def hand_over(self) -> None:
        """Leave playlists open from now on: the next epoch goes on with them."""
        self._is_handing_over = True

    async def drain(self) -> None:
        """Return when leftovers are settled and every fact told so far is worked off.

        Raises:
            SoloistError: a store or the disk refused a file, which stays in the spool with its note.
        """
        await self._settling
        await asyncio.sleep(0)  # What the media thread has told by now is in the queue after one turn of the loop.
        await self._facts.join()
        self._task.cancel()
        if not self._is_handing_over:
            await self._complete_inherited()
        if self._refusal is not None:
            raise self._refusal

    def abandon(self) -> None:
        """Publish nothing more; the spool keeps what is there, for another to publish."""
        self._shelf.waiting.difference_update(self._shelf.spool.paths_of(self._job.job_id, self._job.epoch))
        for task in (self._settling, self._task, *self._finishings.values()):
            task.cancel()

    def _take(self, fact: Fact | RecordingTroubled, media: MediaFacts) -> None:
        if isinstance(fact, FileEnded):
            name = f"finishing-{self._job.job_id}-{fact.index}"
            self._finishings[fact.index] = asyncio.create_task(self._finish(fact), name=name)
        self._facts.put_nowait((fact, media))

    async def _finish(self, fact: FileEnded) -> None:
        """Complete a file on the disk, after those before it."""
        async with self._finishing:
            await asyncio.to_thread(fact.file.finish)

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
            self._fail(told(error))

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
                self._fail(told(error))
            finally:
                self._counts["filed"] += isinstance(fact, FileEnded)
                self._facts.task_done()

    async def _file(self, fact: Fact | RecordingTroubled, media: MediaFacts) -> None:
        if isinstance(fact, RecordingTroubled):
            self._shelf.troubles[fact.trouble] += 1
            await self._journal.troubled(fact)
            return
        if isinstance(fact, FileEnded):
            self._shelf.measured(placement.skew_ppm for placement in media.placements)
        media = resumed(media, self._leftovers.ends_ns)
        if isinstance(fact, FileOpened):
            await self._file_opened(fact, media)
        elif isinstance(fact, SegmentEnded):
            if fact.index in self._playlists:  # Else it could not be announced, and stays in the spool.
                await self._playlists[fact.index].publish(fact.segment, media)
        elif isinstance(fact.file, HlsFile):
            await self._finishings.pop(fact.index)
            await self._playlist_ended(fact, media)
        else:
            await self._file_ended(fact, media)

    async def _file_opened(self, fact: FileOpened, media: MediaFacts) -> None:
        first = self._open[fact.index]
        if first.playlist is not None and await self._goes_on(fact, first):
            return
        note = self._open[fact.index] = await announced(self._shelf, self._journal, first, self._taken)
        if note.detail:
            await self._journal.described(note.detail)
        await self._note_coding(fact)
        if note.playlist is not None:
            self._playlists[fact.index] = OpenPlaylist(note, self._shelf, self._journal)

    async def _note_coding(self, fact: FileOpened) -> None:
        """Let the job say which tracks are transcoded, when that is news."""
        transcoded = {kind: is_transcoded(kind, codec, fact) for kind, codec in fact.codecs.items()}
        if transcoded != self._transcoded:
            await self._journal.coded(transcoded)
            self._transcoded = transcoded

    async def _goes_on(self, fact: FileOpened, first: FileNote) -> bool:
        """Return whether a playlist that an earlier epoch left is this one: it then has everything of it."""
        inherited = self._leftovers.playlist
        if inherited is None or not self._is_same_visit(first) or not inherited.goes_on_as(first):
            await self._complete_inherited()
            return False
        self._leftovers = replace(self._leftovers, playlist=None)
        await inherited.go_on_as(first)
        inherited.patience_s = None
        self._open[fact.index], self._playlists[fact.index] = inherited.note, inherited
        self._taken.add(self._shelf.stem(inherited.note))
        if inherited.starts_at_ns is not None:
            self._went_on(fact.index, inherited.starts_at_ns)
        return True

    def _is_same_visit(self, note: FileNote) -> bool:
        """Return whether the participant was only away because we were, or no longer than a playlist goes over."""
        merge_gap_s = note.playlist.config.merge_gap_s if note.playlist else 0
        absent_ns = note.origin_ns + note.start_ns - self._opened_ns
        return merge_gap_s == ALWAYS_APPEND or absent_ns <= max(merge_gap_s * NS, RETURN_NS)

    async def _complete_inherited(self) -> None:
        """End a playlist that an earlier epoch left and this one does not go on with."""
        inherited, self._leftovers = self._leftovers.playlist, replace(self._leftovers, playlist=None)
        if inherited is not None:
            try:
                await inherited.complete()
            except DestinationError as error:
                log.warning("playlist_not_ended", job_id=self._job.job_id, key=inherited.note.key, error=str(error))
                self._refusal = error

    async def _playlist_ended(self, fact: FileEnded, media: MediaFacts) -> None:
        del self._open[fact.index]
        playlist = self._playlists.pop(fact.index, None)
        if playlist is not None and fact.index in self._concluded:
            untold = (missing for missing in media.missing if missing.end_ns > 0)  # What was before, a segment told.
            await playlist.complete(tuple(shifted(missing, media.origin_ns) for missing in untold))

    async def _file_ended(self, fact: FileEnded, media: MediaFacts) -> None:
        await self._finishings.pop(fact.index)
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


def _first_note(job: Job, fact: FileOpened, media: MediaFacts) -> FileNote:
    """Return a file's note as far as it is known without asking anybody: under the key its rule wants."""
    return FileNote(
        job=told_job(replace(job, rule=media.rule)),
        path=fact.path,
        key=Shelf.wanted_key(job, media.rule, fact.plan.record_format, _started_at(fact, media), wanted=fact.wanted),
        record_format=fact.plan.record_format,
        location=media.rule.address.location,
        bucket=media.rule.address.bucket,
        origin_ns=media.origin_ns,
        start_ns=fact.start_ns,
        detail=fact.plan.note,
        playlist=_terms(job, fact, media) if fact.plan.container in SEGMENTED else None,
        has_transcoded_picture=fact.has_transcoded_picture,
        missing=media.missing,
    )


def _terms(job: Job, fact: FileOpened, media: MediaFacts) -> PlaylistTerms:
    """Return what a playlist that is opened promises."""
    return PlaylistTerms(
        container=fact.plan.container,
        codecs=fact.codecs,
        channels=fact.channels,
        config=media.rule.hls or HlsConfig(0),
        folder=media.rule.address.object,
        first_epoch=job.epoch,
        origin_ns=media.origin_ns,
        zero_ns=segments_zero_ns(job),
        has_transcoded_picture=fact.has_transcoded_picture,
    )


def _started_at(fact: FileOpened, media: MediaFacts) -> datetime:
    return datetime.fromtimestamp((media.origin_ns + fact.start_ns) / NS, UTC)
