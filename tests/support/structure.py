"""What a file is made of, as text: boxes, EBML elements or transport packets in order, the sizes of media left out.

Two files of one structure have the same text whatever their encoder made of the pictures. A golden description lies
beside `tests/unit/sinks/test_structures.py`: a muxer that lays a file out differently changes it (rule R22).
`python -m support.structure` in `tests/` writes them anew.
Spec: ISO/IEC 14496-12 §4.2; RFC 9559 §5 (element ids), RFC 8794 §4 (their coding); ISO/IEC 13818-1 §2.4.3.
"""

import struct
import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from support.goldens import Golden, cases, record

GOLDEN = Path(__file__).parents[1] / "unit" / "sinks" / "structures"

_PARENTS = {b"moov", b"trak", b"mdia", b"minf", b"dinf", b"stbl", b"edts", b"mvex", b"moof", b"traf", b"udta"}
_TOLD = {
    b"ftyp",
    b"styp",
    b"mvhd",
    b"tkhd",
    b"mdhd",
    b"elst",
    b"vmhd",
    b"smhd",
    b"dref",
    b"trex",
    b"stts",
    b"stss",
    b"stsc",
    b"dOps",
}
"""Boxes whose bytes depend on no encoder; of the others only that they are there."""
_FLAGGED = {b"tfdt", b"trun", b"mfhd", b"hdlr", b"stsd", b"stsz", b"stco", b"co64", b"meta"}
"""Boxes of which version and flags are told."""
_VISUAL, _SOUND = {b"avc1", b"avc3", b"vp09", b"av01"}, {b"mp4a", b"Opus"}
_ENTRY_HEAD = dict.fromkeys(_VISUAL, 78) | dict.fromkeys(_SOUND, 28)
"""Bytes of a sample entry before the boxes in it."""

_ELEMENTS = {
    0x1A45DFA3: "EBML", 0x4286: "EBMLVersion", 0x42F7: "EBMLReadVersion", 0x42F2: "EBMLMaxIDLength",
    0x42F3: "EBMLMaxSizeLength", 0x4282: "DocType", 0x4287: "DocTypeVersion", 0x4285: "DocTypeReadVersion",
    0x18538067: "Segment", 0x114D9B74: "SeekHead", 0x4DBB: "Seek", 0x53AB: "SeekID", 0x53AC: "SeekPosition",
    0x1549A966: "Info", 0x2AD7B1: "TimestampScale", 0x4489: "Duration", 0x4D80: "MuxingApp", 0x5741: "WritingApp",
    0x73A4: "SegmentUUID", 0x1654AE6B: "Tracks", 0xAE: "TrackEntry", 0xD7: "TrackNumber", 0x73C5: "TrackUID",
    0x83: "TrackType", 0x86: "CodecID", 0x9C: "FlagLacing", 0x22B59C: "Language", 0x23E383: "DefaultDuration",
    0xE0: "Video", 0xB0: "PixelWidth", 0xBA: "PixelHeight", 0x9A: "FlagInterlaced", 0xE1: "Audio", 0x9F: "Channels",
    0xB5: "SamplingFrequency", 0x6264: "BitDepth", 0x63A2: "CodecPrivate", 0x56AA: "CodecDelay",
    0x56BB: "SeekPreRoll", 0x1F43B675: "Cluster", 0xE7: "Timestamp", 0xA3: "SimpleBlock", 0xA0: "BlockGroup",
    0xA1: "Block", 0x9B: "BlockDuration", 0xFB: "ReferenceBlock", 0x1C53BB6B: "Cues", 0xBB: "CuePoint",
    0xB3: "CueTime", 0xB7: "CueTrackPositions", 0xF7: "CueTrack", 0xF1: "CueClusterPosition",
    0xF0: "CueRelativePosition", 0xB2: "CueDuration", 0x1254C367: "Tags", 0x7373: "Tag", 0x63C0: "Targets",
    0x63C5: "TagTrackUID", 0x67C8: "SimpleTag", 0x45A3: "TagName", 0x4487: "TagString", 0xEC: "Void", 0x55B0: "Colour",
}  # fmt: skip
_MASTERS = {
    "EBML", "Segment", "SeekHead", "Seek", "Info", "Tracks", "TrackEntry", "Video", "Audio", "Cluster", "BlockGroup",
    "Cues", "CuePoint", "CueTrackPositions", "Tags", "Tag", "Targets", "SimpleTag",
}  # fmt: skip
_NUMBERS = {
    "DocTypeVersion", "DocTypeReadVersion", "TimestampScale", "TrackNumber", "TrackType", "FlagLacing", "PixelWidth",
    "PixelHeight", "Channels", "CodecDelay", "SeekPreRoll", "Timestamp", "CueTime", "CueTrack", "BlockDuration",
}  # fmt: skip
_TEXTS = {"DocType", "CodecID", "TagName"}


