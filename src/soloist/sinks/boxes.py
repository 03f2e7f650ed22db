"""Boxes of the ISO base media file format: making them and finding them; nothing about what they mean.

Spec: ISO/IEC 14496-12 §4.2.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Box:
    """Where a box lies in the bytes it was found in."""

    kind: bytes
    start: int
    """Offset of its size field."""
    body: int
    """Offset of its first byte after the header."""
    end: int


def box(kind: bytes, *parts: bytes) -> bytes:
    """Return a box of `kind` around the joined parts; at most 4 GiB."""
    body = b"".join(parts)
    return struct.pack(">I4s", len(body) + 8, kind) + body


def full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    """Return a box that begins with a version and 24 bits of flags."""
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def parse_header(data: bytes, at: int, base: int = 0) -> Box | None:
    """Return the box whose header begins at `at`, its offsets raised by `base`; None if the header is cut or absurd."""
    if len(data) - at < 8:
        return None
    size, kind = struct.unpack_from(">I4s", data, at)
    header_bytes = 8
    if size == 1:
        if len(data) - at < 16:
            return None
        (size,), header_bytes = struct.unpack_from(">Q", data, at + 8), 16
    if size < header_bytes:
        return None
    return Box(kind, base + at, base + at + header_bytes, base + at + size)


def children(data: bytes, start: int, end: int) -> Iterator[Box]:
    """Yield the boxes between two offsets; stops at the first that does not fit."""
    while start < end and (found := parse_header(data, start)) and found.end <= end:
        yield found
        start = found.end


def find(data: bytes, start: int, end: int, *path: bytes) -> Box | None:
    """Return the first box at the end of `path` (kinds from the outside in); None if there is none."""
    found = next((child for child in children(data, start, end) if child.kind == path[0]), None)
    return found if found is None or len(path) == 1 else find(data, found.body, found.end, *path[1:])
