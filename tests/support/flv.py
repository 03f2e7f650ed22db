"""An FLV file taken apart, independently of what made it: its tags, and what H.264 pictures are in it."""

from dataclasses import dataclass
from pathlib import Path

AUDIO, VIDEO, SCRIPT = 8, 9, 18


@dataclass(frozen=True)
class FlvTag:
    kind: int
    at_ms: int
    body: bytes

    @property
    def is_header(self):
        """A sequence header: AVC or AAC packet type 0."""
        return self.kind != SCRIPT and self.body[1:2] == b"\0"

    @property
    def is_keyframe(self):
        return self.kind == VIDEO and self.body[0] >> 4 & 7 == 1

    @property
    def nal_units(self):
        """The NAL units of a picture."""
        units, at = [], 5
        while at < len(self.body):
            length = int.from_bytes(self.body[at : at + 4], "big")
            units.append(self.body[at + 4 : at + 4 + length])
            at += 4 + length
        return units


def read_flv(path: Path) -> list[FlvTag]:
    """Return the whole tags of a file that may still grow."""
    data, tags, at = path.read_bytes(), [], 13
    while at + 11 <= len(data):
        kind, size = data[at], int.from_bytes(data[at + 1 : at + 4], "big")
        time = int.from_bytes(data[at + 4 : at + 7], "big") | data[at + 7] << 24
        if at + 11 + size > len(data):
            break
        tags.append(FlvTag(kind, time, data[at + 11 : at + 11 + size]))
        at += 15 + size
    return tags


def pictures(path: Path) -> list[FlvTag]:
    """Return the coded pictures of a file."""
    return [tag for tag in read_flv(path) if tag.kind == VIDEO and not tag.is_header]


def sounds(path: Path) -> list[FlvTag]:
    """Return the AAC frames of a file."""
    return [tag for tag in read_flv(path) if tag.kind == AUDIO and not tag.is_header]