def describe(golden: Golden) -> str:
    """Return the structure of everything a golden recording put into its bucket, manifests aside."""
    parts = []
    for path in sorted(golden.folder.rglob("*")):
        if path.is_file() and path.suffix != ".json":
            parts += [f"{path.name.removeprefix('s_job1_room1_alice_')}:", *_lines_of(path), ""]
    return "\n".join(parts)


def _lines_of(path: Path) -> list[str]:
    data = path.read_bytes()
    if path.suffix == ".m3u8":
        return data.decode().splitlines()
    read = {".webm": _elements, ".ts": _packets}.get(path.suffix, _boxes)
    return _folded(list(read(data, 1)))


def _folded(lines: list[str]) -> list[str]:
    """Return lines with runs of the same one, and of the same two in turn, told once."""
    told = []
    for line, same in groupby(lines):
        count = sum(1 for _ in same)
        told.append(f"{line} x{count}" if count > 1 else line)
    return told


def _boxes(data: bytes, depth: int) -> Iterator[str]:
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1:
            (size,), head = struct.unpack_from(">Q", data, at + 8), 16
        body = data[at + head : at + size]
        yield f"{'  ' * depth}{kind.decode('latin-1')}{_told(kind, body)}"
        inner = _inside(kind, body)
        if inner is not None:
            yield from _boxes(inner, depth + 1)
        at += size
    if at != len(data):
        yield f"{'  ' * depth}{len(data) - at} bytes that are no box"


def _told(kind: bytes, body: bytes) -> str:
    if kind in (b"mvhd", b"tkhd", b"mdhd"):
        # Without the two times at which it was made and changed.
        at = 20 if body[0] else 12
        return f" v{body[0]} {body[at:].hex()}"
    if kind == b"tfhd":
        return f" {_without_size(body).hex()}"
    if kind in _TOLD:
        return f" {body.hex()}"
    if kind in _FLAGGED:
        return f" v{body[0]} {body[1:4].hex()}"
    return f" {struct.unpack_from('>HH', body, 24)}" if kind in _VISUAL else ""


def _without_size(tfhd: bytes) -> bytes:
    """Return a track fragment's head without the default size of its samples. Spec: ISO/IEC 14496-12 §8.8.7."""
    flags = int.from_bytes(tfhd[1:4], "big")
    at = 8 + sum(length for flag, length in ((0x1, 8), (0x2, 4), (0x8, 4)) if flags & flag)
    return tfhd[:at] + tfhd[at + 4 :] if flags & 0x10 else tfhd


def _inside(kind: bytes, body: bytes) -> bytes | None:
    if kind in _PARENTS:
        return body
    if kind == b"stsd":
        return body[8:]
    return body[_ENTRY_HEAD[kind] :] if kind in _ENTRY_HEAD else None


def _elements(data: bytes, depth: int) -> Iterator[str]:
    at = 0
    while at < len(data):
        mark, at = _variable(data, at, keeps_length=True)
        size, at = _variable(data, at)
        body = data[at : at + size]
        name = _ELEMENTS.get(mark, f"{mark:X}")
        yield f"{'  ' * depth}{name}{_value(name, body)}"
        if name in _MASTERS:
            yield from _elements(body, depth + 1)
        at += size


def _value(name: str, body: bytes) -> str:
    if name in _NUMBERS:
        return f" {int.from_bytes(body, 'big')}"
    if name in _TEXTS:
        return f" {body.decode()}"
    # Track number, time within the cluster, flags: a block's head.
    return f" {body[0] & 0x7F} {body[3]:02x}" if name == "SimpleBlock" else ""


def _variable(data: bytes, at: int, *, keeps_length: bool = False) -> tuple[int, int]:
    """Return a number of variable length and where it ends. Spec: RFC 8794 §4."""
    length = 9 - data[at].bit_length()
    number = int.from_bytes(data[at : at + length], "big")
    return (number if keeps_length else number & (1 << 7 * length) - 1), at + length


def _packets(data: bytes, depth: int) -> Iterator[str]:
    """Yield the packets that begin a table or a frame: which stream, and what its adaptation field says."""
    for at in range(0, len(data), 188):
        packet = data[at : at + 188]
        if packet[0] != 0x47:
            yield f"{'  ' * depth}no packet"
            continue
        (head,) = struct.unpack_from(">H", packet, 1)
        pid, begins = head & 0x1FFF, bool(head & 0x4000)
        has_field = bool(packet[3] & 0x20) and packet[4] > 0
        flags = packet[5] & 0xF0 if has_field else 0
        if not begins:
            continue
        payload = packet[5 + packet[4] if packet[3] & 0x20 else 4 :]
        is_frame = payload[:3] == b"\0\0\1"
        # Of a frame its stream id and which times it has; of a table all but its stuffing.
        what = f"{payload[3]:02x} {payload[7] >> 6}" if is_frame else payload.rstrip(b"\xff").hex()
        yield f"{'  ' * depth}{pid} {flags:02x} {what}"


def write(folder: Path = GOLDEN) -> None:
    """Write the golden description of every case anew."""
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for case in cases():
            (folder / f"{case.name}.txt").write_text(describe(record(case, Path(scratch))))


if __name__ == "__main__":
    write()
