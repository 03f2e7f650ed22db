"""Turning a fragmented MP4 of ours into an ordinary indexed one, in place.

The same step ends a recording and repairs one that a killed process left behind. It never rewrites media: it appends
a moov with the whole index and then, in one write of 8 or 16 bytes, renames the header moov to an mdat that spans every
fragment. Killed at any instant, the file is readable either the old way or the new.
Spec: ISO/IEC 14496-12 §8.2, §8.5, §8.6, §8.7, §10.1 (roll groups).
"""

import os
import struct
import sys
from array import array
from itertools import groupby
from pathlib import Path

from soloist.model.errors import InternalError
from soloist.sinks.boxes import box, children, find, full_box
from soloist.sinks.mp4_fragments import FragmentedFile, TrackIndex, read_fragments
from soloist.sinks.mp4_resize import resized

HEADER_BYTES_MAX = 16_384
"""No file of ours is larger before its first frame is in it."""
_ROLL_OF_ENTRY = {b"mp4a": -1, b"Opus": -4}
"""Packets to decode before a seek point: one AAC frame; 80 ms of Opus (RFC 7845 §4.6) in packets of 20 ms."""


def write_index(path: Path, *, largest: tuple[int, int] | None = None) -> None:
    """Make the file at `path` an ordinary indexed MP4 and sync it; a file that is one already is left as it is.

    `largest` is the width and height of the largest picture where pictures changed their size on the way: the file then
    says so. Blocks on the disk. A torn last fragment is cut off.

    Raises:
        InternalError: the file is not one of ours, or the disk refused the index; the fragments stay readable.
    """
    try:
        with path.open("r+b") as file:
            found = read_fragments(file.fileno())
            if found is not None:
                _append(file.fileno(), found, largest)
            os.fsync(file.fileno())
    except OSError as error:
        raise InternalError(
            f"The index of a recording could not be written ({error.strerror}); free the spool's disk."
        ) from error


def _append(fd: int, found: FragmentedFile, largest: tuple[int, int] | None) -> None:
    """Write the new moov behind the fragments, then hide the old one inside an mdat.

    Raises:
        InternalError: much was written and not one fragment of it is whole; it is left for a person to look at.
    """
    torn_bytes = os.fstat(fd).st_size - found.data_end
    if torn_bytes > HEADER_BYTES_MAX and not any(track.sizes for track in found.tracks.values()):
        raise InternalError("Not one fragment of the spooled file is whole; it is left there.")
    os.ftruncate(fd, found.data_end)
    try:
        _write_all(fd, render_moov(found, largest), found.data_end)
        os.fsync(fd)
    except OSError:
        os.ftruncate(fd, found.data_end)
        raise
    span = found.data_end - found.moov_start
    # Some parsers know only 32-bit sizes: they get one wherever it is enough.
    header = struct.pack(">I4s", span, b"mdat") if span < 2**32 else struct.pack(">I4sQ", 1, b"mdat", span)
    os.pwrite(fd, header, found.moov_start)


def _write_all(fd: int, data: bytes, at: int) -> None:
    """Write every byte at an offset; a short write goes on where it stopped."""
    rest = memoryview(data)
    while rest:
        written = os.pwrite(fd, rest, at)
        rest, at = rest[written:], at + written


def render_moov(found: FragmentedFile, largest: tuple[int, int] | None = None) -> bytes:
    """Return a moov with the whole index, codec descriptions and metadata taken from the header moov.

    A declared track that never got a sample is left out (unless none did): players would wait for it.
    """
    moov = found.moov
    mvhd, udta = _part(moov, b"mvhd"), find(moov, 8, len(moov), b"udta")
    (movie_hz,) = struct.unpack_from(">I", mvhd, 20)
    traks = [moov[child.start : child.end] for child in children(moov, 8, len(moov)) if child.kind == b"trak"]
    if largest is not None:
        traks = [resized(trak, *largest) for trak in traks]
    is_empty = not any(track.sizes for track in found.tracks.values())
    rendered = [
        _render_trak(trak, track, movie_hz)
        for trak, track in zip(traks, found.tracks.values(), strict=True)
        if track.sizes or is_empty
    ]
    length = max((length for _, length in rendered), default=0)
    header = _with_duration(mvhd, 16, length)[:-4] + struct.pack(">I", max(found.tracks, default=0) + 1)
    return box(b"moov", header, *(body for body, _ in rendered), moov[udta.start : udta.end] if udta else b"")


