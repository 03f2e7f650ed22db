"""Action Message Format 0, as far as RTMP commands and metadata need it, both ways.

Numbers, truth values, text, objects, ECMA and strict arrays, dates, null and undefined. What is read costs no more
memory than the bytes it came in: a declared count is never believed, nesting ends at `DEPTH_MAX`. References and typed
objects are refused; no server answers a publisher with them. Spec: AMF 0 File Format Specification (Adobe, 2007).
"""

import struct
from collections.abc import Mapping
from typing import TypeAlias

from soloist.model.errors import DestinationError

DEPTH_MAX = 8
"""Objects within objects; a server's answer to `connect` has two."""

Value: TypeAlias = "float | bool | str | dict[str, Value] | list[Value] | None"

_NUMBER, _BOOLEAN, _STRING, _OBJECT, _NULL, _UNDEFINED = 0x00, 0x01, 0x02, 0x03, 0x05, 0x06
_ECMA_ARRAY, _OBJECT_END, _STRICT_ARRAY, _DATE, _LONG_STRING = 0x08, 0x09, 0x0A, 0x0B, 0x0C
_STRING_BYTES_MAX = 0xFFFF


class AmfError(DestinationError):
    """The RTMP server sent a command that cannot be read; it may not be an RTMP server."""


def encode_amf0(*values: object) -> bytes:
    """Return values one after the other; whole numbers become numbers, mappings objects."""
    return b"".join(_encode(value) for value in values)


def encode_ecma_array(values: Mapping[str, object]) -> bytes:
    """Return a mapping as an ECMA array, which metadata are by custom. Spec: AMF 0 §2.10."""
    return struct.pack(">BI", _ECMA_ARRAY, len(values)) + _properties(values)


def parse_amf0(data: bytes) -> list[Value]:
    """Return the values in `data`.

    Raises:
        AmfError: it is no whole number of values, or nested too deeply.
    """
    reader = _Reader(data)
    values: list[Value] = []
    while reader.at < len(data):
        values.append(reader.value(DEPTH_MAX))
    return values


def _encode(value: object) -> bytes:  # noqa: PLR0911 - a table of types
    if value is None:
        return bytes((_NULL,))
    if isinstance(value, bool):
        return bytes((_BOOLEAN, value))
    if isinstance(value, int | float):
        return struct.pack(">Bd", _NUMBER, value)
    if isinstance(value, str):
        text = value.encode()
        if len(text) > _STRING_BYTES_MAX:
            return struct.pack(">BI", _LONG_STRING, len(text)) + text
        return struct.pack(">BH", _STRING, len(text)) + text
    if isinstance(value, Mapping):
        return bytes((_OBJECT,)) + _properties(value)
    if isinstance(value, list | tuple):
        return struct.pack(">BI", _STRICT_ARRAY, len(value)) + encode_amf0(*value)
    raise TypeError(f"{type(value).__name__} has no form in AMF 0")


def _properties(values: Mapping[str, object]) -> bytes:
    pairs = [_encode(name)[1:] + _encode(value) for name, value in values.items()]
    return b"".join(pairs) + b"\0\0" + bytes((_OBJECT_END,))


class _Reader:
    """A place in the bytes of one message."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def value(self, depth: int) -> Value:
        """Return the next value; `depth` more may be nested in it."""
        if depth <= 0:
            raise AmfError("the RTMP server nests its answer too deeply")
        marker = self._take(1)[0]
        if marker == _NUMBER:
            number: float = struct.unpack(">d", self._take(8))[0]
            return number
        if marker == _BOOLEAN:
            return self._take(1)[0] != 0
        if marker in (_STRING, _LONG_STRING):
            return self._text(2 if marker == _STRING else 4)
        if marker in (_NULL, _UNDEFINED):
            return None
        if marker == _DATE:
            moment: float = struct.unpack(">d", self._take(10)[:8])[0]
            return moment
        return self._compound(marker, depth - 1)

    def _compound(self, marker: int, depth: int) -> Value:
        if marker == _OBJECT:
            return self._object(depth)
        if marker == _ECMA_ARRAY:
            self._take(4)  # A count that servers get wrong; the end is marked.
            return self._object(depth)
        if marker == _STRICT_ARRAY:
            count = int.from_bytes(self._take(4), "big")
            values: list[Value] = []
            while len(values) < count:  # Ends with the data at the latest: each value takes a byte.
                values.append(self.value(depth))
            return values
        raise AmfError(f"the RTMP server sent a value of the unknown type {marker}")

    def _object(self, depth: int) -> dict[str, Value]:
        found: dict[str, Value] = {}
        while True:
            name = self._text(2)
            if not name and self._data[self.at : self.at + 1] == bytes((_OBJECT_END,)):
                self.at += 1
                return found
            found[name] = self.value(depth)

    def _text(self, length_bytes: int) -> str:
        length = int.from_bytes(self._take(length_bytes), "big")
        return self._take(length).decode("utf-8", "replace")

    def _take(self, count: int) -> bytes:
        taken = self._data[self.at : self.at + count]
        if len(taken) < count:
            raise AmfError("the RTMP server sent a command that ends too soon")
        self.at += count
        return taken
