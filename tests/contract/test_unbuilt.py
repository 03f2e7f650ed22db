"""The vendor's other operations, by the official SDK: refused in the vendor's shape until they are built."""

import inspect

import huaweicloudsdkcloudrtc.v2 as vendor
import pytest
from huaweicloudsdkcloudrtc.v2 import CloudRTCClient

BUILT = {
    *(f"{verb}_individual_stream_job" for verb in ("create", "show", "update", "stop")),
    *(f"{verb}_record_rule" for verb in ("create", "show", "update", "delete")),
    *("update_record_callback", "show_record_callback"),
    *("list_record_rules", "show_auto_record", "update_auto_record"),
    *("create_app", "list_apps", "show_app", "delete_app", "start_app", "stop_app"),
    *("remove_room", "remove_users"),
    *("list_obs_buckets", "list_obs_bucket_objects", "update_obs_bucket_authority"),
}
OPERATIONS = [
    name
    for name, _ in inspect.getmembers(CloudRTCClient, inspect.isfunction)
    if hasattr(CloudRTCClient, f"{name}_invoker") and name not in BUILT
]


def test_the_sdk_knows_4_more_operations():
    assert len(OPERATIONS) == 4


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_that_is_not_built_is_404_in_the_vendors_shape(sdk, refused, operation):
    request = getattr(vendor, "".join(part.capitalize() for part in operation.split("_")) + "Request")()

    error = refused(getattr(sdk.client, operation), request)

    assert (error.status_code, error.error_code) == (404, "APIGW.0101")
    assert len(error.request_id) == 32


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


@pytest.mark.parametrize("verb", ["create", "show", "update", "stop"])
def test_mixing_is_refused_with_a_word_on_what_is_offered_instead(sdk, refused, verb):
    request = getattr(vendor, f"{verb.capitalize()}MixJobRequest")(app_id="demo")

    error = refused(getattr(sdk.client, f"{verb}_mix_job"), request)

    assert "does not mix streams" in error.error_msg


@pytest.mark.parametrize("path", ["/v1/dev/rtc/rooms", "/v1/rtc/data/abnormal-events"])
def test_the_vendors_statistics_are_an_unknown_api(http, path):
    status, _, body = http("GET", path)

    assert (status, body["error_code"]) == (404, "APIGW.0101")
