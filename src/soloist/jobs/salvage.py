"""Settling what earlier epochs of a job left in the spool: repaired, committed, told, before the job goes on.

Runs when a recorder takes a job: after a crash, or for a job that was stopped while its recorder was away.
Spec: design section 5 (spool); rules R31, R33, R36.
"""

import asyncio
from pathlib import Path

import structlog

from soloist.jobs.cutting import FileSummary
from soloist.jobs.filing import completed, publish
from soloist.jobs.notes import FileNote, read_notes, remove_note
from soloist.jobs.port import Journal
from soloist.jobs.recording import MediaFacts
from soloist.jobs.shelf import Shelf
from soloist.jobs.store import EpochLostError
from soloist.jobs.summary import manifest_of
from soloist.model.errors import DestinationError, InternalError
from soloist.model.job import Job
from soloist.sinks.repair import FoundMedia, repair

log = structlog.get_logger("soloist.salvage")


async def salvage(job: Job, journal: Journal, shelf: Shelf) -> DestinationError | None:
    """Publish every file that earlier epochs of `job` left behind; one that cannot be is left and said so.

    Returns the error of a store that refused one, which may take it later; None if there is nothing more to try.
    """
    refusal: DestinationError | None = None
    for folder in await asyncio.to_thread(shelf.spool.earlier_epochs, job.job_id, job.epoch):
        for note in await asyncio.to_thread(read_notes, folder):
            try:
                await _settle(job, note, journal, shelf)
            except DestinationError as error:
                log.warning("file_refused", job_id=job.job_id, file=note.path.name, error=str(error))
                refusal = error
            except EpochLostError:
                raise
            except InternalError:
                log.exception("file_not_salvaged", job_id=job.job_id, file=note.path.name)
        await asyncio.to_thread(_remove_if_empty, folder)
    return refusal


async def _settle(job: Job, note: FileNote, journal: Journal, shelf: Shelf) -> None:
    """Publish one file of an earlier epoch.

    Raises:
        EpochLostError: the job is another recorder's by now.
        DestinationError: its bucket refused it.
        InternalError: it cannot be read.
    """
    found = await asyncio.to_thread(repair, note.path) if note.path.exists() else FoundMedia()
    if found.is_empty:
        await asyncio.to_thread(_discard, note)
        return
    summary = _summary(note, found)
    facts = MediaFacts(note.origin_ns, (), (), job.rule)
    note, committed = await publish(shelf, journal, note, lambda done: manifest_of(job, note, summary, facts, done))
    await journal.file_completed(completed(note, committed, summary))
    await asyncio.to_thread(shelf.forget, note, committed)
    log.info("file_salvaged", job_id=job.job_id, key=note.key, epoch=note.epoch)


def _summary(note: FileNote, found: FoundMedia) -> FileSummary:
    ends_ns = {kind: note.start_ns + end_ns for kind, end_ns in found.ends_ns.items()}
    return FileSummary(
        start_ns=note.start_ns,
        end_ns=max(ends_ns.values()),
        width=found.width,
        height=found.height,
        codecs=found.codecs,
        frames=found.frames,
        channels=found.channels,
        ends_ns=ends_ns,
    )


def _discard(note: FileNote) -> None:
    """Remove a file nothing was written to."""
    note.path.unlink(missing_ok=True)
    remove_note(note)


def _remove_if_empty(folder: Path) -> None:
    """Remove an epoch's folder, with files that died before their note was written: nothing had been put in them."""
    if not folder.exists():
        return  # It went with its last file.
    for path in folder.iterdir():
        if path.stat().st_size == 0:
            path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()
