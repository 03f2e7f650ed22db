"""The failure throttle counts per pair, forgets with time, and stays bounded; the rate is each project's own."""

from datetime import UTC, datetime, timedelta

import pytest

from soloist.api.errors import ThrottledError
from soloist.api.throttle import FailureThrottle, RequestRate

NOW = datetime(2026, 11, 22, tzinfo=UTC)
WINDOW = timedelta(seconds=10)


def throttled(failures_max=2, source_failures_max=100):
    return FailureThrottle(
        failures_max=failures_max, window=WINDOW, source_failures_max=source_failures_max, entries_max=3
    )


def is_told_to_wait(throttle, key="key", source="source", at=NOW):
    """Count one failure and return for how many seconds it is told to wait; None if it is not."""
    try:
        throttle.failed(key, source, at)
    except ThrottledError as error:
        return error.headers["Retry-After"]
    return None


def test_fewer_failures_than_allowed_are_refused_in_the_callers_own_words():
    throttle = throttled()

    assert [is_told_to_wait(throttle) for _ in range(3)] == [None, None, "10"]


def test_failures_of_one_pair_leave_other_keys_and_sources_alone():
    throttle = throttled()
    for _ in range(3):
        is_told_to_wait(throttle)

    assert is_told_to_wait(throttle, source="elsewhere") is None
    assert is_told_to_wait(throttle, key="other") is None


def test_the_answer_says_how_long_to_wait():
    throttle = throttled()
    for _ in range(2):
        is_told_to_wait(throttle)

    assert is_told_to_wait(throttle, at=NOW + timedelta(seconds=3.5)) == "7"


def test_the_window_begins_with_the_first_failure():
    throttle = throttled()
    for _ in range(3):
        is_told_to_wait(throttle)

    assert is_told_to_wait(throttle, at=NOW + WINDOW) is None


def test_a_flood_of_invented_keys_forgets_the_oldest():
    throttle = throttled()
    for _ in range(2):
        is_told_to_wait(throttle)
    for number in range(3):
        is_told_to_wait(throttle, f"invented{number}")

    assert is_told_to_wait(throttle) is None


def test_a_source_that_fails_with_many_keys_is_suspect_until_the_window_has_passed():
    throttle = throttled(source_failures_max=2)
    told = [is_told_to_wait(throttle, f"invented{number}") for number in range(3)]

    assert told == [None, None, "10"]
    assert throttle.is_suspect("source", NOW)
    assert not throttle.is_suspect("elsewhere", NOW)
    assert not throttle.is_suspect("source", NOW + WINDOW)


def test_failures_from_ever_other_sources_make_every_source_suspect_and_none_is_told_to_wait():
    throttle = throttled(source_failures_max=2)
    told = [is_told_to_wait(throttle, f"invented{number}", source=f"net{number}") for number in range(21)]

    assert told == [None] * 21
    assert throttle.is_suspect("elsewhere", NOW)
    assert not throttle.is_suspect("elsewhere", NOW + WINDOW)


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
