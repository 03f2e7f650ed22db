"""Closing a file that a killed process left open, and reading back what is in it.

MP4 gets its index (`mp4_index` cuts a torn last fragment off); WebM is complete up to its last whole cluster as it is.
Blocks on the disk and reads the whole file: any thread but the media thread and the event loop.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av

from soloist.model.errors import InternalError
from soloist.model.media import Codec, Kind
from soloist.sinks.mp4_index import write_index

NS = 1_000_000_000
HOLE_NS_MIN = {Kind.AUDIO: NS // 20, Kind.VIDEO: 2 * NS}
"""Sound follows itself closely; a picture may stand a while without anything being missing."""


@dataclass(slots=True)
class FoundMedia:
    """What a file holds; times in nanoseconds from its own zero."""

    width: int = 0
    height: int = 0
    channels: int = 0
    codecs: dict[Kind, Codec] = field(default_factory=dict)
    frames: dict[Kind, int] = field(default_factory=dict)
    ends_ns: dict[Kind, int] = field(default_factory=dict)
    holes_ns: list[tuple[Kind, int, int]] = field(default_factory=list)
    """Where a track has nothing, from its zero on: the kind, start and end."""

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


def _read(path: Path) -> FoundMedia:
    found = FoundMedia()
    with av.open(str(path)) as container:
        kinds = {stream.index: Kind(stream.type) for stream in container.streams if stream.type in ("audio", "video")}
        for packet in container.demux():
            kind = kinds.get(packet.stream.index)
            if kind is None or packet.pts is None or packet.time_base is None:
                continue
            found.frames[kind] = found.frames.get(kind, 0) + 1
            _note_hole(found, kind, round(packet.pts * packet.time_base * NS))
            end = Fraction(packet.pts + (packet.duration or 0)) * packet.time_base
            found.ends_ns[kind] = max(found.ends_ns.get(kind, 0), round(end * NS))
        for stream in container.streams.video:
            found.width, found.height = stream.codec_context.width, stream.codec_context.height
            found.codecs[Kind.VIDEO] = Codec(stream.codec_context.name.removeprefix("lib").replace("dav1d", "av1"))
        for sound in container.streams.audio:
            found.channels = sound.codec_context.channels
            found.codecs[Kind.AUDIO] = Codec(sound.codec_context.name.removeprefix("lib"))
    return found


def _note_hole(found: FoundMedia, kind: Kind, start_ns: int) -> None:
    """Note what is missing on a track before a packet, in order of presentation; none of ours are reordered."""
    before_ns = found.ends_ns.get(kind)
    shortest_ns = HOLE_NS_MIN[kind] if before_ns is not None else HOLE_NS_MIN[Kind.AUDIO]
    if start_ns - (before_ns or 0) > shortest_ns:
        found.holes_ns.append((kind, before_ns or 0, start_ns))
