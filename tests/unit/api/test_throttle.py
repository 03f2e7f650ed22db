"""The failure throttle counts per pair, forgets with time, and stays bounded; the rate is each project's own."""

from datetime import UTC, datetime, timedelta

import pytest

from soloist.api.errors import ThrottledError
from soloist.api.throttle import FailureThrottle, RequestRate

NOW = datetime(2026, 11, 22, tzinfo=UTC)
WINDOW = timedelta(seconds=10)


def failed(times, at=NOW):
    throttle = FailureThrottle(failures_max=2, window=WINDOW, pairs_max=3)
    for _ in range(times):
        throttle.failed("key", "source", at)
    return throttle


def test_fewer_failures_than_allowed_block_nothing():
    failed(1).check("key", "source", NOW)


def test_the_allowed_number_of_failures_blocks_the_pair_only():
    throttle = failed(2)

    with pytest.raises(ThrottledError):
        throttle.check("key", "source", NOW)
    throttle.check("key", "elsewhere", NOW)
    throttle.check("other", "source", NOW)


def test_the_answer_says_how_long_to_wait():
    with pytest.raises(ThrottledError) as caught:
        failed(2).check("key", "source", NOW + timedelta(seconds=3.5))

    assert caught.value.headers == {"Retry-After": "7"}


def test_the_window_begins_with_the_first_failure():
    throttle = failed(1)
    throttle.failed("key", "source", NOW + WINDOW)

    throttle.check("key", "source", NOW + WINDOW)


def test_a_flood_of_invented_keys_forgets_the_oldest():
    throttle = failed(2)
    for number in range(3):
        throttle.failed(f"invented{number}", "source", NOW)

    throttle.check("key", "source", NOW)


def test_a_project_may_ask_so_often_a_minute_and_no_more_and_others_are_not_affected():
    rate = RequestRate(60)
    for _ in range(60):
        rate.count("dev", NOW)

    with pytest.raises(ThrottledError) as caught:
        rate.count("dev", NOW)
    assert caught.value.headers == {"Retry-After": "1"}
    rate.count("other", NOW)
    rate.count("dev", NOW + timedelta(seconds=1))
    with pytest.raises(ThrottledError):
        rate.count("dev", NOW + timedelta(seconds=1.5))


def test_without_a_limit_nothing_is_counted():
    rate = RequestRate(0)

    for _ in range(1000):
        rate.count("dev", NOW)
