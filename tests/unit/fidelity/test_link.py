"""What a link does to packets is drawn from its seed, and in the shares it is told."""

import itertools

import pytest

from fidelity.link import QUEUE_MS, Conditions, Link


def fates(conditions, seed=1, count=2000):
    """Return when each of `count` packets of 1000 bytes, one every 10 ms, arrives."""
    link = Link(seed, (conditions,))
    return [link.take(n * 10.0, 1000) for n in range(count)]


BAD = Conditions(delay_ms=20, jitter_ms=50, loss=0.1, reorder=0.05, duplicate=0.02)


def test_the_same_seed_decides_the_same_and_another_seed_otherwise():
    assert fates(BAD) == fates(BAD) != fates(BAD, seed=2)


def test_without_conditions_every_packet_arrives_at_once():
    assert fates(Conditions()) == [[n * 10.0] for n in range(2000)]


@pytest.mark.parametrize("loss", [0.01, 0.05, 0.2])
def test_the_share_lost_is_the_share_asked_for(loss):
    lost = sum(not due for due in fates(Conditions(loss=loss), count=20_000))
    assert lost / 20_000 == pytest.approx(loss, rel=0.15)


def test_jitter_keeps_the_order():
    due = [at for (at,) in fates(Conditions(delay_ms=5, jitter_ms=100))]
    assert due == sorted(due)
    assert max(at - n * 10 for n, at in enumerate(due)) > 90


def test_reordering_does_not_keep_it():
    due = [at for (at,) in fates(Conditions(reorder=0.1))]
    assert 100 < sum(later < sooner for sooner, later in itertools.pairwise(due)) < 300


def test_some_packets_arrive_twice():
    assert sum(len(due) == 2 for due in fates(Conditions(duplicate=0.1))) == pytest.approx(200, rel=0.2)


def test_nothing_passes_in_the_dark_and_everything_afterwards():
    link = Link(1, (Conditions(1000, is_dark=True), Conditions(2000)))
    assert [bool(link.take(float(at), 100)) for at in (999, 1000, 1999, 2000)] == [True, False, False, True]


def test_a_bandwidth_passes_so_much_and_holds_up_no_packet_longer_than_its_queue():
    passed = [(n * 10.0, due[0]) for n, due in enumerate(fates(Conditions(kbps=400))) if due]
    assert len(passed) * 8000 / 20_000 == pytest.approx(400, rel=0.05)
    assert max(due - sent for sent, due in passed) <= QUEUE_MS + 8000 / 400


def test_conditions_begin_at_their_moment_whatever_came_before():
    calm_then_lossy = Link(3, (Conditions(loss=0.0), Conditions(5000, loss=1.0)))
    assert all(calm_then_lossy.take(n * 10.0, 100) for n in range(500))
    assert not any(calm_then_lossy.take(5000 + n * 10.0, 100) for n in range(100))


def test_packets_before_the_epoch_are_not_held_until_it():
    """Seen as connections that took until the pattern's time 0, or failed."""
    link = Link(1, (Conditions(5000, is_dark=True),))
    assert [link.take(at, 100) for at in (-8000.0, -10.0, 10.0)] == [[-8000.0], [-10.0], [10.0]]
