"""Clocks and networks that stand still: what was sent keeps its time, and what was not is a declared pause."""

from dataclasses import replace

import pytest
from support.frames import NS, START_NS, ReportValue, report_at, video_frame
from support.streams import AUDIO, VIDEO, by_arrival, camera, feed, frozen, microphone, seconds_of, stamped_at_sending

from soloist.model.media import Kind
from soloist.model.timing import Cause
from soloist.wire.timeline import Timeline


def test_a_stalled_sender_clock_becomes_a_declared_pause():
    timeline = Timeline()
    before = camera(2)
    after = [video_frame(n, received_ns=START_NS + n * NS // 30 + 244 * NS) for n in range(60, 120)]

    out = feed(timeline, before + after)[Kind.VIDEO]

    assert abs(seconds_of(out[60]) - 246.0) < 0.1
    assert [(m.cause, m.detail) for m in timeline.missing] == [(Cause.PAUSE, "clock_stall")]


def test_reports_from_before_a_stall_say_nothing_of_the_time_after_it():
    timeline = Timeline()
    reports = [report_at(s, **VIDEO) for s in range(1, 10)]
    stalled = [video_frame(n, received_ns=START_NS + n * NS // 30 + 60 * NS) for n in range(300, 900)]
    later = [report_at(s + 60, mid="1", rtp_zero=1_000_000 - 60 * 90_000, rate_hz=90_000) for s in range(11, 29)]

    out = feed(timeline, by_arrival(camera(10), reports, stalled, later))[Kind.VIDEO]

    assert abs(seconds_of(out[-1]) - (899 / 30 + 60)) < 0.05


@pytest.mark.parametrize("muted_s", [0.7, 1.2, 1.9])
def test_a_browser_whose_sound_stood_still_for_less_than_two_seconds_is_put_right_by_its_next_report(muted_s):
    timeline = Timeline()
    muted_ns = int(muted_s * NS)
    sound = [p if n < 300 else p.but(received_ns=p.received_ns + muted_ns) for n, p in enumerate(microphone(20))]
    reports = [
        r if n < 2 else ReportValue("0", None, r.rtp_ticks, r.ntp_ns + muted_ns, r.received_ns + muted_ns)
        for n, r in enumerate(stamped_at_sending(8))
    ]

    out = feed(timeline, by_arrival(sound, reports, camera(22), [report_at(s, **VIDEO) for s in range(1, 22)]))

    assert abs(seconds_of(out[Kind.AUDIO][-1]) - 999 / 50 - muted_s) < 0.030
    assert [(m.cause, m.detail) for m in timeline.missing if m.kind is Kind.AUDIO] == [(Cause.PAUSE, "clock_stall")]


def test_one_report_that_lies_moves_nothing():
    timeline = Timeline()
    reports = stamped_at_sending(8)
    lie = reports[4]
    reports[4] = ReportValue("0", None, lie.rtp_ticks, lie.ntp_ns + 3 * NS, lie.received_ns)

    out = feed(timeline, by_arrival(microphone(20), reports, camera(20), [report_at(s, **VIDEO) for s in range(1, 20)]))

    assert abs(seconds_of(out[Kind.AUDIO][-1]) - 999 / 50) < 0.030
    assert timeline.missing == []


@pytest.mark.parametrize("delay_s", [2.5, 4, 8])
@pytest.mark.parametrize("with_reports", [True, False])
def test_a_network_that_stood_still_for_seconds_moves_nothing(delay_s, with_reports):
    timeline = Timeline()
    reports = [report_at(s, **AUDIO) for s in range(1, 30)] + [report_at(s, **VIDEO) for s in range(1, 30)]
    frames = frozen(camera(30) + microphone(30), 10, delay_s)

    out = feed(timeline, by_arrival(frames, reports if with_reports else []))

    assert len(out[Kind.VIDEO]) == 900
    assert len(out[Kind.AUDIO]) == 1500
    assert abs(seconds_of(out[Kind.VIDEO][-1]) - 899 / 30) < 0.05
    assert abs(seconds_of(out[Kind.AUDIO][-1]) - seconds_of(out[Kind.VIDEO][-1]) - (1499 / 50 - 899 / 30)) < 0.03
    assert timeline.missing == []


def paused(packets, at_s, pause_s):
    """Let the sender's clock stand for `pause_s`: RTP times go on where they were, arrivals do not."""
    pause_ns = int(pause_s * NS)
    return [
        p.but(received_ns=p.received_ns + pause_ns) if p.received_ns >= START_NS + at_s * NS else p for p in packets
    ]


@pytest.mark.parametrize("pause_s", [0.6, 1.2, 1.99])
def test_no_sound_stands_early_after_its_clock_stood_though_no_report_tells_of_it(pause_s):
    timeline = Timeline()

    out = feed(timeline, by_arrival(paused(microphone(12), 5, pause_s), camera(14)))[Kind.AUDIO]

    assert len(out) == 600
    true_s = [n / 50 + (pause_s if n >= 249 else 0) for n in range(600)]
    assert max(abs(seconds_of(sample) - true) for sample, true in zip(out, true_s, strict=True)) < 0.030
    (hole,) = (m for m in timeline.missing if m.kind is Kind.AUDIO)
    assert (hole.cause, hole.detail) == (Cause.PAUSE, "clock_stall")
    assert (hole.end_ns - hole.start_ns) / NS == pytest.approx(pause_s, abs=0.030)


@pytest.mark.parametrize("delay_s", [0.6, 1.2, 1.9])
@pytest.mark.parametrize("with_reports", [True, False])
def test_a_network_that_stood_still_for_less_moves_nothing_either(delay_s, with_reports):
    timeline = Timeline()
    reports = [report_at(s, **AUDIO) for s in range(1, 20)] + [report_at(s, **VIDEO) for s in range(1, 20)]
    frames = frozen(camera(20) + microphone(20), 10, delay_s)

    out = feed(timeline, by_arrival(frames, reports if with_reports else []))

    assert (len(out[Kind.VIDEO]), len(out[Kind.AUDIO])) == (600, 1000)
    assert abs(seconds_of(out[Kind.AUDIO][-1]) - 999 / 50) < 0.06
    assert timeline.missing == []


def longer_way(items, at_s, more_s):
    """Let everything take `more_s` longer from a moment on, at once and for good: another relay, another network."""
    more_ns = int(more_s * NS)
    return [i.but(received_ns=i.received_ns + more_ns) if i.received_ns >= START_NS + at_s * NS else i for i in items]


@pytest.mark.parametrize("more_s", [0.7, 1.5])
def test_a_way_that_became_longer_is_no_clock_that_stood(more_s):
    timeline = Timeline()

    out = feed(timeline, by_arrival(longer_way(camera(20) + microphone(20), 10, more_s)))

    assert abs(seconds_of(out[Kind.AUDIO][-1]) - 999 / 50) < 0.06
    assert abs(seconds_of(out[Kind.VIDEO][-1]) - 599 / 30) < 0.06
    assert timeline.missing == []


def test_an_error_of_both_tracks_is_corrected_at_one_pace():
    def delayed(items):
        """Let the way take 300 ms longer at first, and less and less within 1.2 s."""
        return [
            replace(i, received_ns=i.received_ns + max(0, START_NS + 1_200_000_000 - i.received_ns) // 4) for i in items
        ]

    timeline = Timeline()
    reports = [report_at(s, **kind) for s in (0.2, *range(1, 200)) for kind in (AUDIO, VIDEO)]

    out = feed(timeline, by_arrival(delayed(camera(200)), delayed(microphone(200)), delayed(reports)))

    sound = {round(n / 50, 2): seconds_of(sample) for n, sample in enumerate(out[Kind.AUDIO])}
    offsets = [
        seconds_of(s) - n / 30 - (sound[n // 30] - n // 30) for n, s in enumerate(out[Kind.VIDEO]) if n % 30 == 0
    ]
    assert max(offsets) - min(offsets) < 0.015


def test_sound_that_came_late_and_broke_off_again_is_not_held_for_ever():
    timeline = Timeline()
    sound = [p for p in paused(microphone(6), 4, 1.2) if p.received_ns < START_NS + int(5.7 * NS)]
    out = feed(timeline, by_arrival(sound, camera(6)))[Kind.AUDIO]

    timeline.tick(START_NS + 8 * NS)

    late = timeline.take()
    assert len(out) + len(late) == len(sound)
    assert late


def test_a_way_that_becomes_longer_little_by_little_parts_no_sound_from_its_picture():
    def slowed(items):
        """Let the way become 700 ms longer from 10 s to 13 s, for good."""
        ramp = [(i, i.received_ns - START_NS - 10 * NS) for i in items]
        return [replace(i, received_ns=i.received_ns + min(700_000_000, max(0, since) * 7 // 30)) for i, since in ramp]

    timeline = Timeline()
    reports = [report_at(s / 2, **VIDEO) for s in range(1, 160)] + [report_at(s, **AUDIO) for s in range(1, 80)]

    out = feed(timeline, by_arrival(slowed(camera(80)), slowed(microphone(80)), slowed(reports)))

    sound = [seconds_of(sample) for sample in out[Kind.AUDIO]][::50]
    pictures = [seconds_of(sample) for sample in out[Kind.VIDEO]][::30]
    assert max(abs(p - s) for p, s in zip(pictures, sound, strict=True)) < 0.040
    assert timeline.missing == []
