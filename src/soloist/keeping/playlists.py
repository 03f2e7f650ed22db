"""One playlist on its way into the bucket: a segment goes up as it closes, then the playlist that lists it.

A segment leaves the spool once it stands verified and the ledger says so; the playlist in the bucket is replaced after
each, in order and only while the fence permits, so that a newer one is never followed by an older one. What a killed
recorder left is gone on with by the next one, or ended. Runs on the event loop.
Spec: design sections 5 (HLS), 6 (the same playlist after a restart); API section 6.2; rules R25, R30, R33, R35.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import structlog

from soloist.keeping.ledger import (
    SUFFIX,
    LedgerEntry,
    PublishedObject,
    StreamClock,
    append_entry,
    mend,
    missing_of,
    read_entries,
    segments_of,
    shifted,
    tracks_of,
)
from soloist.keeping.notes import FileNote, PlaylistTerms, remove_note, write_note
from soloist.keeping.port import Journal
from soloist.keeping.publishing import announced, retrying
from soloist.keeping.shelf import Shelf
from soloist.model.errors import InternalError, SoloistError
from soloist.model.event import FileCompleted
from soloist.model.media import Kind
from soloist.model.timing import Cause, Missing
from soloist.recording.facts import TimelineFacts
from soloist.sinks.hls import ClosedSegment
from soloist.sinks.matrix import Container
from soloist.sinks.repair import HOLE_NS_MIN
from soloist.storage.bucket import Committed
from soloist.storage.errors import KeyTakenError, ReplacedError
from soloist.wire.clock import NS
from soloist.wire.keys import EXTENSIONS, segment_name
from soloist.wire.manifest import ClockMapping, Manifest, ManifestFile, render_manifest
from soloist.wire.playlist import END, PlaylistSegment, render_head, render_segment, target_duration_s

T = TypeVar("T")
log = structlog.get_logger("soloist.playlists")

UNKNOWN_AFTER_CRASH = "unknown_after_crash"
"""Why media is missing of which only the file itself tells."""
ENDED_SUFFIX = ".ended"
"""Of a mark beside a playlist to which its recorder will add nothing more, although it may not be told of yet."""


@contextmanager
def _spooling() -> Iterator[None]:
    """Say of the spool's refusals whose fault they are: what was to be written is then not published either."""
    try:
        yield
    except OSError as error:
        raise InternalError(f"The spool refused a playlist ({error.strerror}); free its disk.") from error


