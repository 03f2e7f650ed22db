"""The shares of a project and of a recorder as a customer meets them, by the official SDK."""

from support.sdk import Sdk
from support.server import private_server


def test_beyond_its_share_a_start_answers_1007_with_the_limit_and_beyond_a_recorders_likewise(refused):
    limits = {"SOLOIST_LIVE_JOBS_MAX": "3", "SOLOIST_JOBS_PER_RECORDER_MAX": "2"}
    with private_server(environment=limits) as server:
        sdk = Sdk(server.url)
        jobs = [sdk.create(room_id=f"room{number}", user_id="alice") for number in range(2)]

        error = refused(sdk.create, room_id="room9", user_id="alice")
        assert (error.status_code, error.error_code) == (400, "RTC.00001007")
        assert error.error_msg.startswith("JobExceed")
        assert "recorder holds 2 jobs" in error.error_msg
        assert sdk.show(jobs[0].job_id).state in {"INIT", "RUNNING"}
