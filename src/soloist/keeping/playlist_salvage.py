"""Going on with the playlists that earlier epochs of a job left in the spool, or ending them.

What was closed but not published is published, the segment that was being written is cut to what is whole in it, and
all of it goes into the same playlist. A job that lives on goes on with the last one. Runs on the event loop.
Spec: design section 6; rules R25, R31, R33.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import structlog

from soloist.keeping.notes import FileNote
from soloist.keeping.playlists import (
    UNKNOWN_AFTER_CRASH,
    OpenPlaylist,
    ended_mark,
    init_number,
    inits_of,
    segments_in_spool,
)
from soloist.keeping.port import Journal
from soloist.keeping.publishing import announced, is_announced
from soloist.keeping.shelf import Shelf
from soloist.keeping.summary import resumed
from soloist.model.errors import SoloistError
from soloist.model.media import Kind
from soloist.model.timing import Cause, Missing
from soloist.recording.facts import TimelineFacts
from soloist.sinks.hls import HOLE_NS, ClosedSegment
from soloist.sinks.repair import HOLE_NS_MIN, FoundMedia, repair_segment
from soloist.wire.clock import NS

log = structlog.get_logger("soloist.salvage")

NEAR_NS = NS // 2
"""A segment whose media begins so close to the end of the one before it begins there."""
TS_TURN_NS = (1 << 33) * NS // 90_000
"""After so long the clock of MPEG-TS begins anew."""


class PlaylistSalvage:
    """Settles one job's playlists, oldest first."""

    def __init__(self, journal: Journal, shelf: Shelf, ends_ns: dict[Kind, int], *, patience_s: float) -> None:
        """`ends_ns`, where each track's media so far ends (Unix time), is kept up to date.

        `patience_s` is how long a store that refuses is asked again.
        """
        self._patience_s = patience_s
        self._journal = journal
        self._shelf = shelf
        self._ends_ns = ends_ns
        self._open: OpenPlaylist | None = None
        self._refusal: SoloistError | None = None

    async def settle(self, note: FileNote) -> None:
        """Publish what is left of one playlist; it stays open, the one before it ends or goes on as this one.

        Raises:
            EpochLostError: the job is another recorder's by now.
            DestinationError: its bucket refused something; nothing later is published either.
            InternalError: what is there cannot be read.
        """
        if self._refusal is not None:
            raise self._refusal
        try:
            await self._settle(note)
        except SoloistError as error:
            self._refusal = error
            raise

    async def left_open(self, *, goes_on: bool) -> OpenPlaylist | None:
        """Return the last playlist if the job goes on and may go on with it; else end it.

        Raises:
            EpochLostError: the job is another recorder's by now.
            DestinationError: its bucket refused it.
        """
        last, self._open = self._open, None
        if last is None or self._refusal is not None:
            return None
        if goes_on and not ended_mark(last.note.path).exists():
            return last
        await last.complete()
        return None

    async def _settle(self, note: FileNote) -> None:
        before, playlist = self._open, OpenPlaylist(note, self._shelf, self._journal, patience_s=self._patience_s)
        if before is not None and (before.note.key == note.key or before.goes_on_as(note)):
            playlist = before
            await playlist.go_on_as(note)
        else:
            if before is not None:
                await before.complete()
            if playlist.terms.first_epoch == note.epoch and not await is_announced(self._journal, note):
                # Its recorder died before it could tell of it. One that goes on was told of when it began.
                note = await announced(self._shelf, self._journal, note)
                playlist = OpenPlaylist(note, self._shelf, self._journal, patience_s=self._patience_s)
            await playlist.resume()
        self._open = playlist
        listed = await asyncio.to_thread(lambda: playlist.spooled)
        paths = await asyncio.to_thread(segments_in_spool, playlist.note.path)
        for path in paths:
            if f"{path.parent.name}/{path.name}" in listed:
                await self._remove(path)
            else:
                is_torn = path == paths[-1] and not ended_mark(playlist.note.path).exists()
                await self._publish(playlist, path, is_torn=is_torn)
        self._advance(playlist)

    async def _publish(self, playlist: OpenPlaylist, path: Path, *, is_torn: bool) -> None:
        """Publish one segment as far as it is whole; one that holds nothing is removed."""
        inits = [init for init in inits_of(playlist.note.path) if init_number(init) <= int(path.suffixes[-2][1:])]
        init = inits[-1] if inits else None
        found = await asyncio.to_thread(repair_segment, path, init, is_torn=is_torn)
        if found.is_empty:
            await self._remove(path)
            return
        segment = _segment(path, init, found, playlist)
        is_first = playlist.last is None or not playlist.last.spooled.startswith(f"{path.parent.name}/")
        told, ends_ns = (playlist.note.missing, {}) if is_first else ((), playlist.ends_ns)
        facts = TimelineFacts(playlist.note.origin_ns, told + _holes(found, playlist, ends_ns))
        before_ns = playlist.ends_ns or self._ends_ns
        await playlist.publish(segment, resumed(facts, before_ns) if is_first else facts)
        log.info("segment_salvaged", job_id=playlist.note.job_id, key=playlist.note.key, file=path.name)
        self._advance(playlist)

    async def _remove(self, path: Path) -> None:
        """Take away a segment that is not to be published: it stands in the bucket already, or holds nothing."""
        await asyncio.to_thread(path.unlink)
        self._shelf.waiting.discard(path)

    def _advance(self, playlist: OpenPlaylist) -> None:
        for kind, end_ns in playlist.ends_ns.items():
            self._ends_ns[kind] = max(self._ends_ns.get(kind, 0), end_ns)