class OpenPlaylist:
    """A playlist that may still grow; one task at a time works on it."""

    def __init__(self, note: FileNote, shelf: Shelf, journal: Journal, *, patience_s: float | None = None) -> None:
        """`note` has the terms of a playlist. `resume` reads what was published before.

        `patience_s` is how long a store that refuses is asked again; by default as long as `publishing` says.
        """
        self.patience_s = patience_s
        self.note = note
        self._shelf = shelf
        self._journal = journal
        self._last: LedgerEntry | None = None
        self._first_ns: int | None = None
        self.ends_ns: dict[Kind, int] = {}
        """Where what is told of each track ends, its media or what is missing, nanoseconds of Unix time."""
        self._count = 0
        self._is_independent = True
        self._version = ""
        """Of the playlist that we last put into the bucket."""
        self._refusal: SoloistError | None = None

    @property
    def terms(self) -> PlaylistTerms:
        """What it promises."""
        if self.note.playlist is None:
            raise InternalError(f"{self.note.path.name} is no playlist.")
        return self.note.playlist

    @property
    def is_empty(self) -> bool:
        """True while it lists nothing."""
        return self._last is None

    @property
    def starts_at_ns(self) -> int | None:
        """Wall clock of its first media, nanoseconds of Unix time; None while it lists nothing."""
        return self._first_ns

    @property
    def last(self) -> LedgerEntry | None:
        """The segment listed last."""
        return self._last

    @property
    def spooled(self) -> set[str]:
        """What the listed segments were in the spool."""
        return {entry.spooled for entry in read_entries(self._ledger)}

    async def resume(self) -> None:
        """Read what was published before, and write the text that says so.

        Raises:
            InternalError: the ledger cannot be read, or the text not be written.
        """
        await asyncio.to_thread(self._resume)

    async def publish(self, segment: ClosedSegment, media: TimelineFacts) -> None:
        """Put a segment into the bucket, then a playlist that lists it; the segment then leaves the spool.

        The last one is listed together with the end: some players miss an end that comes alone.

        Raises:
            EpochLostError: the job is another recorder's; nothing is published.
            DestinationError: the store went on refusing; what is not published stays in the spool, in order.
            InternalError: the spool refused what tells of it; the same holds.
        """
        self._shelf.waiting.add(segment.path)
        if self._refusal is not None:
            raise self._refusal
        try:
            if self.is_empty and not self._version:
                await self._reserve()
            init = await self._put_init(segment.init) if segment.init else None
            name, committed = await self._put(segment.path, self._name(segment.path))
            entry = self._entry(segment, media, PublishedObject(name, committed.size, committed.sha256), init)
            await asyncio.to_thread(self._write_down, entry)
            if not self._ended_mark.exists():  # Else `complete` says it together with the end.
                await self._put_text()
        except ReplacedError as error:  # Segments go on; its end says that the playlist could not be put.
            log.warning("playlist_replaced", job_id=self.note.job_id, key=self.note.key, error=str(error))
        except SoloistError as error:
            self._refusal = error
            raise
        await asyncio.to_thread(self._shelf.spool.remove, segment.path, committed)
        self._shelf.waiting.discard(segment.path)

    async def complete(self, missing: tuple[Missing, ...] | None = None) -> None:
        """End the playlist, put its manifest beside it, tell of it, and take what is left of it out of the spool.

        `missing` is what none of its segments told, nanoseconds of Unix time; None if its recorder is gone, and only
        the segments tell where one track goes on longer than the other.

        Raises:
            EpochLostError: the job is another recorder's; nothing is published.
            DestinationError: the store went on refusing; the playlist stays open in the spool.
        """
        if self._refusal is not None:
            raise self._refusal
        if self._last is not None:
            entries = await asyncio.to_thread(lambda: list(read_entries(self._ledger)))
            committed = await self._put_text(END)
            file = self._file(entries, committed)
            untold = self._ended_early(self._last) if missing is None else missing
            text = await asyncio.to_thread(self._manifest, entries, file, untold)
            await self._journal.permit()
            await self._retrying(lambda: self._put_manifest(text))
            await self._journal.file_completed(self._completed(file))
        elif self._version:
            await self._shelf.withdraw(self.note)  # Its name was reserved, and nothing came.
        await asyncio.to_thread(self._leave_spool)

    def goes_on_as(self, note: FileNote) -> bool:
        """Return whether a later epoch's playlist may be this one going on: it would promise the same."""
        same = (note.playlist, note.location, note.bucket) == (self.terms, self.note.location, self.note.bucket)
        cycle_ns = self.terms.config.record_cycle_s * NS
        age_ns = note.origin_ns + note.start_ns - (self._first_ns or 0)
        return same and not self._ended_mark.exists() and (not cycle_ns or self.is_empty or age_ns < cycle_ns)

    async def go_on_as(self, note: FileNote) -> None:
        """Go on in a later epoch's folder and under its note; killed at any instant, one of the two has it all."""
        await asyncio.to_thread(self._go_on_as, note)

    @_spooling()
    def _resume(self) -> None:
        mend(self._ledger)
        self._last, self._first_ns, self._count, self._is_independent, self.ends_ns = None, None, 0, True, {}
        for entry in read_entries(self._ledger):
            self._note(entry)
        self._write_text()

    def _go_on_as(self, note: FileNote) -> None:
        before = self.note, self._ledger, self._text
        self.note = replace(note, key=self.note.key, detail=self.note.detail, playlist=self.terms)
        write_note(self.note)
        if before[1].exists():
            before[1].replace(self._ledger)
        for path in (*inits_of(before[0].path), before[2], ended_mark(before[0].path)):
            path.unlink(missing_ok=True)
        remove_note(before[0])
        self._shelf.spool.remove_folder(before[0].path.parent)
        self._resume()

    def _note(self, entry: LedgerEntry) -> None:
        self._first_ns = entry.starts_at_ns if self._first_ns is None else self._first_ns
        self._last = entry
        self._count += 1
        self._is_independent &= entry.is_independent
        for kind, end_ns in (*entry.ends_at_ns.items(), *((hole.kind, hole.end_ns) for hole in entry.missing)):
            self.ends_ns[kind] = max(self.ends_ns.get(kind, 0), end_ns)

    def _ended_early(self, last: LedgerEntry) -> tuple[Missing, ...]:
        """Return what tracks lack at the end of the playlist, which its last segment has."""
        return tuple(
            Missing(kind, end_ns, last.end_ns, Cause.GAP, UNKNOWN_AFTER_CRASH)
            for kind, end_ns in self.ends_ns.items()
            if last.end_ns - end_ns > HOLE_NS_MIN[kind]
        )

    @_spooling()
    def _write_down(self, entry: LedgerEntry) -> None:
        before = self._last.listed if self._last else None
        is_first_dependent = self._is_independent and not entry.is_independent
        append_entry(self._ledger, entry)
        self._note(entry)
        if before is None or is_first_dependent:
            self._write_text()
        else:
            with self._text.open("a") as file:
                file.write(render_segment(entry.listed, before))

    def _write_text(self) -> None:
        """Write the whole text anew from the ledger."""
        before: PlaylistSegment | None = None
        with self._text.open("w") as file:
            file.write(self._head(is_independent=self._is_independent))
            for entry in read_entries(self._ledger):
                file.write(render_segment(entry.listed, before))
                before = entry.listed

    def _head(self, *, is_independent: bool) -> str:
        is_fragmented = self.terms.container is Container.FMP4
        target_s = target_duration_s(self.terms.config.slice_s)
        return render_head(target_s, is_fragmented=is_fragmented, is_independent=is_independent)

    async def _put_text(self, end: str = "") -> Committed:
        """Let the playlist in the bucket say what the ledger says."""
        data = await asyncio.to_thread(lambda: self._text.read_bytes() + end.encode())

        async def put() -> None:
            await self._journal.permit()
            try:
                self._version = await self._shelf.put_playlist(self.note, data, self._version, self._is_ours)
            except KeyTakenError as error:
                raise ReplacedError from error

        await self._retrying(put)
        return Committed(self.note.key, len(data), hashlib.sha256(data).hexdigest(), None)

    async def _reserve(self) -> None:
        """Make a name of the bucket this playlist's, before anything is put that is named after it (rule R34)."""
        await asyncio.to_thread(self._write_text)
        while True:
            try:
                await self._put_text()
            except ReplacedError:
                self.note = await announced(self._shelf, self._journal, self.note)
            else:
                return

    def _is_ours(self, found: bytes) -> bool:
        """Return whether this playlist ever said what was found in the bucket: the ledger has every state of it."""
        text = found.decode("utf-8", "replace").removesuffix(END)
        return any(self._is_beginning(text, is_independent=is_independent) for is_independent in (True, False))

    def _is_beginning(self, text: str, *, is_independent: bool) -> bool:
        head, before = self._head(is_independent=is_independent), None
        if not text.startswith(head):
            return False
        rest = text.removeprefix(head)
        for entry in read_entries(self._ledger):
            line = render_segment(entry.listed, before)
            if not rest.startswith(line):
                break
            rest, before = rest.removeprefix(line), entry.listed
        return not rest

    async def _put_manifest(self, text: str) -> None:
        try:
            await self._shelf.put_manifest(self.note, text)
        except KeyTakenError as error:
            raise ReplacedError from error

    async def _put_init(self, path: Path) -> PublishedObject:
        """Put an initialisation section into the bucket, unless the segment before had the same."""
        last = self._last.init if self._last else None
        wanted = segment_name(self._stem, self._epoch_of(path), f"init_{init_number(path)}", ".mp4")
        if last is not None and last.name == wanted:
            return last
        name, committed = await self._put(path, wanted)
        return PublishedObject(name, committed.size, committed.sha256)

    async def _put(self, path: Path, wanted: str) -> tuple[str, Committed]:
        """Put a spool file beside the playlist, under the wanted name or the next one (`_1`…) that is free."""
        note = replace(self.note, path=path, key=self._folder + wanted)
        stem, extension, attempt = *wanted.rsplit(".", 1), 0
        while True:

            async def put(note: FileNote = note) -> Committed:
                await self._journal.permit()
                return await self._shelf.commit(note)

            try:
                return note.key.removeprefix(self._folder), await self._retrying(put)
            except KeyTakenError:
                attempt += 1
                note = replace(note, key=f"{self._folder}{stem}_{attempt}.{extension}")

    async def _retrying(self, work: Callable[[], Awaitable[T]]) -> T:
        return await retrying(work, self.note, patience_s=self.patience_s)

    def _name(self, path: Path) -> str:
        return segment_name(self._stem, self._epoch_of(path), f"{self._count:05d}", path.suffix)

    def _epoch_of(self, path: Path) -> int | None:
        """Return the epoch a file was spooled in; None for the one that began the playlist."""
        epoch = int(path.parent.name)
        return None if epoch == self.terms.first_epoch else epoch

    def _entry(
        self, segment: ClosedSegment, media: TimelineFacts, put: PublishedObject, init: PublishedObject | None
    ) -> LedgerEntry:
        origin_ns = media.origin_ns
        starts_at_ns = origin_ns + segment.start_ns
        is_other_epoch = self._last is not None and not self._last.spooled.startswith(f"{segment.path.parent.name}/")
        # What was missing before this recording is told with the first of its segments.
        since_ns = origin_ns if self._last is not None and not is_other_epoch else None
        missing = (shifted(missing, origin_ns) for missing in media.missing)
        clocks = (
            StreamClock(
                placement.kind,
                f"{segment.path.parent.name}/{placement.stream}",
                ClockMapping(
                    origin_ns + placement.pts_ns,
                    placement.placed_by,
                    placement.rtp_ticks,
                    48_000 if placement.kind is Kind.AUDIO else 90_000,
                    placement.skew_ppm,
                ),
            )
            for placement in media.placements
        )
        return LedgerEntry(
            spooled=_spooled(segment.path),
            name=put.name,
            size_bytes=put.size_bytes,
            sha256=put.sha256,
            starts_at_ns=starts_at_ns,
            duration_ns=segment.end_ns - segment.start_ns,
            is_discontinuous=self._last is not None and (segment.is_discontinuous or is_other_epoch),
            is_independent=segment.is_independent,
            init=init,
            frames=segment.frames,
            ends_at_ns={kind: origin_ns + end_ns for kind, end_ns in segment.ends_ns.items()},
            width=segment.width,
            height=segment.height,
            rid=segment.rid,
            missing=tuple(
                hole
                for hole in missing
                if (since_ns is None or hole.end_ns > since_ns) and hole.end_ns <= origin_ns + segment.end_ns
            ),
            clocks=tuple(clocks),
        )

    def _file(self, entries: list[LedgerEntry], committed: Committed) -> ManifestFile:
        zero_ns = self.terms.origin_ns
        segments = segments_of(entries, self._folder, zero_ns)
        frames: dict[Kind, int] = {}
        for entry in entries:
            for kind, frames_count in entry.frames.items():
                frames[kind] = frames.get(kind, 0) + frames_count
        return ManifestFile(
            key=self.note.key,
            record_format=self.note.record_format,
            size_bytes=committed.size + sum(segment.size_bytes for segment in segments),
            sha256=committed.sha256,
            start_ns=entries[0].starts_at_ns - zero_ns,
            end_ns=entries[-1].end_ns - zero_ns,
            frames=frames,
            note=self.note.detail,
            segments=segments,
        )

    def _manifest(self, entries: list[LedgerEntry], file: ManifestFile, missing: tuple[Missing, ...]) -> str:
        zero_ns = self.terms.origin_ns
        return render_manifest(
            Manifest(
                self.note.job,
                zero_ns,
                tracks_of(entries, self.terms, zero_ns),
                missing_of(entries, missing, zero_ns),
                (file,),
            )
        )

    def _completed(self, file: ManifestFile) -> FileCompleted:
        zero_ns, last = self.terms.origin_ns, self._last
        shown_ns = sum(segment.duration_ns for segment in file.segments)
        return FileCompleted(
            key=file.key,
            record_format=file.record_format,
            size_bytes=file.size_bytes,
            sha256=file.sha256,
            started_at=datetime.fromtimestamp((zero_ns + file.start_ns) / NS, UTC),
            ended_at=datetime.fromtimestamp((zero_ns + file.end_ns) / NS, UTC),
            duration=timedelta(microseconds=shown_ns // 1000),
            width=last.width if last else 0,
            height=last.height if last else 0,
            location=self.note.location,
            bucket=self.note.bucket,
            detail=self.note.detail,
        )

    def _leave_spool(self) -> None:
        """Take away everything, the note last: while it is there, all of this is done again."""
        for path in (*inits_of(self.note.path), self._text, self._ledger, self._ended_mark):
            path.unlink(missing_ok=True)
        remove_note(self.note)
        self._shelf.spool.remove_folder(self.note.path.parent)
        self._shelf.waiting.discard(self.note.path)

    @property
    def _text(self) -> Path:
        return self.note.path

    @property
    def _ledger(self) -> Path:
        return self.note.path.with_name(self.note.path.name + SUFFIX)

    @property
    def _ended_mark(self) -> Path:
        return ended_mark(self.note.path)

    @property
    def _folder(self) -> str:
        """The bucket's folder it stands in, with a slash at its end."""
        return self.note.key.removesuffix(self.note.key.rsplit("/", 1)[-1])

    @property
    def _stem(self) -> str:
        return self.note.key.rsplit("/", 1)[-1].removesuffix(EXTENSIONS[self.note.record_format])


def ended_mark(path: Path) -> Path:
    """Return the mark that a playlist in the spool has ended."""
    return path.with_name(path.name + ENDED_SUFFIX)


def inits_of(path: Path) -> list[Path]:
    """Return the initialisation sections of a playlist in the spool, in order."""
    return sorted(path.parent.glob(f"{path.stem}.init*.mp4"), key=init_number)


def segments_in_spool(path: Path) -> list[Path]:
    """Return the segments of a playlist in the spool, in order."""
    return sorted(found for found in path.parent.glob(f"{path.stem}.[0-9]*") if found.suffix in (".ts", ".m4s"))


def init_number(path: Path) -> int:
    """Return which segment was the first that needed an initialisation section in the spool."""
    return int(path.suffixes[-2].removeprefix(".init"))


def _spooled(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
