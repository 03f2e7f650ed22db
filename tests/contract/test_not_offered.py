"""What of the vendor's API this server does not have is refused in the vendor's shape, by the official SDK."""

import pytest


@pytest.mark.parametrize("verb", ["create", "show", "update", "stop"])
def test_mixing_is_refused_with_a_word_on_what_is_offered_instead(sdk, refused, verb):
    job = {"job_id": "none"} if verb != "create" else {}

    error = refused(sdk.call, f"{verb}_mix_job", app_id="demo", **job)

    assert (error.status_code, error.error_code) == (404, "APIGW.0101")
    assert "does not mix streams" in error.error_msg
    assert len(error.request_id) == 32


@pytest.mark.parametrize("path", ["/v1/dev/rtc/rooms", "/v1/rtc/data/abnormal-events"])
def test_the_vendors_statistics_are_an_unknown_api(http, path):
    status, _, body = http("GET", path)

    assert (status, body["error_code"]) == (404, "APIGW.0101")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "/v2/apps/demo/individual-stream-jobs"),
        ("GET", "/v2/apps/demo/individual-stream-jobs"),
        ("GET", "/v2/none"),
    ],
)
def test_a_wrong_method_or_path_is_404_too(http, method, path):
    status, _, body = http(method, path)

    assert (status, body["error_code"]) == (404, "APIGW.0101")
