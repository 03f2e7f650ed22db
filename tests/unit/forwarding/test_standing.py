"""Where a target stands, by a clock of the test's own (rules R37, R38)."""

import pytest

from soloist.forwarding.standing import PAUSE_S_MAX, Patience, Standing
from soloist.model.forward import ForwardState

URL = "rtmp://media.example.com/live/secret-key"
EVEN = 0.5
"""The chance at which a pause is not varied."""


def a_standing():
    return Standing(URL, 1000, Patience(stalled_s=30, steady_s=10))


def live(standing, now=0.0, *, first=1000):
    standing.attempted(now, 2000)
    standing.accepted(now)
    standing.acknowledged(first, now + 1, 3000, is_all=True)


def test_a_target_is_live_by_media_acknowledged_not_by_being_accepted():
    standing = a_standing()
    standing.attempted(0.0, 2000)
    standing.accepted(1.0)
    assert standing.status.state is ForwardState.CONNECTING

    standing.acknowledged(0, 2.0, 2500, is_all=True)
    assert standing.status.state is ForwardState.CONNECTING

    standing.acknowledged(500, 3.0, 3000, is_all=True)
    assert (standing.status.state, standing.status.since_ms) == (ForwardState.LIVE, 3000)
    assert standing.status.bytes_sent == 500


def test_a_target_stalls_when_media_waits_and_none_is_acknowledged():
    standing = a_standing()
    live(standing)

    standing.acknowledged(1000, 20.0, 3000, is_all=False)
    assert not standing.is_stalled(30.9)
    assert standing.is_stalled(31.1)

    standing.failed("took nothing", 9000, EVEN, is_stalled=True)
    assert (standing.status.state, standing.status.since_ms) == (ForwardState.STALLED, 9000)


def test_a_target_with_nothing_to_take_does_not_stall():
    standing = a_standing()
    live(standing)

    standing.acknowledged(1000, 500.0, 3000, is_all=True)

    assert not standing.is_stalled(520.0)


def test_a_server_that_accepts_and_takes_nothing_stalls_too():
    standing = a_standing()
    standing.attempted(0.0, 2000)
    standing.accepted(1.0)
    standing.acknowledged(0, 25.0, 3000, is_all=False)

    assert standing.is_stalled(31.1)
    standing.failed("took nothing", 9000, EVEN, is_stalled=True)
    assert standing.status.state is ForwardState.FAILED


def test_pauses_double_up_to_a_minute():
    standing = a_standing()

    pauses = []
    for n in range(9):
        standing.attempted(float(n), 2000)
        pauses.append(standing.failed("refused", 3000, EVEN))

    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert (standing.status.state, standing.status.retries) == (ForwardState.FAILED, 8)
    assert standing.status.last_error == "refused"


@pytest.mark.parametrize(("chance", "share"), [(0.0, 0.8), (1.0, 1.2)])
def test_pauses_vary_so_that_jobs_do_not_come_all_at_once(chance, share):
    standing = a_standing()
    for _ in range(20):
        standing.attempted(0.0, 2000)
        pause_s = standing.failed("refused", 3000, chance)

    assert pause_s == pytest.approx(PAUSE_S_MAX * share)


def test_a_short_life_does_not_earn_a_short_pause():
    standing = a_standing()
    for n in range(4):
        live(standing, n * 100.0)
        pause_s = standing.failed("closed", 4000, EVEN)

    assert pause_s == 8


def test_media_taken_for_ten_seconds_earns_a_short_pause_again():
    standing = a_standing()
    for n in range(4):
        standing.attempted(float(n), 2000)
        standing.failed("refused", 4000, EVEN)
    live(standing, 100.0)
    standing.acknowledged(2000, 112.0, 5000, is_all=True)

    assert standing.failed("closed", 9000, EVEN) == 1
    assert standing.status.state is ForwardState.CONNECTING


def test_attempts_of_a_failed_target_are_counted_and_not_told_one_by_one():
    standing = a_standing()
    standing.attempted(0.0, 2000)
    standing.failed("refused", 3000, EVEN)
    standing.attempted(1.0, 4000)

    assert (standing.status.state, standing.status.since_ms, standing.status.retries) == (ForwardState.FAILED, 3000, 1)


def test_bytes_add_up_over_connections():
    standing = a_standing()
    live(standing, first=1000)
    standing.failed("closed", 4000, EVEN)
    live(standing, 50.0, first=300)

    assert standing.status.bytes_sent == 1300


def test_what_is_shown_never_holds_the_stream_key():
    assert a_standing().status.url == "rtmp://media.example.com/live/***"
