"""Closing a file that a killed process left open, and reading back what is in it.

MP4 gets its index (`mp4_index` cuts a torn last fragment off); WebM is complete up to its last whole cluster as it is.
Blocks on the disk and reads the whole file: any thread but the media thread and the event loop.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

from soloist.model.errors import InternalError
from soloist.model.media import Codec, Kind
from soloist.sinks.boxes import children
from soloist.sinks.mp4_index import write_index
from soloist.sinks.still import BLACK_PICTURES
from soloist.wire.clock import NS

_TS_PACKET_BYTES = 188
_TS_TABLE_PIDS = frozenset({0, 17, 4096})
"""PAT, SDT and, as our muxer numbers it, PMT."""
_BLACK = tuple(BLACK_PICTURES.values())
"""How packets of black pictures end; in TS a delimiter is before them."""
HOLE_NS_MIN = {Kind.AUDIO: NS // 20, Kind.VIDEO: 2 * NS}
"""Sound follows itself closely; a picture may stand a while without anything being missing."""


@dataclass(slots=True)
class FoundMedia:
    """What a file holds of its sender's, without black pictures of ours; times in nanoseconds from its own zero."""

    width: int = 0
    height: int = 0
    channels: int = 0
    codecs: dict[Kind, Codec] = field(default_factory=dict)
    frames: dict[Kind, int] = field(default_factory=dict)
    starts_ns: dict[Kind, int] = field(default_factory=dict)
    ends_ns: dict[Kind, int] = field(default_factory=dict)
    holes_ns: list[tuple[Kind, int, int]] = field(default_factory=list)
    """Where a track has nothing, from its zero to where the longest track ends: the kind, start and end."""

    def told_until_ns(self, kind: Kind) -> int:
        """Return until when is known what there is of a track, be it that there is nothing."""
        return max([self.ends_ns[kind], *(end_ns for holed, _, end_ns in self.holes_ns if holed is kind)])

    @property
    def is_empty(self) -> bool:
        """True if there is nothing to keep."""
        return not any(self.frames.values())


def repair(path: Path) -> FoundMedia:
    """Make the file at `path` an ordinary one again and return what is in it; empty if nothing was written.

    Raises:
        InternalError: the file is none of ours, or the disk refused the index.
    """
    if path.stat().st_size == 0:
        return FoundMedia()
    try:
        if path.suffix == ".mp4":
            write_index(path)
        return _read(path)
    except InternalError:
        raise
    except Exception as error:
        # Whatever the disk made of it, and whatever a reader makes of that: one file that stays where it is.
        raise InternalError(f"{path.name} in the spool cannot be read ({error}); it is left there.") from error


def repair_segment(path: Path, init: Path | None, *, is_torn: bool) -> FoundMedia:
    """Cut a segment of a playlist to what is whole in it, if it `is_torn`, and return that; empty if nothing is.

    `init` is the initialisation section of an fMP4 segment. Times count from the zero its playlist had when it was
    written; those of MPEG-TS begin anew every 26.5 hours.

    Raises:
        InternalError: the disk refused, or the segment is none of ours.
    """
    try:
        with path.open("r+b") as file:
            data = file.read()
            if is_torn:
                data = data[: whole_ts_bytes(data) if init is None else whole_fragments_bytes(data)]
                file.truncate(len(data))
        if not data:
            return FoundMedia()
        # A transport stream of less than two kilobytes would not be taken for one.
        name = "mp4" if init else "mpegts"
        with av.open(io.BytesIO((init.read_bytes() if init else b"") + data), mode="r", format=name) as container:
            return _found(container)
    except Exception as error:
        raise InternalError(f"{path.name} in the spool cannot be read ({error}); it is left there.") from error


