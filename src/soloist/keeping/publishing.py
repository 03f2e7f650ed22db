"""Getting a finished file and its manifest into a bucket that may refuse for a while, and the event that tells of it.

Spec: rules R25, R26, R34.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

import structlog

from soloist.keeping.notes import FileNote, write_note
from soloist.keeping.port import Journal
from soloist.keeping.shelf import Shelf
from soloist.model.errors import DestinationError
from soloist.model.event import FileCompleted, FileStarted
from soloist.recording.cutting import FileSummary
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


async def announced(shelf: Shelf, journal: Journal, note: FileNote, taken: set[str] | None = None) -> FileNote:
    """Return the note under a name that is free in its bucket and in the journal, written down and told (rule R34).

    `taken` holds the names, without extensions, that this job has used; it grows by those tried here.

    Raises:
        EpochLostError: the job is another recorder's; nothing is told.
        DestinationError: the bucket went on refusing to be asked.
    """
    taken = set() if taken is None else taken
    while True:
        free = await retrying(partial(shelf.freed, note, taken), note)
        taken.add(shelf.stem(free))
        if free != note:
            await asyncio.to_thread(write_note, free)
        if await is_announced(journal, free):
            return free
        log.info("name_taken", job_id=note.job_id, key=free.key)


async def is_announced(journal: Journal, note: FileNote) -> bool:
    """Tell of a file under its note's name, once; return whether the name is its own."""
    started_at = datetime.fromtimestamp((note.origin_ns + note.start_ns) / NS, UTC)
    try:
        await journal.file_started(
            FileStarted(note.key, note.record_format, started_at, note.location, note.bucket),
        )
    except KeyTakenError:
        return False
    return True


async def publish(
    shelf: Shelf,
    journal: Journal,
    note: FileNote,
    manifest: Callable[[Committed], str],
    *,
    patience_s: float | None = None,
) -> tuple[FileNote, Committed]:
    """Put a file and its manifest into the bucket once the self-fence permits, trying again for an hour or as told.

    The note that is returned has another key if somebody else's object had come to stand under the announced one, or
    where its manifest belongs.

    Raises:
        EpochLostError: the job is another recorder's; nothing is published.
        DestinationError: the store went on refusing; the file stays in the spool.
    """
    shelf.waiting.add(note.path)
    while True:
        try:
            return note, await retrying(partial(_put, shelf, journal, note, manifest), note, patience_s=patience_s)
        except KeyTakenError:
            note = await announced(shelf, journal, note)


async def _put(shelf: Shelf, journal: Journal, note: FileNote, manifest: Callable[[Committed], str]) -> Committed:
    await journal.permit()
    committed = await shelf.commit(note)
    try:
        await shelf.put_manifest(note, manifest(committed))
    except KeyTakenError:
        await shelf.withdraw(note)  # It goes under another name, together with its manifest.
        raise
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
        location=note.location,
        bucket=note.bucket,
        detail=note.detail,
    )
