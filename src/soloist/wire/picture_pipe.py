"""How pictures travel to the child process that transcodes them, and back: a head of fixed size, then the coded bytes.

Both ways the same head: flags, size of the picture in pixels, length in bytes, presentation time in ticks of 90 kHz.
One message comes back for each message sent, in order. Pure.
"""

import struct
from dataclasses import dataclass
from enum import IntFlag

_HEAD = struct.Struct(">BHHIq")
HEAD_BYTES = _HEAD.size
LENGTH_BYTES_MAX = 16 << 20
"""No picture is larger: what claims to be is not one of ours."""


class Flag(IntFlag):
    """What is said of a picture beside its time."""

    KEYFRAME = 1
    """Decoding can start here; the transcoded picture is then one as well."""
    FORCED = 2
    """A cut is due: the transcoded picture is to be a keyframe whatever this one is."""
    FAILED = 4
    """Of an answer: the picture could not be transcoded; so can none until the next keyframe."""


@dataclass(frozen=True, slots=True)
class PipedPicture:
    """One message."""

    flags: Flag
    pts_ticks: int
    data: bytes
    """Empty in an answer to a picture that is never shown, or failed."""
    width: int = 0
    height: int = 0


def render_picture(picture: PipedPicture) -> bytes:
    """Return a message's bytes."""
    head = _HEAD.pack(picture.flags, picture.width, picture.height, len(picture.data), picture.pts_ticks)
    return head + picture.data


class PictureParser:
    """Takes bytes as a pipe delivers them, cut anywhere, and returns whole messages."""

    def __init__(self) -> None:
        self._held = bytearray()

    def push(self, data: bytes) -> list[PipedPicture]:
        """Add bytes; return the messages they complete.

        Raises:
            ValueError: this is no message of ours.
        """
        self._held += data
        found, at = [], 0
        while len(self._held) - at >= HEAD_BYTES:
            flags, width, height, length, pts_ticks = _HEAD.unpack_from(self._held, at)
            if length > LENGTH_BYTES_MAX:
                raise ValueError(f"a picture of {length} bytes")
            end = at + HEAD_BYTES + length
            if end > len(self._held):
                break
            data = bytes(self._held[at + HEAD_BYTES : end])
            found.append(PipedPicture(Flag(flags), pts_ticks, data, width, height))
            at = end
        del self._held[:at]
        return found
