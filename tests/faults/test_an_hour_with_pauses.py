"""An hour in virtual time, frames to files: clocks that run apart, twenty pauses, and sound still beside its picture.

Rules R2, R4, R6, R11. No service and no waiting; what is measured is what the files hold.
"""

from itertools import count, pairwise

import av
import numpy as np
import pytest
from support.burnt_in import onsets_in
from support.frames import MS, NS, START_NS, FrameValue, ReportValue
from support.jobs import a_job, a_rule
from support.media import opus_samples, video_samples
from support.stage import Stage, a_publisher

from soloist.model.media import Codec, Kind
from soloist.model.rule import AudioMode, HlsConfig, Mp4Config, RecordFormat
from soloist.model.timing import Cause
from soloist.recording.terms import segments_zero_ns

HOUR_NS = 3600 * NS
PERIOD_NS = {Kind.AUDIO: 60 * MS, Kind.VIDEO: 100 * MS}
RATE_HZ = {Kind.AUDIO: 48_000, Kind.VIDEO: 90_000}
PPM = {Kind.AUDIO: 200, Kind.VIDEO: -200}
"""How much slower than the wall clock each of the sender's media clocks runs."""
END_NS_MAX = 40 * MS


def pauses():
    """Return twenty of them, (from, until, kinds), one to twenty seconds long: sound, picture, both, in turn."""
    which = [frozenset({Kind.AUDIO}), frozenset({Kind.VIDEO}), frozenset(Kind)]
    return [((60 + 170 * n) * NS, (60 + 170 * n + 3 + 17 * (n % 3) // 2) * NS, which[n % 3]) for n in range(20)]


def sent(kind, clip):
    """Yield a track's frames and reports, and note when those that are sent were captured."""
    mine = [(start, end) for start, end, kinds in pauses() if kind in kinds]
    step = RATE_HZ[kind] * PERIOD_NS[kind] // NS
    reported_ns, resumes = 0, False
    for number in count():
        wall_ns = number * PERIOD_NS[kind] * (1_000_000 + PPM[kind]) // 1_000_000
        if wall_ns >= HOUR_NS:
            return
        sample = clip[number % len(clip)]
        if any(start <= wall_ns < end for start, end in mine):
            resumes = kind is Kind.VIDEO
            continue
        if resumes and not sample.is_keyframe:
            continue  # A camera that comes back begins with a keyframe.
        resumes = False
        arrived_ns = START_NS + wall_ns + (25 if kind is Kind.VIDEO else 80) * MS + number * 7 % 5 * MS
        is_key = sample.is_keyframe or kind is Kind.AUDIO
        size = 64 if is_key and kind is Kind.VIDEO else 0
        rtp = 4_000_000_000 + number * step
        yield FrameValue(
            "0" if kind is Kind.AUDIO else "1",
            None,
            "opus" if kind is Kind.AUDIO else "h264",
            rtp,
            RATE_HZ[kind],
            is_key,
            follows_gap=False,
            received_ns=arrived_ns,
            width=size,
            height=size,
            data=sample.data,
        )
        if wall_ns - reported_ns >= 5 * NS:
            reported_ns = wall_ns
            yield ReportValue("0" if kind is Kind.AUDIO else "1", None, rtp, START_NS + wall_ns, arrived_ns)


@pytest.fixture(scope="module")
def hour(tmp_path_factory):
    """An hour recorded as MP4 and as HLS at once."""
    rule = a_rule(
        formats=(RecordFormat.MP4, RecordFormat.HLS),
        audio=AudioMode.COPY,
        mp4=Mp4Config(record_cycle_s=10_800, merge_gap_s=300),
        hls=HlsConfig(record_cycle_s=0, slice_s=10, merge_gap_s=-1),
    )
    clips = {
        Kind.AUDIO: opus_samples(6, packet_ticks=2880, bit_rate=16_000),
        Kind.VIDEO: video_samples(Codec.H264, 2, width=64, height=64, fps=10, gop=10),
    }
    stage, alice = Stage(tmp_path_factory.mktemp("hour"), a_job(rule=rule)), a_publisher()
    items = {kind: list(sent(kind, clips[kind])) for kind in Kind}
    stage.recording.on_attached(alice)
    merged = sorted(items[Kind.AUDIO] + items[Kind.VIDEO], key=lambda item: item.received_ns)
    begun = 0
    for at, item in enumerate(merged):
        if item.received_ns - merged[begun].received_ns >= 100 * MS:
            stage.recording.on_items(alice, merged[begun:at])
            stage.recording.on_tick(item.received_ns)
            begun = at
    stage.recording.on_items(alice, merged[begun:])
    stage.stop()
    stage.captured_ns = {
        kind: [
            (item.rtp_ticks - 4_000_000_000) * NS // RATE_HZ[kind] * (1_000_000 + PPM[kind]) // 1_000_000
            for item in items[kind]
            if isinstance(item, FrameValue)
        ]
        for kind in Kind
    }
    return stage


def packets(path):
    """Return when each packet of a file begins, nanoseconds, by kind."""
    found = {Kind.AUDIO: [], Kind.VIDEO: []}
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.size and packet.pts is not None:
                at_ns = packet.pts * packet.time_base.numerator * NS // packet.time_base.denominator
                found[Kind(packet.stream.type)].append(at_ns)
    return found


def test_every_frame_of_an_hour_stands_where_it_was_captured(hour):
    mp4 = next(ended for ended in hour.ended if ended.path.suffix == ".mp4")
    offset_ns = hour.media[-1].origin_ns + mp4.summary.start_ns - START_NS
    found, errors = packets(mp4.path), {}

    for kind, times in found.items():
        assert len(times) == len(hour.captured_ns[kind])
        errors[kind] = [at + offset_ns - wall for at, wall in zip(times, hour.captured_ns[kind], strict=True)]
        assert max(errors[kind]) - min(errors[kind]) <= END_NS_MAX, kind
    ends_apart_ns = errors[Kind.AUDIO][-1] - errors[Kind.VIDEO][-1]
    assert abs(ends_apart_ns) <= END_NS_MAX


def test_twenty_pauses_are_declared_and_nothing_else_is_missing(hour):
    last = max(hour.media, key=lambda media: len(media.missing))
    for kind in Kind:
        walls = hour.captured_ns[kind]
        period_ns = PERIOD_NS[kind] * (1_000_000 + PPM[kind]) // 1_000_000
        holes = [(a + period_ns, b) for a, b in pairwise(walls) if b - a > 2 * period_ns]
        declared = [(m.start_ns, m.end_ns) for m in last.missing if m.kind is kind]
        assert len(declared) == len(holes)
        for (start, end), (began, ended) in zip(declared, holes, strict=True):
            assert abs((end - start) - (ended - began)) <= PERIOD_NS[kind]
    assert {m.cause for m in last.missing} == {Cause.PAUSE}


def test_how_fast_each_clock_runs_is_measured(hour):
    found = {placement.kind: placement.skew_ppm for placement in hour.media[-1].placements}

    assert {kind: round(ppm / 10) * 10 for kind, ppm in found.items()} == PPM


def beeps_ns(path):
    """Return when the beeps of a stream begin, nanoseconds in its own time; its sound has no hole."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("flt", "mono", 48_000)
        pieces = [piece for frame in container.decode(audio=0) for piece in resampler.resample(frame)]
    sound = np.concatenate([piece.to_ndarray()[0] for piece in pieces])
    first_ns = round(pieces[0].pts * pieces[0].time_base * NS)
    return [first_ns + round(at_s * NS) for at_s in onsets_in(sound)]


def test_an_hours_playlist_ends_with_its_sound_in_time(hour, tmp_path):
    segments = hour.segments[-4:]
    whole = tmp_path / "end.ts"
    whole.write_bytes(b"".join(segment.path.read_bytes() for segment in segments))
    zero_ns = segments_zero_ns(hour.job) - START_NS
    second_ns = NS * (1_000_000 + PPM[Kind.AUDIO]) // 1_000_000

    late_ns = [(zero_ns + at + second_ns // 2) % second_ns - second_ns // 2 for at in beeps_ns(whole)]

    assert len(late_ns) > 25
    assert max(late_ns) - min(late_ns) <= 5 * MS
    # What the network takes at least is part of when anything stands anywhere.
    assert 25 * MS - END_NS_MAX <= max(late_ns) <= 25 * MS + END_NS_MAX
    for kind, end_ns in hour.ended[-1].summary.ends_ns.items():
        offset_ns = hour.media[-1].origin_ns - START_NS
        last_ns = hour.captured_ns[kind][-1] + PERIOD_NS[kind]
        assert abs(end_ns + offset_ns - last_ns) <= END_NS_MAX + 25 * MS
