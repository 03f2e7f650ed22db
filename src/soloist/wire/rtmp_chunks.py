"""RTMP's chunk stream, both ways: messages cut into chunks of several streams that share one connection.

Pure: bytes in, messages out, and the other way round. A message grows as its bytes arrive, never by its declared
length; lengths, and the number of chunk streams, have limits a server that answers a publisher stays far below. Time
stamps of what comes in are not kept: nothing a server tells a publisher has a place in time.
Spec: Adobe's Real Time Messaging Protocol specification 1.0 §5.3 (chunking), §5.4.1 (chunk size).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from soloist.model.errors import DestinationError

CHUNK_BYTES_DEFAULT = 128
"""Spec: §5.3, until a Set Chunk Size message says otherwise."""
CHUNK_BYTES_MAX = 0xFFFFFF
MESSAGE_BYTES_MAX = 64 * 1024
"""Of what a server may send to a publisher: answers and status texts, a few hundred bytes each."""
CHUNK_STREAMS_MAX = 64
EXTENDED = 0xFFFFFF
"""A time stamp field of this value says that 32 bits of it follow."""
_HEADER_BYTES = (11, 7, 3, 0)
"""Of a message header by the chunk's format: the later ones repeat what came before. Spec: §5.3.1.2."""


class RtmpError(DestinationError):
    """The RTMP server does not speak RTMP as specified; check the address."""


@dataclass(frozen=True, slots=True)
class Message:
    """One whole RTMP message."""

    type_id: int
    stream_id: int
    """Message stream; 0 for control and connection commands."""
    payload: bytes


@dataclass(frozen=True, slots=True)
class _Header:
    """What a chunk stream's next chunks repeat."""

    length: int = 0
    type_id: int = 0
    stream_id: int = 0
    is_extended: bool = False


@dataclass(slots=True)
class _Incoming:
    """A chunk stream that is being read."""

    header: _Header = _Header()
    payload: bytearray = field(default_factory=bytearray)


class ChunkReader:
    """Puts messages together from what arrives."""

    def __init__(self) -> None:
        self._chunk_bytes = CHUNK_BYTES_DEFAULT
        self._buffer = bytearray()
        self._streams: dict[int, _Incoming] = {}

    def set_chunk_size(self, size: int) -> None:
        """Expect chunks of this size from now on. Spec: §5.4.1.

        Raises:
            RtmpError: the size is none.
        """
        if not 1 <= size <= 0x7FFFFFFF:
            raise RtmpError(f"the RTMP server announces chunks of {size} bytes")
        self._chunk_bytes = min(size, CHUNK_BYTES_MAX)

    def feed(self, data: bytes) -> Iterator[Message]:
        """Add what arrived and yield the messages it completes; a size set between two holds from the next on.

        Raises:
            RtmpError: it is no chunk stream, or has a message too large for an answer.
        """
        self._buffer += data
        while (found := self._next_chunk()) is not None:
            if isinstance(found, Message):
                yield found

    def _next_chunk(self) -> Message | bool | None:
        """Take a chunk in: return the message it completes, False if that goes on, None if the chunk is not whole."""
        basic = _basic_header(self._buffer)
        if basic is None:
            return None
        layout, chunk_stream_id, at = basic
        stream = self._stream(chunk_stream_id)
        read = _message_header(self._buffer, at, layout, stream.header)
        if read is None:
            return None
        header, at = read
        if stream.payload and layout != 3:
            raise RtmpError("the RTMP server begins a message before the one before it is whole")
        if header.length > MESSAGE_BYTES_MAX:
            raise RtmpError(f"the RTMP server sends a message of {header.length} bytes")
        take = min(self._chunk_bytes, header.length - len(stream.payload))
        if len(self._buffer) < at + take:
            return None
        stream.header = header
        stream.payload += self._buffer[at : at + take]
        del self._buffer[: at + take]
        if len(stream.payload) < header.length:
            return False
        payload, stream.payload = bytes(stream.payload), bytearray()
        return Message(header.type_id, header.stream_id, payload)

    def _stream(self, chunk_stream_id: int) -> _Incoming:
        if chunk_stream_id not in self._streams and len(self._streams) >= CHUNK_STREAMS_MAX:
            raise RtmpError(f"the RTMP server opens more than {CHUNK_STREAMS_MAX} chunk streams")
        return self._streams.setdefault(chunk_stream_id, _Incoming())


def _basic_header(buffer: bytearray) -> tuple[int, int, int] | None:
    """Return a chunk's format, its chunk stream and where its message header begins; None if more is to come.

    Spec: §5.3.1.1.
    """
    if not buffer:
        return None
    layout, low = buffer[0] >> 6, buffer[0] & 0x3F
    if low > 1:
        return layout, low, 1
    if len(buffer) < 2 + low:
        return None
    return layout, 64 + int.from_bytes(buffer[1 : 2 + low], "little"), 2 + low


def _message_header(buffer: bytearray, at: int, layout: int, last: _Header) -> tuple[_Header, int] | None:
    """Return a chunk's header and where its payload begins; None if more is to come. Spec: §5.3.1.2, §5.3.1.3."""
    end = at + _HEADER_BYTES[layout]
    if len(buffer) < end:
        return None
    header = last
    if layout < 3:
        header = replace(header, is_extended=int.from_bytes(buffer[at : at + 3], "big") == EXTENDED)
    if layout < 2:
        header = replace(header, length=int.from_bytes(buffer[at + 3 : at + 6], "big"), type_id=buffer[at + 6])
    if layout == 0:
        header = replace(header, stream_id=int.from_bytes(buffer[at + 7 : at + 11], "little"))
    if header.is_extended:
        end += 4
    return (header, end) if len(buffer) >= end else None


def encode_message(message: Message, timestamp_ms: int, chunk_stream_id: int, chunk_bytes: int) -> bytes:
    """Return a message in chunks of at most `chunk_bytes`; `chunk_stream_id` is 2 to 63.

    The first chunk says everything (format 0), so that nothing depends on what was sent before; the others nothing but,
    where it does not fit its field, the time stamp again. Spec: §5.3.1.2.4, §5.3.1.3.
    """
    timestamp_ms &= 0xFFFFFFFF
    is_extended = timestamp_ms >= EXTENDED
    extension = struct.pack(">I", timestamp_ms) if is_extended else b""
    field_ms = EXTENDED if is_extended else timestamp_ms
    payload = message.payload
    parts = [
        bytes((chunk_stream_id,)),
        field_ms.to_bytes(3, "big"),
        len(payload).to_bytes(3, "big"),
        bytes((message.type_id,)),
        message.stream_id.to_bytes(4, "little"),
        extension,
        payload[:chunk_bytes],
    ]
    next_chunk = bytes((0xC0 | chunk_stream_id,)) + extension
    for at in range(chunk_bytes, len(payload), chunk_bytes):
        parts += [next_chunk, payload[at : at + chunk_bytes]]
    return b"".join(parts)
