"""Operations 11 and 12 by the official SDK, and the notices a running service then sends."""

import re

import pytest
from huaweicloudsdkcloudrtc.v2 import AppCallbackUrlReq
from support.instance import until
from support.receiver import receiver

KEY = "0123456789abcdef0123456789abcdef"
URL = "https://shop.example/notices?from=soloist"
MILLISECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def put(sdk, app_id, **fields):
    return sdk.call("update_record_callback", app_id=app_id, body=AppCallbackUrlReq(**fields))


def show(sdk, app_id):
    return sdk.call("show_record_callback", app_id=app_id)


def test_a_callback_is_set_and_shown_with_every_field(sdk, fresh_app):
    stored = put(sdk, fresh_app, url=URL, auth_key=KEY)
    shown = show(sdk, fresh_app)

    assert (stored.status_code, shown.status_code) == (200, 200)
    for answer in (stored, shown):
        callback = answer.record_callback
        assert (answer.app_id, callback.url, callback.auth_key) == (fresh_app, URL, KEY)
        assert callback.notify_event_subscription == ["RECORD_NEW_FILE_START", "RECORD_FILE_COMPLETE"]
        assert MILLISECONDS.fullmatch(callback.update_time)
        assert len(answer.x_request_id) == 32


def test_an_app_that_never_had_a_callback_shows_an_empty_one(sdk, fresh_app):
    callback = show(sdk, fresh_app).record_callback

    assert (callback.url, callback.auth_key, callback.update_time) == ("", "", None)


def test_setting_again_replaces_the_address_and_the_key(sdk, fresh_app):
    put(sdk, fresh_app, url=URL, auth_key=KEY)

    replaced = put(sdk, fresh_app, url="http://other.example").record_callback

    assert (replaced.url, replaced.auth_key) == ("http://other.example", "")


def test_an_empty_address_takes_the_callback_away(sdk, fresh_app):
    put(sdk, fresh_app, url=URL, auth_key=KEY)

    assert put(sdk, fresh_app, url="").record_callback.url == ""
    assert show(sdk, fresh_app).record_callback.url == ""


@pytest.mark.parametrize(
    ("fields", "code", "named"),
    [
        ({}, "RTC.00001005", "url"),
        ({"auth_key": KEY}, "RTC.00001005", "url"),
        ({"url": "ftp://shop.example"}, "RTC.00001003", "url"),
        ({"url": "https://"}, "RTC.00001003", "url"),
        ({"url": "https:///path"}, "RTC.00001003", "url"),
        ({"url": "https://shop.example:99999/"}, "RTC.00001003", "url"),
        ({"url": "https://shop.example/a b"}, "RTC.00001003", "url"),
        ({"url": "https://[::1/"}, "RTC.00001003", "url"),
        ({"url": "https://shop.example/" + "a" * 240}, "RTC.00001003", "url"),
        ({"url": "http://10.0.0.1/"}, "RTC.00001003", "SOLOIST_OUTGOING_ALLOWED"),
        ({"url": "http://[fd00:ec2::254]/"}, "RTC.00001003", "SOLOIST_OUTGOING_ALLOWED"),
        ({"url": "http://169.254.169.254/latest"}, "RTC.00001003", "SOLOIST_OUTGOING_ALLOWED"),
        ({"url": URL, "auth_key": "k" * 31}, "RTC.00001003", "auth_key"),
        ({"url": URL, "auth_key": "k" * 65}, "RTC.00001003", "auth_key"),
        ({"url": URL, "auth_key": "k" * 31 + "\x00"}, "RTC.00001003", "auth_key"),
    ],
)
def test_a_wrong_callback_is_refused_by_the_name_of_its_field(sdk, refused, fresh_app, *, fields, code, named):
    error = refused(sdk.call, "update_record_callback", app_id=fresh_app, body=fields)

    assert (error.status_code, error.error_code) == (400, code)
    assert named in error.error_msg


@pytest.mark.parametrize("app_id", ["none", "theirs"])
def test_an_unknown_or_foreign_app_has_no_callback(sdk, refused, app_id):
    for operation, body in (("show_record_callback", {}), ("update_record_callback", {"body": {"url": URL}})):
        error = refused(sdk.call, operation, app_id=app_id, **body)
        assert (error.status_code, error.error_code) == (404, "RTC.00001003")


def test_the_end_of_a_job_reaches_the_callback_of_its_app(sdk, http, who):
    with receiver() as customer:
        put(sdk, "demo", url=customer.url, auth_key=KEY)
        job = sdk.create(**who)
        sdk.stop(job.job_id)
        until(lambda: customer.of(job), 15, "the end of the job was not told")
        # Who takes the callback away before the answer is noted has the notice given up.
        until(lambda: events(http, job)[0]["state"] == "DELIVERED", 15, "it was not settled")
        put(sdk, "demo", url="")

    told = customer.of(job)[-1]
    assert told.fields == {
        "event_type": "CLOUD_RECORD_SERVER_OVER",
        "stream_name": job.stream_name,
        "app_id": "demo",
        "job_id": job.job_id,
        "room_id": who["room_id"],
        "detail_message": "TENANT_STOP",
    }
    listed = events(http, job)
    assert [(event["event_id"], event["state"]) for event in listed] == [(told.event_id, "DELIVERED")]
    assert listed[0]["body"] == told.fields


def events(http, job):
    status, _, listed = http("GET", f"/soloist/v1/events?job_id={job.job_id}")
    assert status == 200
    return listed["events"]
