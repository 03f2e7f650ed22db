"""What has been published of an open playlist, a line of JSON for each segment, beside it in the spool.

The ledger is the truth about a playlist: its text, its totals and its manifest are made from it, so that another
process can go on with it. A line is written once its segment stands in the bucket, and before it leaves the spool.
Times are nanoseconds of Unix time, for a playlist outlives the recording that began it. Rules R25, R33.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from pydantic import TypeAdapter

from soloist.keeping.notes import PlaylistTerms, is_transcoded
from soloist.model.errors import InternalError
from soloist.model.media import Kind
from soloist.model.timing import Missing
from soloist.wire.manifest import ClockMapping, LayerSpan, ManifestSegment, ManifestTrack
from soloist.wire.playlist import PlaylistSegment

SUFFIX = ".ledger"


@dataclass(frozen=True, slots=True)
class PublishedObject:
    """An object that stands in the bucket, beside its playlist."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class StreamClock:
    """How the RTP stream that fed a track was placed when a segment ended."""

    kind: Kind
    stream: str
    """Tells one stream of a recording from another."""
    mapping: ClockMapping


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One segment in the bucket."""

    spooled: str
    """`<epoch>/<file>`: what it was in the spool."""
    name: str
    """The object's name, beside the playlist."""
    size_bytes: int
    sha256: str
    starts_at_ns: int
    duration_ns: int
    is_discontinuous: bool = False
    is_independent: bool = True
    init: PublishedObject | None = None
    frames: dict[Kind, int] = field(default_factory=dict)
    ends_at_ns: dict[Kind, int] = field(default_factory=dict)
    """Where each track's media ends."""
    width: int = 0
    height: int = 0
    rid: str | None = None
    missing: tuple[Missing, ...] = ()
    """What was found missing since the segment before."""
    clocks: tuple[StreamClock, ...] = ()

    @property
    def end_ns(self) -> int:
        """Where the next segment begins if it goes on from this one."""
        return self.starts_at_ns + self.duration_ns

    @property
    def listed(self) -> PlaylistSegment:
        """The segment as the playlist lists it."""
        init = self.init.name if self.init else ""
        return PlaylistSegment(self.name, self.duration_ns, self.starts_at_ns, self.is_discontinuous, init)


_ENTRIES = TypeAdapter(LedgerEntry)


def append_entry(ledger: Path, entry: LedgerEntry) -> None:
    """Write an entry at the end of a ledger, lastingly.

    Raises:
        InternalError: the spool refused it.
    """
    try:
        with ledger.open("ab") as file:
            file.write(_ENTRIES.dump_json(entry) + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise InternalError(f"The spool refused a ledger ({error.strerror}); free its disk.") from error


def read_entries(ledger: Path) -> Iterator[LedgerEntry]:
    """Yield the entries of a ledger, oldest first; none if there is no ledger. What a torn last line held is left out.

    Raises:
        InternalError: the ledger is none of ours.
    """
    try:
        with ledger.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield _ENTRIES.validate_json(line, strict=True)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise InternalError(f"{ledger.name} in the spool cannot be read ({error}); it is left there.") from error


def mend(ledger: Path) -> None:
    """Take a torn last line out of a ledger, so that entries can be appended again."""
    if ledger.exists():
        whole = ledger.read_bytes().rpartition(b"\n")[0]
        with ledger.open("r+b") as file:
            file.truncate(len(whole) + 1 if whole else 0)


def tracks_of(entries: list[LedgerEntry], terms: PlaylistTerms, origin_ns: int) -> tuple[ManifestTrack, ...]:
    """Return what a manifest says of a playlist's tracks; its times count from `origin_ns`."""
    layers: list[LayerSpan] = []
    for entry in entries:
        if entry.width:
            layer = LayerSpan(entry.starts_at_ns - origin_ns, entry.rid, entry.width, entry.height)
            before = layers[-1] if layers else None
            if before is None or (before.rid, before.width, before.height) != (layer.rid, layer.width, layer.height):
                layers.append(layer)
    return tuple(
        ManifestTrack(
            kind=kind,
            codec=codec,
            transcoded=is_transcoded(kind, codec, terms),
            channels=terms.channels if kind is Kind.AUDIO else 0,
            clocks=_clocks(entries, kind, origin_ns),
            layers=() if kind is Kind.AUDIO else tuple(layers),
            end_ns=max((entry.ends_at_ns.get(kind, 0) for entry in entries), default=0) - origin_ns,
        )
        for kind, codec in sorted(terms.codecs.items())
    )


def missing_of(entries: list[LedgerEntry], last: tuple[Missing, ...], origin_ns: int) -> tuple[Missing, ...]:
    """Return everything found missing from a playlist, `last` included, each once; times count from `origin_ns`."""
    found = dict.fromkeys([*(missing for entry in entries for missing in entry.missing), *last])
    return tuple(shifted(missing, -origin_ns) for missing in found)


def shifted(missing: Missing, by_ns: int) -> Missing:
    """Return a missing stretch with its times counted from another moment."""
    return Missing(missing.kind, missing.start_ns + by_ns, missing.end_ns + by_ns, missing.cause, missing.detail)


def segments_of(entries: list[LedgerEntry], folder: str, origin_ns: int) -> tuple[ManifestSegment, ...]:
    """Return the objects of a playlist for its manifest, initialisation sections before their first segment."""
    found: dict[str, ManifestSegment] = {}
    for entry in entries:
        start_ns = entry.starts_at_ns - origin_ns
        if entry.init is not None:
            init = ManifestSegment(folder + entry.init.name, entry.init.size_bytes, entry.init.sha256, start_ns, 0)
            found.setdefault(init.key, init)
        key = folder + entry.name
        found[key] = ManifestSegment(key, entry.size_bytes, entry.sha256, start_ns, entry.duration_ns)
    return tuple(found.values())


def _clocks(entries: list[LedgerEntry], kind: Kind, origin_ns: int) -> tuple[ClockMapping, ...]:
    """Return how each RTP stream of a track was placed, as last measured."""
    clocks = [clock for entry in entries for clock in entry.clocks if clock.kind is kind]
    last = [list(group)[-1].mapping for _, group in groupby(clocks, key=lambda clock: clock.stream)]
    return tuple(
        ClockMapping(clock.start_ns - origin_ns, clock.source, clock.rtp_ticks, clock.rate_hz, clock.skew_ppm)
        for clock in last
    )
