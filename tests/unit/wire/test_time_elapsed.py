"""A recording is as long as it took, whatever its sender's clocks claim: no forged step or report stretches it."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.frames import MS, NS, START_NS, ReportValue, audio_frame, video_frame
from support.streams import by_arrival, camera, feed, microphone

from soloist.model.media import Kind
from soloist.model.timing import Cause
from soloist.wire.timeline import AHEAD_NS_MAX, EARLY_NS_MAX, Timeline

LAST_NS = NS
"""The last picture is taken to be shown for a second at most."""
BEHIND_NS_MAX = 4 * NS
"""Time stamps that stay behind by two seconds are looked at for one more: their clock may have stood still."""


def span_ns(samples):
    """Return how long a file of samples is, nanoseconds."""
    return max(s.end_ns for s in samples) - min(s.pts_ns for s in samples)


def forged(seed, seconds):
    """Return frames that come in real time and claim times of any kind, and reports that claim any relation."""
    rng, items = random.Random(seed), []
    per_s = rng.choice([5, 30, 200])
    scale_s = rng.choice([0.01, 0.4, 1.5, 3, 100])
    steps = rng.choice(
        [
            lambda: scale_s,
            lambda: -scale_s,
            lambda: rng.uniform(-scale_s, scale_s),
            lambda: rng.choice([0, scale_s, 1 / per_s]),
            lambda: 1 / per_s if rng.random() < 0.9 else rng.uniform(-scale_s, 2 * scale_s),
        ]
    )
    for make, rate_hz, zero in ((audio_frame, 48_000, 77_000), (video_frame, 90_000, 1_000_000)):
        rtp = zero
        for n in range(seconds * per_s):
            received_ns = START_NS + n * NS // per_s + rng.randrange(5) * MS
            items.append(
                make(n, rtp_ticks=rtp, received_ns=received_ns, **({} if rate_hz == 48_000 else {"is_keyframe": True}))
            )
            rtp += int(steps() * rate_hz)
            if rng.random() < 0.05:
                ntp_ns = START_NS + rng.randrange(-int(scale_s * NS), int(100 * NS))
                items.append(ReportValue(items[-1].mid, None, rtp, ntp_ns, received_ns))
    return sorted(items, key=lambda item: item.received_ns)


@settings(max_examples=120, deadline=None)
@given(st.integers(min_value=0, max_value=2**32))
def test_no_sequence_of_times_makes_a_recording_longer_or_much_shorter_than_it_took(seed):
    seconds, timeline = 8, Timeline()
    out = feed(timeline, forged(seed, seconds))
    timeline.finish()
    samples = [*out[Kind.AUDIO], *out[Kind.VIDEO], *timeline.take()]

    assert span_ns(samples) <= seconds * NS + EARLY_NS_MAX + AHEAD_NS_MAX + LAST_NS
    assert span_ns(samples) >= seconds * NS - BEHIND_NS_MAX
    for kind in Kind:
        times = [s.pts_ns for s in samples if s.kind is kind]
        assert all(after - before >= MS for before, after in pairwise(times))


@pytest.mark.parametrize("step_s", [0.1, 0.5, 1.0, 1.5, 1.99, 2.5, 60])
def test_steps_of_one_size_cost_their_sender_its_own_times_and_nothing_else(step_s):
    timeline, seconds = Timeline(), 15
    frames = [
        video_frame(n, is_keyframe=True, rtp_ticks=1_000_000 + int(n * step_s * 90_000)) for n in range(seconds * 6)
    ]
    frames = [frame.but(received_ns=START_NS + n * NS // 6) for n, frame in enumerate(frames)]
    out = feed(timeline, by_arrival(frames, microphone(seconds)))

    assert span_ns(out[Kind.VIDEO]) <= seconds * NS + EARLY_NS_MAX + AHEAD_NS_MAX + LAST_NS
    # The other track goes by its own clock.
    assert len(out[Kind.AUDIO]) == seconds * 50
    assert {b.pts_ticks - a.pts_ticks for a, b in pairwise(out[Kind.AUDIO])} == {960}


def test_more_frames_than_the_time_holds_are_declared():
    timeline = Timeline()
    frames = [audio_frame(n, received_ns=START_NS + n * MS // 10) for n in range(40_000)]
    out = feed(timeline, frames)
    timeline.conclude(frames[-1].received_ns)

    assert span_ns(out[Kind.AUDIO]) <= 4 * NS + AHEAD_NS_MAX + LAST_NS
    assert len(out[Kind.AUDIO]) < 10_000
    assert (Cause.FAULT, "clock_too_fast") in {(m.cause, m.detail) for m in timeline.missing}


def test_a_network_that_was_slow_at_first_moves_nothing():
    # The first half second came 1.9 s late; afterwards nothing is late any more.
    late = [frame.but(received_ns=frame.received_ns + 1900 * MS) for frame in camera(0.5)]
    timeline = Timeline()
    out = feed(timeline, [*late, *[f for f in camera(6) if f.received_ns > late[-1].received_ns]])

    assert not any(m.detail.startswith("clock") for m in timeline.missing)
    steps = {b.pts_ticks - a.pts_ticks for a, b in pairwise(out[Kind.VIDEO][15:])}
    assert steps <= {3000, 2997, 2998, 2999}
