"""Operation 3, update_individual_stream_job, by the official SDK."""

import pytest
from huaweicloudsdkcloudrtc.v2 import UpdateIndividualJobReq


def test_another_rule_is_shown_and_changes_update_time_only(sdk, job):
    updated = sdk.update(job.job_id, "demo2")

    assert (updated.status_code, updated.record_param.record_rule_id) == (200, "demo2")
    assert updated.update_time > job.update_time
    assert (updated.create_time, updated.start_time) == (job.create_time, job.start_time)
    assert sdk.show(job.job_id).record_param.record_rule_id == "demo2"


def test_the_same_rule_changes_nothing(sdk, job):
    before = sdk.update(job.job_id, "demo2")

    again = sdk.update(job.job_id, "demo2")

    assert (again.status_code, again.record_param.record_rule_id) == (200, "demo2")
    assert again.update_time >= before.update_time


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (UpdateIndividualJobReq(), "RTC.00001005"),
        (None, "RTC.00001005"),
        ({"record_param": {}}, "RTC.00001005"),
        ("[]", "RTC.00001002"),
        ({"record_param": 7}, "RTC.00001003"),
        ({"record_param": {"record_rule_id": "none"}}, "RTC.00001003"),
        ({"record_param": {"record_rule_id": "their-rule"}}, "RTC.00001003"),
        ({"publish_param": {"rtmp_urls": ["rtmp://h.example.test/a"]}}, "RTC.00001003"),
        ({"publish_param": {"rtmp_urls": ["rtmp://10.0.0.1/live/key"]}}, "RTC.00001003"),
    ],
)
def test_an_update_that_names_no_rule_of_the_app_is_refused(sdk, job, refused, *, body, code):
    error = refused(sdk.update_raw, job.job_id, body)

    assert (error.status_code, error.error_code) == (400, code)


def test_a_stopped_job_cannot_be_updated(sdk, who, refused):
    job_id = sdk.create(**who).job_id
    sdk.stop(job_id)

    error = refused(sdk.update, job_id, "demo2")

    assert (error.status_code, error.error_code) == (400, "RTC.00001009")
    assert error.error_msg == "JobDone: task canceled or completed"


@pytest.mark.parametrize(("job_id", "app"), [("none", "demo"), (None, "demo"), ("none", "none")])
def test_an_unknown_job_or_app_is_404(sdk, refused, job_id, app):
    error = refused(sdk.update, job_id, "demo", app)

    assert (error.status_code, error.error_code) == (404, "RTC.00001003")
