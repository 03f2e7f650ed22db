"""Streams of frames and reports as a network delivers them, and what a timeline makes of them."""

import random

from soloist.model.media import Kind
from support.frames import MS, NS, START_NS, ReportValue, audio_frame, report_at, video_frame

AUDIO = {"mid": "0", "rtp_zero": 77_000, "rate_hz": 48_000}
VIDEO = {"mid": "1", "rtp_zero": 1_000_000, "rate_hz": 90_000}


def feed(timeline, items, session=1):
    """Push frames and reports in the given order; return the samples by kind."""
    out = {Kind.AUDIO: [], Kind.VIDEO: []}
    for item in items:
        if isinstance(item, ReportValue):
            timeline.report(session, item, 48_000 if item.mid == "0" else 90_000)
        else:
            timeline.push(session, item, Kind.AUDIO if item.mid == "0" else Kind.VIDEO)
        for sample in timeline.take():
            out[sample.kind].append(sample)
    return out


def by_arrival(*streams):
    """Merge frames and reports as the network would deliver them."""
    return sorted((item for stream in streams for item in stream), key=lambda item: item.received_ns)


def camera(seconds, **kwargs):
    return [video_frame(n, **kwargs) for n in range(int(seconds * 30))]


def microphone(seconds, **kwargs):
    return [audio_frame(n, **kwargs) for n in range(int(seconds * 50))]


def seconds_of(sample):
    return sample.pts_ticks / sample.rate_hz


def stamped_at_sending(count):
    """Return audio reports as a browser makes them: a packet late, and scattered."""
    rng, reports = random.Random(3), []
    for exact in (report_at(2.5 * (n + 1), **AUDIO) for n in range(count)):
        late_ns = 22 * MS + rng.randrange(-3, 8) * MS
        reports.append(ReportValue("0", None, exact.rtp_ticks, exact.ntp_ns + late_ns, exact.received_ns + late_ns))
    return reports


def frozen(items, at_s, delay_s):
    """Let the network stand still for `delay_s`: what was sent meanwhile arrives at its end, at once."""
    start, end = START_NS + int(at_s * NS), START_NS + int((at_s + delay_s) * NS)
    return [
        i.but(received_ns=end + n * 1000) if start <= i.received_ns < end else i
        for n, i in enumerate(sorted(items, key=lambda item: item.received_ns))
    ]
