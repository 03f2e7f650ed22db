"""A second opinion on MP4 files: pymp4's reading of the boxes, for indexed and for fragmented files.

Shares nothing with the sinks. pymp4 leaves edit lists as bytes; those are taken apart here.
Spec: ISO/IEC 14496-12 §8.6.1 (stts), §8.6.6 (elst), §8.7 (stsz, stsc, stco), §8.8 (fragments).
"""

import io
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pymp4.parser import Box


@dataclass(slots=True)
class BoxTrack:
    """What the boxes say of one track."""

    track_id: int
    handler: str
    """vide or soun."""
    entry: str
    """Kind of its sample entry, e.g. avc1."""
    rate_hz: int
    declared_ticks: int
    """Duration in its mdhd box."""
    delay_s: float = 0.0
    """Empty edit before its first sample (indexed), or the time of its first fragment (fragmented)."""
    durations: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    sync: list[int] | None = None
    """Numbers of the sync samples, from 1; None: all."""
    offsets: list[int] = field(default_factory=list)
    """File offset of each sample."""

    @property
    def ticks(self) -> int:
        """Sum of all sample durations."""
        return sum(self.durations)


@dataclass(slots=True)
class BoxFile:
    """What the boxes say of a file."""

    kinds: list[str]
    """Top-level boxes, in order."""
    movie_hz: int
    movie_ticks: int
    tracks: list[BoxTrack]

    @property
    def is_fragmented(self) -> bool:
        """True if samples lie in moof boxes."""
        return "moof" in self.kinds

    def track(self, handler: str) -> BoxTrack:
        """Return the track of a handler kind."""
        return next(track for track in self.tracks if track.handler == handler)


def read_boxes(path: Path) -> BoxFile:
    """Return what pymp4 makes of a file; a torn last box is left out."""
    data = path.read_bytes()
    boxes, at = [], 0
    while at + 8 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        if size < 8 or at + size > len(data):
            break
        boxes.append((at, Box.parse_stream(io.BytesIO(data[at : at + size]))))
        at += size
    moov = next(box for _, box in boxes if box.type == b"moov")
    mvhd = _child(moov, b"mvhd")
    tracks = [_track(trak, mvhd.timescale) for trak in moov.children if trak.type == b"trak"]
    for at, box in boxes:
        if box.type == b"moof":
            _add_fragment(box, at, {track.track_id: track for track in tracks})
    return BoxFile([box.type.decode() for _, box in boxes], mvhd.timescale, mvhd.duration, tracks)


def _child(box: Any, *path: bytes) -> Any:
    """Return the box at a path, or None."""
    for kind in path:
        box = next((child for child in box.children if child.type == kind), None)
        if box is None:
            return None
    return box


def _track(trak: Any, movie_hz: int) -> BoxTrack:
    """Return an indexed track; its columns stay empty if its samples are in fragments."""
    mdhd, stbl = _child(trak, b"mdia", b"mdhd"), _child(trak, b"mdia", b"minf", b"stbl")
    track = BoxTrack(
        _child(trak, b"tkhd").track_ID,
        _child(trak, b"mdia", b"hdlr").handler_type.decode(),
        _child(stbl, b"stsd").entries[0].format.decode(),
        mdhd.timescale,
        mdhd.duration,
    )
    for entry in _child(stbl, b"stts").entries:
        track.durations += [entry.sample_delta] * entry.sample_count
    stsz = _child(stbl, b"stsz")
    track.sizes = list(stsz.entry_sizes) if stsz.sample_size == 0 else [stsz.sample_size] * stsz.sample_count
    stss = _child(stbl, b"stss")
    track.sync = [entry.sample_number for entry in stss.entries] if stss else None
    track.offsets = _offsets(stbl, track.sizes)
    edits = _child(trak, b"edts")
    if edits is not None:
        track.delay_s = _delay_ticks(edits.data) / movie_hz
    return track


def _offsets(stbl: Any, sizes: list[int]) -> list[int]:
    """Return each sample's file offset from chunk offsets and samples a chunk."""
    chunks = [entry.chunk_offset for entry in (_child(stbl, b"stco") or _child(stbl, b"co64")).entries]
    runs = _child(stbl, b"stsc").entries
    offsets: list[int] = []
    for number, chunk in enumerate(chunks, start=1):
        count = [run.samples_per_chunk for run in runs if run.first_chunk <= number][-1]
        within = 0
        for _ in range(count):
            offsets.append(chunk + within)
            within += sizes[len(offsets) - 1]
    return offsets


def _delay_ticks(edts: bytes) -> int:
    """Return the length of the empty edits of an edts box's body."""
    version, (count,) = edts[8], struct.unpack_from(">I", edts, 12)
    entry = ">QqI" if version else ">IiI"
    entries = [struct.unpack_from(entry, edts, 16 + index * struct.calcsize(entry)) for index in range(count)]
    return sum(length for length, media_time, _rate in entries if media_time == -1)


def _add_fragment(moof: Any, at: int, tracks: dict[int, BoxTrack]) -> None:
    """Append the samples of one moof that begins at file offset `at`."""
    for traf in (child for child in moof.children if child.type == b"traf"):
        tfhd, tfdt = _child(traf, b"tfhd"), _child(traf, b"tfdt")
        track = tracks[tfhd.track_ID]
        if not track.sizes:
            track.delay_s = tfdt.baseMediaDecodeTime / track.rate_hz
        for trun in (child for child in traf.children if child.type == b"trun"):
            offset = at + trun.data_offset
            for sample in trun.sample_info:
                duration = (
                    sample.sample_duration if sample.sample_duration is not None else tfhd.default_sample_duration
                )
                size = sample.sample_size if sample.sample_size is not None else tfhd.default_sample_size
                track.durations.append(duration)
                track.sizes.append(size)
                track.offsets.append(offset)
                offset += size
