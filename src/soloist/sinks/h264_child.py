"""The child process that transcodes one recording's pictures: messages on its input, answers on its output, in order.

It gives way to everything else on the machine, and ends when its input does, so with its parent as well. A fault in it,
or in the libraries it runs, costs pictures of one recording and nothing else. `h264_process.py` is its parent's side.
"""

import contextlib
import os
from typing import BinaryIO

from av.error import FFmpegError

from soloist.side_process import TRANSCODER_BYTES, give_way
from soloist.sinks.h264 import H264Transcoder
from soloist.wire.picture_pipe import Flag, PictureParser, PipedPicture, render_picture

NICENESS = 10
READ_BYTES = 1 << 16


def main() -> None:
    """Serve until the input ends."""
    give_way(niceness=NICENESS, memory_bytes=TRANSCODER_BYTES)
    # A parent that has died closes both ends, whichever is noticed first.
    with contextlib.suppress(BrokenPipeError), os.fdopen(0, "rb", 0) as source, os.fdopen(1, "wb", 0) as answers:
        serve(source, answers)


def serve(source: BinaryIO, answers: BinaryIO) -> None:
    """Answer each picture of a pipe."""
    transcoder, parser = H264Transcoder(), PictureParser()
    while data := source.read(READ_BYTES):
        for picture in parser.push(data):
            message = memoryview(render_picture(_answer(transcoder, picture)))
            while message:
                message = message[answers.write(message) :]


def _answer(transcoder: H264Transcoder, picture: PipedPicture) -> PipedPicture:
    wants_keyframe = bool(picture.flags & (Flag.KEYFRAME | Flag.FORCED))
    try:
        coded = transcoder.push(picture.data, picture.pts_ticks, as_keyframe=wants_keyframe)
    except (ValueError, FFmpegError):
        return PipedPicture(Flag.FAILED, picture.pts_ticks, b"")
    if coded is None:
        return PipedPicture(Flag(0), picture.pts_ticks, b"")
    flags = Flag.KEYFRAME if coded.is_keyframe else Flag(0)
    return PipedPicture(flags, picture.pts_ticks, coded.data, coded.width, coded.height)
