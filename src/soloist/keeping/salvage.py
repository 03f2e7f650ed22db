"""Settling what earlier epochs of a job left in the spool: repaired, committed, told, before the job goes on.

Runs when a recorder takes a job: after a crash, or for a job that was stopped while its recorder was away. Media does
not wait for it: a recording begins at once, and its files are told of afterwards. What no recorder will come back for
is found by `sweep.py` and settled the same way.
Spec: design section 5 (spool); rules R31, R33, R36.
"""

import asyncio
import errno
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import structlog

from soloist.keeping.filing import Leftovers
from soloist.keeping.notes import FileNote, read_notes, remove_note
from soloist.keeping.playlist_salvage import PlaylistSalvage
from soloist.keeping.playlists import ENDED_SUFFIX, UNKNOWN_AFTER_CRASH
from soloist.keeping.port import EpochLostError, Journal
from soloist.keeping.publishing import SETTLING_PATIENCE_S, announced, completed, is_announced, publish
from soloist.keeping.shelf import Shelf
from soloist.keeping.summary import manifest_of, resumed
from soloist.model.errors import DestinationError, InternalError, SoloistError
from soloist.model.job import Job
from soloist.model.media import Kind
from soloist.model.timing import Cause, Missing
from soloist.recording.cutting import FileSummary
from soloist.recording.facts import TimelineFacts
from soloist.sinks.mp4_index import HEADER_BYTES_MAX
from soloist.sinks.repair import FoundMedia, repair

log = structlog.get_logger("soloist.salvage")


DISK_REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""What a disk says that may take the file later, once the operator has made room."""

NOTHING_BEFORE: Mapping[Kind, int] = MappingProxyType({})


async def salvage(job: Job, journal: Journal, shelf: Shelf, *, own: bool = False) -> Leftovers:
    """Publish every file that earlier epochs of `job` left behind; one that cannot be is left and said so.

    With `own`, those of its present epoch as well: nothing may be written to them any more.
    """
    ended_ns = await journal.media_ended_ns() if job.epoch > 1 else None
    ends_ns = dict.fromkeys(Kind, ended_ns) if ended_ns is not None else {}
    folders = await asyncio.to_thread(shelf.spool.earlier_epochs, job.job_id, job.epoch + own)
    return await settled(folders, journal, shelf, ends_ns, goes_on=job.is_live and not own)


async def settled(
    folders: Iterable[Path],
    journal: Journal,
    shelf: Shelf,
    ends_ns: Mapping[Kind, int] = NOTHING_BEFORE,
    *,
    goes_on: bool = False,
    patience_s: float = SETTLING_PATIENCE_S,
) -> Leftovers:
    """Publish what lies in one job's folders, oldest first; what cannot be is left and said so.

    `ends_ns` is where the tracks' media of files published before ends, nanoseconds of Unix time. If the job `goes_on`,
    its last playlist is left open for who takes it on. `patience_s` is how long a store that refuses is asked again.

    Raises:
        EpochLostError: the job is another recorder's by now.
    """
    ends_ns = dict(ends_ns)
    refusal: SoloistError | None = None
    playlists = PlaylistSalvage(journal, shelf, ends_ns, patience_s=patience_s)
    for folder in folders:
        for note in await asyncio.to_thread(read_notes, folder):
            try:
                if note.playlist is not None:
                    await playlists.settle(note)
                    continue
                found = await asyncio.to_thread(_found, note)
                before_ns = dict(ends_ns)
                for kind in found.ends_ns:
                    told_ns = note.origin_ns + note.start_ns + found.told_until_ns(kind)
                    ends_ns[kind] = max(ends_ns.get(kind, 0), told_ns)
                facts = resumed(TimelineFacts(note.origin_ns, _holes(note, found)), before_ns)
                await _settle(note, found, journal=journal, shelf=shelf, facts=facts, patience_s=patience_s)
            except EpochLostError:
                raise
            except (DestinationError, InternalError) as error:
                log.warning("file_not_salvaged", job_id=note.job_id, file=note.path.name, error=str(error))
                refusal = error if _may_pass(error) else refusal
        await asyncio.to_thread(_remove_if_empty, folder)
    try:
        playlist = await playlists.left_open(goes_on=goes_on)
    except (DestinationError, InternalError) as error:
        log.warning("playlist_not_ended", error=str(error))
        return Leftovers(ends_ns, error if _may_pass(error) else refusal)
    return Leftovers(ends_ns, refusal, playlist)


def _found(note: FileNote) -> FoundMedia:
    """Return what is in a file.

    Raises:
        InternalError: that cannot be known, or nothing can be read although something was written.
    """
    if not note.path.exists():
        return FoundMedia()
    size_bytes = note.path.stat().st_size
    found = repair(note.path)
    if found.is_empty and size_bytes > HEADER_BYTES_MAX:
        raise InternalError(f"Nothing in {note.path.name} can be read; it is left there.")
    return found


def _may_pass(error: SoloistError) -> bool:
    """Return whether trying again can help: a store or a disk that refused, not a file that is none of ours."""
    cause = error.__cause__
    return isinstance(error, DestinationError) or (isinstance(cause, OSError) and cause.errno in DISK_REFUSALS)


async def _settle(
    note: FileNote,
    found: FoundMedia,
    *,
    journal: Journal,
    shelf: Shelf,
    facts: TimelineFacts,
    patience_s: float,
) -> None:
    """Publish one file of an earlier epoch.

    Raises:
        EpochLostError: the job is another recorder's by now.
        DestinationError: its bucket refused it.
    """
    if found.is_empty:
        await asyncio.to_thread(_discard, note)
        shelf.waiting.discard(note.path)
        return
    summary = _summary(note, found)
    if not await is_announced(journal, note):  # Its recorder died before it could tell of it.
        note = await announced(shelf, journal, note)
    note, committed = await publish(
        shelf, journal, note, lambda done: manifest_of(note, summary, facts, done), patience_s=patience_s
    )
    await journal.file_completed(completed(note, committed, summary))
    await asyncio.to_thread(shelf.forget, note, committed)
    log.info("file_salvaged", job_id=note.job_id, key=note.key, epoch=note.epoch)


def _holes(note: FileNote, found: FoundMedia) -> tuple[Missing, ...]:
    """Return what a file lacks: what was told when it opened, then as far as it tells itself, without its cause."""
    told_ns = {missing.kind: missing.end_ns for missing in note.missing}
    holes = (
        (kind, max(note.start_ns + start_ns, told_ns.get(kind, note.start_ns)), note.start_ns + end_ns)
        for kind, start_ns, end_ns in found.holes_ns
    )
    return note.missing + tuple(
        Missing(kind, start_ns, end_ns, Cause.GAP, UNKNOWN_AFTER_CRASH)
        for kind, start_ns, end_ns in holes
        if start_ns < end_ns
    )


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
        has_transcoded_picture=note.has_transcoded_picture,
    )


def _discard(note: FileNote) -> None:
    """Remove a file nothing was written to."""
    note.path.unlink(missing_ok=True)
    remove_note(note)


def _remove_if_empty(folder: Path) -> None:
    """Remove an epoch's folder, with files that died before their note was written: nothing had been put in them.

    The mark that a playlist has ended says what it has to say without a byte; it goes with its playlist.
    """
    if not folder.exists():
        return  # It went with its last file.
    for path in folder.iterdir():
        if path.stat().st_size == 0 and path.suffix != ENDED_SUFFIX:
            path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()
