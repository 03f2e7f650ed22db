"""Writes a file without ever finishing it, told on each line of its standard output how far it is: made to be killed.

Arguments: path, codec, pictures between keyframes, seconds.
"""

import sys
import time
from fractions import Fraction
from pathlib import Path

from support.media import interleaved, opus_format, opus_samples, video_format, video_samples

from soloist.model.media import Codec, Kind
from soloist.sinks.mp4 import Mp4Sink
from soloist.sinks.webm import WebmSink

SPEED = 16
"""Times faster than real."""


def main() -> None:
    path, codec, gop, seconds = Path(sys.argv[1]), Codec(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    video, audio = video_samples(codec, seconds, gop=gop), opus_samples(seconds)
    sink = (WebmSink if codec is Codec.VP8 else Mp4Sink)(
        path, video=video_format(codec, video), audio=opus_format(), start=Fraction(0)
    )
    began = time.monotonic()
    for sample in interleaved(video, audio):
        due_s = sample.pts_ticks / sample.rate_hz
        time.sleep(max(0.0, began + due_s / SPEED - time.monotonic()))
        sink.push(sample)
        if sample.kind is Kind.VIDEO:
            print(due_s, flush=True)


main()
