"""What a recorder and its forwarder child say to each other over their socket.

Each message is a type, a length and a payload: samples as they are, everything else as JSON. Both ends are ours, of one
version; a length is bounded all the same.
"""

import json
import struct
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from soloist.model.errors import InternalError
from soloist.model.media import Codec, Kind, Sample

HEADER = struct.Struct(">BI")
PAYLOAD_BYTES_MAX = 32 * 1024 * 1024
_SAMPLE = struct.Struct(">BBqIIHH")
_IS_KEYFRAME = 0x80
_CODECS = tuple(Codec)


class MessageType(IntEnum):
    """What a message is."""

    SAMPLE = 1
    ORDER = 2
    """From the recorder, JSON: `targets` with a number `aim`, `expect`, `hold`, `finish`, and how to go about it."""
    REPORT = 3
    """From the child, JSON: `targets` as `TargetStatus` fields, the last order's `aim`, `wants_keyframe`."""


def encode_sample(sample: Sample) -> bytes:
    """Return a sample as a whole message."""
    codec = _CODECS.index(Codec(sample.codec)) if sample.codec else _CODECS.index(Codec.OPUS)
    flags = codec | (_IS_KEYFRAME if sample.is_keyframe else 0)
    head = _SAMPLE.pack(
        sample.kind is Kind.VIDEO,
        flags,
        sample.pts_ticks,
        min(sample.duration_ticks, 0xFFFFFFFF),
        sample.rate_hz,
        sample.width & 0xFFFF,
        sample.height & 0xFFFF,
    )
    return HEADER.pack(MessageType.SAMPLE, len(head) + len(sample.data)) + head + sample.data


def parse_sample(payload: bytes) -> Sample:
    """Return the sample of a message's payload."""
    is_video, flags, pts, duration, rate_hz, width, height = _SAMPLE.unpack_from(payload)
    return Sample(
        Kind.VIDEO if is_video else Kind.AUDIO,
        pts,
        duration,
        rate_hz,
        is_keyframe=bool(flags & _IS_KEYFRAME),
        data=payload[_SAMPLE.size :],
        codec=_CODECS[flags & ~_IS_KEYFRAME].value,
        width=width,
        height=height,
    )


def encode_json(kind: MessageType, fields: Mapping[str, Any]) -> bytes:
    """Return an order or a report as a whole message."""
    body = json.dumps(fields).encode()
    return HEADER.pack(kind, len(body)) + body


def parse_header(header: bytes) -> tuple[MessageType, int]:
    """Return a message's type and the length of its payload.

    Raises:
        InternalError: the other end has lost its place.
    """
    kind, length = HEADER.unpack(header)
    if kind not in MessageType.__members__.values() or length > PAYLOAD_BYTES_MAX:
        raise InternalError("The forwarder and its recorder do not understand each other.")
    return MessageType(kind), length