def _render_trak(trak: bytes, track: TrackIndex, movie_hz: int) -> tuple[bytes, int]:
    """Return a trak box with its index, and how long it lasts, edits included, in `movie_hz` ticks."""
    boxes = {
        kind: _part(trak, *kind) for kind in ((b"tkhd",), (b"mdia", b"mdhd"), (b"mdia", b"hdlr"), (b"mdia", b"minf"))
    }
    mdhd, minf = boxes[b"mdia", b"mdhd"], boxes[b"mdia", b"minf"]
    (rate_hz,) = struct.unpack_from(">I", mdhd, 20)
    ticks = track.end_ticks - track.start_ticks
    delay, length = (_rescale(value, rate_hz, movie_hz) for value in (track.start_ticks, ticks))
    media = b"".join(
        _stbl(minf[child.start : child.end], track) if child.kind == b"stbl" else minf[child.start : child.end]
        for child in children(minf, 8, len(minf))
    )
    mdia = box(b"mdia", _with_duration(mdhd, 16, ticks), boxes[b"mdia", b"hdlr"], box(b"minf", media))
    edits = _edits(delay, length) if track.sizes and track.start_ticks else b""
    return box(b"trak", _with_duration(boxes[b"tkhd",], 20, delay + length), edits, mdia), delay + length


def _part(data: bytes, *path: bytes) -> bytes:
    """Return the box at `path` inside a container box, header and all."""
    found = find(data, 8, len(data), *path)
    if found is None:
        raise InternalError("The spooled file's header is broken; it is not one of ours.")
    return data[found.start : found.end]


def _rescale(ticks: int, from_hz: int, to_hz: int) -> int:
    """Return `ticks` in another rate, to the nearest."""
    return (ticks * to_hz * 2 + from_hz) // (2 * from_hz)


def _with_duration(header: bytes, at: int, duration: int) -> bytes:
    """Return a version 0 mvhd, mdhd or tkhd with its duration, `at` bytes into the body, set.

    A duration beyond 32 bits makes it version 1, in which both times of day before it are 64 bits wide as well.
    """
    body = header[8:]
    if duration < 2**32:
        return header[:8] + body[:at] + struct.pack(">I", duration) + body[at + 4 :]
    flags, created, changed = struct.unpack_from(">III", body)
    wide = struct.pack(">IQQ", 1 << 24 | flags, created, changed) + body[12:at] + struct.pack(">Q", duration)
    return box(header[4:8], wide, body[at + 4 :])


def _edits(delay: int, length: int) -> bytes:
    """Return an edit list: nothing for `delay`, then the whole track. Spec: ISO/IEC 14496-12 §8.6.6."""
    wide = max(delay, length) >= 2**32
    entry = ">QqI" if wide else ">IiI"
    entries = struct.pack(entry, delay, -1, 1 << 16) + struct.pack(entry, length, 0, 1 << 16)
    return box(b"edts", full_box(b"elst", int(wide), 0, struct.pack(">I", 2), entries))


def _stbl(old: bytes, track: TrackIndex) -> bytes:
    """Return the sample table of a track, its description taken from the old one."""
    description = _part(old, b"stsd")
    entry = description[20:24]
    everything_syncs = len(track.sync) == len(track.sizes)
    return box(
        b"stbl",
        description,
        full_box(b"stts", 0, 0, _runs(track.durations)),
        b""
        if everything_syncs
        else full_box(b"stss", 0, 0, struct.pack(">I", len(track.sync)), _big_endian(track.sync)),
        full_box(b"stsc", 0, 0, _chunk_runs(track.chunk_samples)),
        full_box(b"stsz", 0, 0, struct.pack(">II", 0, len(track.sizes)), _big_endian(track.sizes)),
        _chunk_offsets(track.chunk_offsets),
        _roll(_ROLL_OF_ENTRY[entry], len(track.sizes)) if entry in _ROLL_OF_ENTRY and track.sizes else b"",
    )


def _runs(values: "array[int]") -> bytes:
    """Return the count of runs and, for each, its length and value (stts)."""
    runs = [(sum(1 for _ in group), value) for value, group in groupby(values)]
    return struct.pack(">I", len(runs)) + b"".join(struct.pack(">II", *run) for run in runs)


def _chunk_runs(samples: "array[int]") -> bytes:
    """Return the count of rows and, for each run of equal chunks, first chunk, samples a chunk, 1 (stsc)."""
    rows, chunk = [], 1
    for value, group in groupby(samples):
        rows.append(struct.pack(">III", chunk, value, 1))
        chunk += sum(1 for _ in group)
    return struct.pack(">I", len(rows)) + b"".join(rows)


def _chunk_offsets(offsets: "array[int]") -> bytes:
    """Return stco, or co64 where an offset needs more than 32 bits."""
    count = struct.pack(">I", len(offsets))
    if not offsets or offsets[-1] < 2**32:
        return full_box(b"stco", 0, 0, count, _big_endian(array("I", offsets)))
    return full_box(b"co64", 0, 0, count, _big_endian(offsets))


def _roll(distance: int, samples_count: int) -> bytes:
    """Return the roll group every sample of an audio track belongs to. Spec: ISO/IEC 14496-12 §8.9, §10.1."""
    group = full_box(b"sgpd", 1, 0, b"roll", struct.pack(">IIh", 2, 1, distance))
    return group + full_box(b"sbgp", 0, 0, b"roll", struct.pack(">III", 1, samples_count, 1))


def _big_endian(values: "array[int]") -> bytes:
    """Return a column as big-endian bytes."""
    copy = array(values.typecode, values)
    if sys.byteorder == "little":
        copy.byteswap()
    return copy.tobytes()
