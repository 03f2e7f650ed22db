"""Operation 4, stop_individual_stream_job, by the official SDK."""

import pytest


def test_a_stop_is_204_without_a_body_and_done_when_it_returns(sdk, who):
    job_id = sdk.create(**who).job_id

    stopped = sdk.stop(job_id)

    assert (stopped.status_code, stopped.raw_content) == (204, b"")
    assert len(stopped.x_request_id) == 32
    assert sdk.show(job_id).state == "STOPPED"


def test_stopping_again_is_204_and_changes_nothing(sdk, who):
    job_id = sdk.create(**who).job_id
    sdk.stop(job_id)
    first = sdk.show(job_id)

    assert [sdk.stop(job_id).status_code for _ in range(3)] == [204, 204, 204]

    assert sdk.show(job_id).stop_time == first.stop_time
    assert sdk.show(job_id).stop_reason == "TENANT_STOP"


def test_a_body_is_ignored(http, sdk, who):
    job_id = sdk.create(**who).job_id

    status, headers, body = http("DELETE", f"/v2/apps/demo/individual-stream-jobs/{job_id}", b'{"job_id":7')

    assert (status, body) == (204, b"")
    assert "X-request-Id" in headers


@pytest.mark.parametrize(("job_id", "app"), [("none", "demo"), (None, "demo"), ("none", "none"), ("none", None)])
def test_an_unknown_job_or_app_is_404(sdk, refused, job_id, app):
    error = refused(sdk.stop, job_id, app)

    assert (error.status_code, error.error_code) == (404, "RTC.00001003")