def _holes(found: FoundMedia, playlist: OpenPlaylist, ends_ns: Mapping[Kind, int]) -> tuple[Missing, ...]:
    """Return what a segment lacks, with what is missing since the one before, where the tracks end at `ends_ns`."""
    zero_ns, origin_ns = playlist.terms.zero_ns, playlist.note.origin_ns
    before = playlist.last.ends_at_ns if playlist.last else {}
    # What the segment before has nothing of was missing there already.
    shortest_ns = {kind: HOLE_NS_MIN[kind if kind in before else Kind.AUDIO] for kind in Kind}
    stretches = (
        (kind, zero_ns + start_ns if start_ns else ends_ns.get(kind, zero_ns + end_ns), zero_ns + end_ns)
        for kind, start_ns, end_ns in found.holes_ns
    )
    return tuple(
        Missing(kind, start_ns - origin_ns, end_ns - origin_ns, Cause.GAP, UNKNOWN_AFTER_CRASH)
        for kind, start_ns, end_ns in stretches
        if end_ns - start_ns > shortest_ns[kind]
    )


def _segment(path: Path, init: Path | None, found: FoundMedia, playlist: OpenPlaylist) -> ClosedSegment:
    """Return a segment as its recorder would have told of it, from what is in the file."""
    note, last = playlist.note, playlist.last
    zero_ns = playlist.terms.zero_ns - note.origin_ns
    starts_ns = found.starts_ns
    start_ns = zero_ns + min(starts_ns.values())
    is_discontinuous = False
    turns_ns = 0
    if last is not None and last.spooled.startswith(f"{path.parent.name}/"):
        # Sound lags in its encoder: a segment begins with its picture.
        start_ns = zero_ns + starts_ns.get(Kind.VIDEO, min(starts_ns.values()))
        expected_ns = last.end_ns - note.origin_ns
        turns_ns = round((expected_ns - start_ns) / TS_TURN_NS) * TS_TURN_NS if init is None else 0
        start_ns += turns_ns
        is_discontinuous = abs(start_ns - expected_ns) > HOLE_NS or (found.width, found.height) != (
            last.width,
            last.height,
        )
        start_ns = expected_ns if abs(start_ns - expected_ns) < NEAR_NS else start_ns
    ends_ns = {kind: zero_ns + turns_ns + end_ns for kind, end_ns in found.ends_ns.items()}
    return ClosedSegment(
        path=path,
        start_ns=start_ns,
        end_ns=max(ends_ns.values()),
        is_discontinuous=is_discontinuous,
        is_independent=True,
        init=init,
        frames=found.frames,
        ends_ns=ends_ns,
        width=found.width,
        height=found.height,
    )
