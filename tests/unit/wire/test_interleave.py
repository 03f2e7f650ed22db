"""Samples of two tracks come out in the order of their times."""

from hypothesis import given
from hypothesis import strategies as st

from soloist.model.media import Kind, Sample
from soloist.wire.interleave import LAG_NS, Interleaver


def sample(kind, ms):
    rate = 90_000 if kind is Kind.VIDEO else 48_000
    return Sample(kind, ms * rate // 1000, 0, rate, is_keyframe=True, data=b"")


@given(st.lists(st.tuples(st.sampled_from(list(Kind)), st.integers(0, 100)), max_size=60))
def test_time_never_goes_back_and_nothing_is_lost(steps):
    at, pushed, out, interleaver = dict.fromkeys(Kind, 0), [], [], Interleaver(lag_ns=10**12)
    for kind, step_ms in steps:
        at[kind] += step_ms
        pushed.append(sample(kind, at[kind]))
        out += interleaver.push(pushed[-1:])
    out += interleaver.flush()

    assert [s.pts_ns for s in out] == sorted(s.pts_ns for s in pushed)
    assert len(out) == len(pushed)


def test_a_silent_track_holds_the_other_one_up_no_longer_than_the_lag():
    interleaver = Interleaver()
    out = interleaver.push([sample(Kind.AUDIO, ms) for ms in range(0, 2000, 20)])

    assert out[-1].pts_ns == 1980 * 1_000_000 - LAG_NS


def test_a_track_waits_for_none_that_nobody_sends():
    interleaver = Interleaver()
    interleaver.expect(frozenset({Kind.AUDIO}))

    out = interleaver.push([sample(Kind.AUDIO, ms) for ms in range(0, 100, 20)])

    assert out[-1].pts_ns == 80 * 1_000_000


def test_both_tracks_flow_as_far_as_the_slower_one_has_come():
    interleaver = Interleaver()
    out = interleaver.push(
        [sample(Kind.AUDIO, 0), sample(Kind.AUDIO, 20), sample(Kind.AUDIO, 40), sample(Kind.VIDEO, 33)]
    )

    assert [(s.kind, s.pts_ns // 1_000_000) for s in out] == [(Kind.AUDIO, 0), (Kind.AUDIO, 20), (Kind.VIDEO, 33)]