def whole_ts_bytes(data: bytes) -> int:
    """Return how much of an MPEG-TS segment is whole frames: all but the last, which nothing follows that ends it.

    Frames lie one after the other, each in packets of its own. Spec: ISO/IEC 13818-1 §2.4.3.2 (payload unit start).
    """
    at = len(data) // _TS_PACKET_BYTES * _TS_PACKET_BYTES
    while at > 0:
        at -= _TS_PACKET_BYTES
        pid = (data[at + 1] & 0x1F) << 8 | data[at + 2]
        if data[at + 1] & 0x40 and pid not in _TS_TABLE_PIDS:
            return at if _has_frame(data, at) else 0
    return 0


def _has_frame(data: bytes, until: int) -> bool:
    """Return whether a frame begins before an offset."""
    return any(
        data[at + 1] & 0x40 and ((data[at + 1] & 0x1F) << 8 | data[at + 2]) not in _TS_TABLE_PIDS
        for at in range(0, until, _TS_PACKET_BYTES)
    )


def whole_fragments_bytes(data: bytes) -> int:
    """Return how much of an fMP4 segment is whole fragments: a moof and its mdat. Spec: ISO/IEC 14496-12 §8.8."""
    whole = 0
    for found in children(data, 0, len(data)):
        if found.kind == b"mdat":
            whole = found.end
    return whole


def _read(path: Path) -> FoundMedia:
    with av.open(str(path)) as container:
        found = _found(container)
        for stream in container.streams.video:
            found.codecs[Kind.VIDEO] = Codec(stream.codec_context.name.removeprefix("lib").replace("dav1d", "av1"))
        for sound in container.streams.audio:
            found.codecs[Kind.AUDIO] = Codec(sound.codec_context.name.removeprefix("lib"))
    return found


def _found(container: InputContainer) -> FoundMedia:
    """Return what an open file holds, but for its codecs: a short segment does not always tell."""
    found = FoundMedia()
    usual_ns: dict[Kind, int] = {}
    kinds = {stream.index: Kind(stream.type) for stream in container.streams if stream.type in ("audio", "video")}
    for packet in _sent(container):
        kind = kinds.get(packet.stream.index)
        if kind is None or packet.pts is None or packet.time_base is None:
            continue
        found.frames[kind] = found.frames.get(kind, 0) + 1
        start_ns = round(packet.pts * packet.time_base * NS)
        _note_hole(found, kind, start_ns)
        found.starts_ns.setdefault(kind, start_ns)
        lasts_ns = round(Fraction(packet.duration or 0) * packet.time_base * NS)
        # In MP4 a sample lasts until the next, over a hole as well: then it is taken for as long as the one before it.
        usual_ns[kind] = lasts_ns if lasts_ns <= HOLE_NS_MIN[kind] else usual_ns.get(kind, 0)
        found.ends_ns[kind] = max(found.ends_ns.get(kind, 0), start_ns + usual_ns[kind])
    for kind in found.ends_ns:
        _note_hole(found, kind, max(found.ends_ns.values()))
    for stream in container.streams.video if Kind.VIDEO in found.frames else ():
        found.width, found.height = stream.codec_context.width, stream.codec_context.height
    for sound in container.streams.audio:
        found.channels = sound.codec_context.channels
    return found


def _sent(container: InputContainer) -> "Iterator[Packet[Stream]]":
    """Yield the sender's packets, without those a playlist shows beside: black, and a keyframe that comes again."""
    held: Packet[Stream] | None = None
    for packet in container.demux():
        if packet.stream.type != "video":
            yield packet
        elif not (packet.is_keyframe and bytes(packet).endswith(_BLACK)):
            if held is not None and not (held.is_keyframe and packet.is_keyframe and bytes(held) == bytes(packet)):
                yield held
            held = packet
    if held is not None:
        yield held


def _note_hole(found: FoundMedia, kind: Kind, start_ns: int) -> None:
    """Note what is missing on a track before a packet, in order of presentation; none of ours are reordered."""
    before_ns = found.ends_ns.get(kind)
    shortest_ns = HOLE_NS_MIN[kind] if before_ns is not None else HOLE_NS_MIN[Kind.AUDIO]
    if start_ns - (before_ns or 0) > shortest_ns:
        found.holes_ns.append((kind, before_ns or 0, start_ns))
