"""Pause and loss told apart by what arrives, judged against the plan of a sender that knows what it did."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.frames import MS, NS, START_NS, ReportValue
from support.planned_sender import RATE_HZ, ClockFault, Interruption, Plan, PlannedSender
from support.walk import declared_between

from soloist.model.media import Kind
from soloist.model.timing import Cause
from soloist.wire.timeline import Timeline

FRAME_NS = {Kind.AUDIO: 20 * MS, Kind.VIDEO: NS // 30}


def run(plan, **kwargs):
    """Return the sender, the timeline and its samples by kind."""
    sender, timeline = PlannedSender(plan), Timeline(**kwargs)
    timeline.expect(1, ["0", "1"])
    out = {kind: [] for kind in Kind}
    for item in sender.items:
        kind = Kind.AUDIO if item.mid == "0" else Kind.VIDEO
        if isinstance(item, ReportValue):
            timeline.report(1, item, 48_000 if kind is Kind.AUDIO else 90_000)
        else:
            timeline.push(1, item, kind)
        timeline.tick(item.received_ns)
        for sample in timeline.take():
            out[sample.kind].append(sample)
    timeline.finish()
    for sample in timeline.take():
        out[sample.kind].append(sample)
    return sender, timeline, out


def any_plan(seed, *, seconds=60, with_faults=False):
    """Return a plan with a dozen interruptions of every sort, far enough apart to be told one from another."""
    chance = random.Random(seed)
    interruptions, at_ns = [], 3 * NS
    while at_ns < (seconds - 9) * NS:
        cause = chance.choice([Cause.PAUSE, Cause.GAP])
        kinds = chance.choice([frozenset(Kind), frozenset({Kind.AUDIO}), frozenset({Kind.VIDEO})])
        lasts_ns = chance.randrange(2200, 5000) * MS
        interruptions.append(Interruption(at_ns, lasts_ns, cause, kinds))
        at_ns += lasts_ns + chance.randrange(1500, 3000) * MS
    return Plan(
        seed=seed,
        seconds=seconds,
        interruptions=tuple(interruptions),
        fps=30,
        ppm={kind: chance.randint(-200, 200) for kind in Kind},
        begins_ns={chance.choice(list(Kind)): chance.randrange(0, 2000) * MS},
        delay_ns=chance.randrange(5, 200) * MS,
        jitter_ns=chance.randrange(0, 12) * MS,
        tail_loss=chance.choice([0.0, 0.02, 0.1]),
        reports=chance.choice(["exact", "scattered", "late", "none"]),
        ntp_ahead_ns=chance.randrange(-(10**6), 10**6) * MS,
        faults=(any_fault(chance, seconds),) if with_faults else (),
    )


def any_fault(chance, seconds):
    """Return a clock that stands still for some seconds, or jumps by hours either way."""
    at_ns, kind = chance.randrange(2, seconds - 10) * NS, chance.choice(list(Kind))
    if chance.random() < 0.5:
        stalled_ns = chance.randrange(2500, 8000) * MS
        return ClockFault(at_ns, kind, -stalled_ns * RATE_HZ[kind] // NS, stalled_ns)
    return ClockFault(at_ns, kind, chance.choice([-1, 1]) * chance.randrange(90, 40_000) * RATE_HZ[kind])


def declared_as(timeline, origin_ns, hole):
    """Return what was declared missing around the middle of a hole."""
    middle_ns = START_NS + (hole.from_ns + hole.until_ns) // 2 - origin_ns
    return [m for m in timeline.missing if m.kind is hole.kind and m.start_ns <= middle_ns < m.end_ns]


@pytest.mark.parametrize("seeds", [range(n, n + 10) for n in range(0, 40, 10)], ids=str)
def test_every_interruption_is_declared_with_its_cause_and_its_length(seeds):
    wrong, count = [], 0
    for seed in seeds:
        sender, timeline, _ = run(any_plan(seed))
        for hole in (hole for hole in sender.holes if hole.until_ns - hole.from_ns > 2 * NS):
            count += 1
            found = declared_as(timeline, timeline.origin_ns, hole)
            lasts_ns = hole.until_ns - hole.from_ns - FRAME_NS[hole.kind]
            is_right = len(found) == 1 and found[0].cause is hole.cause
            if not is_right or abs(found[0].end_ns - found[0].start_ns - lasts_ns) > FRAME_NS[hole.kind]:
                wrong.append((seed, hole, found))
    assert wrong == []
    assert count > 80


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_media_and_what_is_declared_missing_add_up_to_the_wall_time(seed, with_faults):
    sender, timeline, out = run(any_plan(seed, seconds=25, with_faults=with_faults))

    for kind, samples in out.items():
        missing = [m for m in timeline.missing if m.kind is kind]
        assert declared_between(samples, missing) == missing
        begun_ns = timeline.origin_ns + samples[0].pts_ns - START_NS - sender.first_ns[kind]
        ended_ns = timeline.origin_ns + samples[-1].pts_ns - START_NS - sender.last_ns[kind]
        assert abs(ended_ns - begun_ns) <= FRAME_NS[kind]
