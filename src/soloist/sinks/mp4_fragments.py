"""Reading back the fragments of an MP4 of ours: what samples it holds, where they lie and when they are shown.

Reads headers only, never media, and holds 8 bytes a sample while it does. A torn tail (the process was killed while
it wrote) is left out; so is a fragment that the disk damaged, and what follows it is found again.
Spec: ISO/IEC 14496-12 §8.8 (movie fragments).
"""

import os
import struct
import sys
from array import array
from dataclasses import dataclass, field

from soloist.model.errors import InternalError
from soloist.sinks.boxes import Box, children, find, parse_header

_HEAD_BYTES = 4096
"""One read usually covers a whole moof and the header of its mdat."""
_FRAGMENT_MARK = b"moof\0\0\0\x10mfhd"
"""How every fragment begins, after the four bytes of its size. Spec: ISO/IEC 14496-12 §8.8.4, §8.8.5."""
_SEARCH_BYTES = 1 << 20
_RUN_SAMPLES_MAX = 1 << 20
_NOT_SYNC = 0x10000
"""sample_is_non_sync_sample, ISO/IEC 14496-12 §8.8.3.1."""


@dataclass(slots=True)
class TrackIndex:
    """All samples of one track; the columns run in parallel."""

    track_id: int
    sizes: "array[int]" = field(default_factory=lambda: array("I"))
    """Bytes of each sample."""
    durations: "array[int]" = field(default_factory=lambda: array("I"))
    """Ticks of each sample in the track's time scale."""
    sync: "array[int]" = field(default_factory=lambda: array("I"))
    """Numbers, from 1, of the samples decoding can start at."""
    chunk_offsets: "array[int]" = field(default_factory=lambda: array("Q"))
    """File offset of each run of samples."""
    chunk_samples: "array[int]" = field(default_factory=lambda: array("I"))
    """How many samples each run has."""
    start_ticks: int = 0
    """When the first sample is shown."""
    end_ticks: int = 0
    """When the last sample ends."""


@dataclass(slots=True)
class FragmentedFile:
    """What was found in the file."""

    moov: bytes
    """The first moov box, whole."""
    moov_start: int
    data_end: int
    """Offset just after the last whole fragment."""
    tracks: dict[int, TrackIndex]


def read_fragments(fd: int) -> FragmentedFile | None:
    """Return what an open fragmented file holds; None if it is an ordinary indexed file already.

    Raises:
        InternalError: the file has no header, or fragments of a kind we never write.
    """
    size = os.fstat(fd).st_size
    moov = _first_moov(fd, size)
    if moov is None:
        return None
    data = os.pread(fd, moov.end - moov.start, moov.start)
    body = moov.body - moov.start
    tracks = {track_id: TrackIndex(track_id) for track_id in _track_ids(data, body)}
    defaults = {track_id: values for track_id, *values in _track_extends(data, body)}
    at = moov.end
    while (fragment := _next_fragment(fd, at, size) or _fragment_after(fd, at, size)) is not None:
        moof, at = fragment
        _add_fragment(moof, at, tracks, defaults)
        at = _end_of_mdat(fd, at + len(moof))
    return FragmentedFile(data, moov.start, at, tracks)


def _first_moov(fd: int, size: int) -> Box | None:
    """Return the header moov that follows ftyp; None if the file begins as an indexed one does (ftyp, mdat)."""
    at = 0
    while head := parse_header(os.pread(fd, 16, at), 0, at):
        if head.kind == b"moov" and head.end <= size:
            return head
        if head.kind == b"mdat":
            return None
        at = head.end
    raise InternalError("The spooled file has no whole header; nothing of it can be played.")


def _track_ids(moov: bytes, body: int) -> list[int]:
    """Return the ids of the declared tracks, in order."""
    headers = [
        find(moov, trak.body, trak.end, b"tkhd") for trak in children(moov, body, len(moov)) if trak.kind == b"trak"
    ]
    return [struct.unpack_from(">I", moov, head.body + (20 if moov[head.body] else 12))[0] for head in headers if head]


def _track_extends(moov: bytes, body: int) -> list[tuple[int, ...]]:
    """Return (track id, default duration, default size, default flags) of each trex box."""
    mvex = find(moov, body, len(moov), b"mvex")
    if mvex is None:
        raise InternalError("The spooled file does not announce fragments; it is not one of ours.")
    rows = [
        struct.unpack_from(">5I", moov, trex.body + 4)
        for trex in children(moov, mvex.body, mvex.end)
        if trex.kind == b"trex"
    ]
    return [(track_id, duration, size, flags) for track_id, _description, duration, size, flags in rows]


