"""What forwarding costs: memory and CPU of a forwarder that serves one target, and five.

    python benchmarks/forwarding.py

Feeds a real forwarder process H.264 (320x180, 30 pictures a second) and stereo Opus in real time for 20 s; the targets
are RTMP servers in this process. Counted is the child alone.
"""

import asyncio
import os
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.media import interleaved, opus_samples, video_samples
from support.scripted_rtmp import scripted_rtmp

from soloist.forwarding.forwarding import Forwarding, ForwardSettings
from soloist.model.ids import JobId
from soloist.model.media import Codec, Kind
from soloist.wire.addresses import LOOPBACK

SECONDS = 20


async def measured(targets_count: int) -> str:
    """Return one row of the table."""
    with ExitStack() as servers:
        urls = [servers.enter_context(scripted_rtmp()).url for _ in range(targets_count)]

        async def permit() -> None:
            return

        async def told(*_: object) -> None:
            return

        forwarding = Forwarding(
            JobId("job"), settings=ForwardSettings(LOOPBACK), post=lambda work: work(), permit=permit, told=told
        )
        forwarding.tap.expect(frozenset(Kind))
        forwarding.start(urls)
        await asyncio.sleep(3)
        process = forwarding._process  # noqa: SLF001 - its own process is what is measured
        assert process is not None  # noqa: S101 - it has just been started
        before = _cpu_s(process.pid)
        await _feed(forwarding)
        used, resident = _cpu_s(process.pid) - before, _resident_mb(process.pid)
        await forwarding.finish()
        sent = min(status.pictures_sent for status in forwarding.statuses)
    return f"{targets_count:7}  {resident:9.0f}  {1000 * used / SECONDS:22.1f}  {sent:13}"


async def _feed(forwarding: Forwarding) -> None:
    pictures = [
        replace(s, codec=Codec.H264.value, width=320 * s.is_keyframe, height=180 * s.is_keyframe)
        for s in video_samples(Codec.H264, SECONDS)
    ]
    sounds = [replace(s, codec=Codec.OPUS.value) for s in opus_samples(SECONDS, channels=2)]
    began = time.monotonic()
    for sample in interleaved(tuple(pictures), tuple(sounds)):
        await asyncio.sleep(max(0.0, began + sample.pts_ns / 1e9 - time.monotonic()))
        forwarding.tap.push([sample])


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def main() -> None:
    """Print the table."""
    print("targets  memory MB  CPU ms a media-second  pictures sent")
    for count in (1, 5):
        print(await measured(count))


if __name__ == "__main__":
    asyncio.run(main())
