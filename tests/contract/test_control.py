"""Operation 5, which no SDK has: a job is suspended and goes on."""

import pytest
from support.instance import until

STATE = ("state", "description")


@pytest.fixture
def control(http):
    """Ask for an action on a job of the app `demo`; return status and body."""

    def ask(job_id, query):
        status, _, body = http("PUT", f"/v2/apps/demo/individual-stream-jobs/{job_id}/control{query}")
        return status, body

    return ask


def test_a_suspended_job_says_so_and_a_restarted_one_no_longer(control, sdk, job):
    status, suspended = control(job.job_id, "?action=SUSPEND")
    assert (status, suspended["job_id"], suspended["description"]) == (200, job.job_id, "suspended")
    assert suspended["state"] in ("INIT", "RUNNING")
    assert suspended["update_time"] > job.update_time
    assert sdk.show(job.job_id).description == "suspended"

    status, restarted = control(job.job_id, "?action=RESTART")
    assert status == 200
    assert "description" not in restarted
    assert sdk.show(job.job_id).description is None


def test_asking_twice_changes_nothing(control, sdk, job):
    until(lambda: sdk.show(job.job_id).state == "RUNNING", 10, "no recorder took the job")
    _, once = control(job.job_id, "?action=SUSPEND")

    status, twice = control(job.job_id, "?action=SUSPEND")

    assert (status, twice["update_time"]) == (200, once["update_time"])


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "RTC.00001005"),
        ("?action=", "RTC.00001003"),
        ("?action=suspend", "RTC.00001003"),
        ("?action=SUSPEND&action=RESTART", "RTC.00001003"),
        ("?act=SUSPEND", "RTC.00001005"),
    ],
)
def test_anything_but_one_known_action_is_refused(control, job, query, code):
    status, body = control(job.job_id, query)

    assert (status, body["error_code"]) == (400, code)
    assert "action" in body["error_msg"]


def test_a_stopped_job_cannot_be_controlled(control, sdk, who):
    job_id = sdk.create(**who).job_id
    sdk.stop(job_id)

    status, body = control(job_id, "?action=SUSPEND")

    assert (status, body["error_code"]) == (400, "RTC.00001009")


def test_an_unknown_job_is_404(control):
    status, body = control("none", "?action=RESTART")

    assert (status, body["error_code"]) == (404, "RTC.00001003")