def _next_fragment(fd: int, at: int, size: int) -> tuple[bytes, int] | None:
    """Return the moof at `at` and that offset, if it and the mdat behind it are wholly on the disk."""
    head = os.pread(fd, _HEAD_BYTES, at)
    moof = parse_header(head, 0)
    if moof is None or moof.kind != b"moof" or at + moof.end > size:
        return None
    data = head[: moof.end] if moof.end <= len(head) else os.pread(fd, moof.end, at)
    mdat = parse_header(os.pread(fd, 16, at + moof.end), 0, at + moof.end)
    return (data, at) if mdat is not None and mdat.kind == b"mdat" and mdat.end <= size else None


def _fragment_after(fd: int, at: int, size: int) -> tuple[bytes, int] | None:
    """Return the first whole fragment that begins after `at`, where there is none, as `_next_fragment` does."""
    at += 5
    while at < size:
        found = os.pread(fd, _SEARCH_BYTES + len(_FRAGMENT_MARK) - 1, at).find(_FRAGMENT_MARK)
        if found < 0:
            at += _SEARCH_BYTES
        elif fragment := _next_fragment(fd, at + found - 4, size):
            return fragment
        else:
            at += found + 1
    return None


def _end_of_mdat(fd: int, at: int) -> int:
    """Return the offset behind the mdat at `at`, which `_next_fragment` has found whole."""
    mdat = parse_header(os.pread(fd, 16, at), 0, at)
    return mdat.end if mdat else at


def _add_fragment(moof: bytes, moof_at: int, tracks: dict[int, TrackIndex], defaults: dict[int, list[int]]) -> None:
    """Append the samples of one moof, which lies at file offset `moof_at`, to their tracks."""
    for traf in children(moof, 8, len(moof)):
        if traf.kind != b"traf":
            continue
        tfhd = find(moof, traf.body, traf.end, b"tfhd")
        tfdt = find(moof, traf.body, traf.end, b"tfdt")
        if tfhd is None or tfdt is None:
            raise InternalError("A fragment without tfhd or tfdt; it is not one of ours.")
        track_id, base, values = _parse_tfhd(moof, tfhd.body, moof_at, defaults)
        track = tracks[track_id]
        _place(track, struct.unpack_from(">Q" if moof[tfdt.body] else ">I", moof, tfdt.body + 4)[0])
        for trun in children(moof, traf.body, traf.end):
            if trun.kind == b"trun":
                _add_run(track, moof[trun.body : trun.end], base, values)


def _parse_tfhd(moof: bytes, at: int, moof_at: int, defaults: dict[int, list[int]]) -> tuple[int, int, list[int]]:
    """Return (track id, base offset of data, [default duration, size, flags]). Spec: ISO/IEC 14496-12 §8.8.7."""
    flags, track_id = struct.unpack_from(">II", moof, at)
    at += 8
    base, values = moof_at, list(defaults[track_id])
    if flags & 0x1:
        (base,) = struct.unpack_from(">Q", moof, at)
        at += 8
    if flags & 0x2:
        at += 4
    for index, bit in enumerate((0x8, 0x10, 0x20)):
        if flags & bit:
            (values[index],) = struct.unpack_from(">I", moof, at)
            at += 4
    return track_id, base, values


def _place(track: TrackIndex, decode_ticks: int) -> None:
    """Let the next sample begin at `decode_ticks`: a hole before it belongs to the sample before it."""
    if not track.sizes:
        track.start_ticks = track.end_ticks = decode_ticks
        return
    track.durations[-1] = max(track.durations[-1] + decode_ticks - track.end_ticks, 0)
    track.end_ticks = decode_ticks


def _add_run(track: TrackIndex, run: bytes, base: int, values: list[int]) -> None:
    """Append one trun box's samples. Spec: ISO/IEC 14496-12 §8.8.8."""
    flags, count = struct.unpack_from(">II", run)
    if flags & 0x800:
        raise InternalError("A fragment with composition offsets; it is not one of ours.")
    if count > _RUN_SAMPLES_MAX:
        raise InternalError("A fragment of more samples than a second has; it is damaged.")
    at, offset, first_flags = 8, 0, values[2]
    if flags & 0x1:
        (offset,) = struct.unpack_from(">i", run, at)
        at += 4
    if flags & 0x4:
        (first_flags,) = struct.unpack_from(">I", run, at)
        at += 4
    columns = [bit for bit in (0x100, 0x200, 0x400) if flags & bit]
    words = array("I", run[at : at + 4 * count * len(columns)])
    if sys.byteorder == "little":
        words.byteswap()
    durations, sizes, sample_flags = (
        words[columns.index(bit) :: len(columns)] if bit in columns else array("I", [default]) * count
        for bit, default in zip((0x100, 0x200, 0x400), values, strict=True)
    )
    if flags & 0x4 and count:
        sample_flags[0] = first_flags
    number = len(track.sizes) + 1
    track.sync.extend(number + index for index, value in enumerate(sample_flags) if not value & _NOT_SYNC)
    track.sizes.extend(sizes)
    track.durations.extend(durations)
    track.end_ticks += sum(durations)
    track.chunk_offsets.append(base + offset)
    track.chunk_samples.append(count)
