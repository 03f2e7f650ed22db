"""Operation 2, show_individual_stream_job, by the official SDK."""

import time

import pytest


def test_a_job_is_shown_with_everything_it_was_created_with(sdk, job):
    shown = sdk.show(job.job_id)

    same = ["job_id", "stream_name", "app_id", "room_id", "user_id", "max_idle_time", "create_time", "start_time"]
    assert [getattr(shown, name) for name in same] == [getattr(job, name) for name in same]
    assert shown.status_code == 200
    assert len(shown.x_request_id) == 32


def test_a_job_runs_as_soon_as_a_recorder_has_it_even_in_a_room_that_does_not_exist(sdk, job):
    assert until(lambda: sdk.show(job.job_id).state == "RUNNING")


def test_a_stopped_job_can_still_be_shown(sdk, who):
    job_id = sdk.create(**who).job_id
    sdk.stop(job_id)

    shown = sdk.show(job_id)

    assert (shown.state, shown.stop_reason) == ("STOPPED", "TENANT_STOP")
    assert shown.stop_time >= shown.start_time


def test_an_idle_room_ends_the_job_after_max_idle_time(sdk, who):
    began = time.monotonic()
    job_id = sdk.create(**who, max_idle_time=5).job_id

    assert until(lambda: sdk.show(job_id).state == "STOPPED", seconds=20)

    assert time.monotonic() - began > 5
    assert sdk.show(job_id).stop_reason == "EXCEED_MAX_IDLE_TIME"
    assert sdk.create(**who, max_idle_time=5).job_id != job_id, "a later start is a new job"


@pytest.mark.parametrize("missing", ["none", None, "a b", "房间", "x" * 65, "a/b"])
def test_an_unknown_job_is_404(sdk, refused, missing):
    error = refused(sdk.show, missing)

    assert error.status_code == 404
    assert len(error.request_id) == 32


@pytest.mark.parametrize("app", ["none", "off", "theirs"])
def test_a_job_of_another_app_is_404(sdk, job, refused, app):
    assert refused(sdk.show, job.job_id, app).status_code == 404


def until(condition, *, seconds=15.0):
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found
