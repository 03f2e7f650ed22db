"""What waits for one target, and what of it is sent: bounded, so that a slow target costs nobody else anything.

When the queue is full all of it is dropped, and pictures go on from the next keyframe (rule R39). Each connection
begins with a keyframe, or with sound where no picture is to be had, and at a time stamp of 0; headers precede what they
describe and come again when it changes. Pure: time is that of the media.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from soloist.forwarding.units import Unit
from soloist.model.media import Codec, Kind
from soloist.wire.flv import (
    FOURCC,
    aac_sequence_header,
    aac_tag,
    avc_sequence_header,
    avc_tag,
    enhanced_sequence_header,
    enhanced_tag,
)

QUEUE_BYTES_MAX = 4 * 1024 * 1024
QUEUE_MS_MAX = 5_000
NO_KEYFRAME_MS = 3_000
"""How long a connection waits for a picture to begin with, while there is sound."""


@dataclass(frozen=True, slots=True)
class Tag:
    """The body of one FLV tag and when it is due, milliseconds from the connection's first."""

    kind: Kind
    at_ms: int
    body: bytes
    is_frame: bool
    """False of headers."""


class Outlet:
    """One target's queue."""

    def __init__(self, *, bytes_max: int = QUEUE_BYTES_MAX, ms_max: int = QUEUE_MS_MAX) -> None:
        self._bytes_max, self._ms_max = bytes_max, ms_max
        self._queue: deque[Unit] = deque()
        self._queue_bytes = 0
        self.is_open = False
        """True while there is a connection to send by."""
        self._awaits_keyframe = True
        self._first_sound_ms: int | None = None
        self._line = _Line()
        self.dropped_count = 0
        """Frames there were and that are not sent."""

    @property
    def wants_keyframe(self) -> bool:
        """True while it waits for one."""
        return self.is_open and self._awaits_keyframe

    @property
    def is_empty(self) -> bool:
        """True if there is nothing to send."""
        return not self._queue

    def open(self) -> None:
        """Begin a connection."""
        self.close()
        self.is_open, self._line = True, _Line()

    def close(self) -> None:
        """End a connection: what waits for it is dropped."""
        self._drop()
        self.is_open, self._awaits_keyframe, self._first_sound_ms = False, True, None

    def offer(self, unit: Unit) -> None:
        """Queue a unit, or drop it."""
        if not self.is_open or not self._admits(unit):
            self.dropped_count += 1
            return
        if self._is_full(unit):
            self._drop()
            if unit.kind is Kind.VIDEO:
                self._awaits_keyframe = not unit.is_keyframe
            if unit.kind is Kind.VIDEO and self._awaits_keyframe:
                self.dropped_count += 1
                return
        self._queue.append(unit)
        self._queue_bytes += len(unit.payload)

    def take(self) -> list[Tag]:
        """Return the next unit as tags, with the headers that must precede it; empty if nothing waits."""
        if not self._queue:
            return []
        unit = self._queue.popleft()
        self._queue_bytes -= len(unit.payload)
        return list(self._line.tags(unit))

    def _admits(self, unit: Unit) -> bool:
        """Return whether a unit can be decoded by who has got what went before."""
        if unit.kind is Kind.VIDEO:
            if unit.is_keyframe:
                self._awaits_keyframe = False
            return not self._awaits_keyframe
        if self._line.has_begun or self._queue or not self._awaits_keyframe:
            return True
        if self._first_sound_ms is None:
            self._first_sound_ms = unit.at_ms
        return unit.at_ms - self._first_sound_ms >= NO_KEYFRAME_MS

    def _is_full(self, unit: Unit) -> bool:
        if not self._queue:
            return False
        is_old = unit.at_ms - self._queue[0].at_ms > self._ms_max
        return is_old or self._queue_bytes + len(unit.payload) > self._bytes_max

    def _drop(self) -> None:
        self._awaits_keyframe |= any(unit.kind is Kind.VIDEO for unit in self._queue)
        self.dropped_count += len(self._queue)
        self._queue.clear()
        self._queue_bytes = 0


class _Line:
    """One connection's sequence of tags."""

    def __init__(self) -> None:
        self._zero_ms: int | None = None
        self._last_ms: dict[Kind, int] = {}
        self._configs: dict[Kind, bytes] = {}

    @property
    def has_begun(self) -> bool:
        """True once anything was sent."""
        return self._zero_ms is not None

    def tags(self, unit: Unit) -> Iterator[Tag]:
        """Yield a unit's tags; those of one kind never go back in time."""
        if self._zero_ms is None:
            self._zero_ms = unit.at_ms
        at_ms = max(unit.at_ms - self._zero_ms, self._last_ms.get(unit.kind, 0))
        self._last_ms[unit.kind] = at_ms
        config = unit.codec.encode() + unit.config
        if unit.config and self._configs.get(unit.kind) != config:
            self._configs[unit.kind] = config
            yield Tag(unit.kind, at_ms, _header(unit), is_frame=False)
        yield Tag(unit.kind, at_ms, _body(unit), is_frame=True)


def _header(unit: Unit) -> bytes:
    if unit.kind is Kind.AUDIO:
        return aac_sequence_header(unit.config)
    if unit.codec is Codec.H264:
        return avc_sequence_header(unit.config)
    return enhanced_sequence_header(unit.codec, unit.config)


def _body(unit: Unit) -> bytes:
    if unit.kind is Kind.AUDIO:
        return aac_tag(unit.payload)
    if unit.codec in FOURCC:
        return enhanced_tag(unit.codec, unit.payload, is_keyframe=unit.is_keyframe)
    return avc_tag(unit.payload, is_keyframe=unit.is_keyframe)
