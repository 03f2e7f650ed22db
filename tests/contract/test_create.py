"""Operation 1, create_individual_stream_job, by the official SDK."""

import re
import time

import pytest
from support.sdk import RecordParam

MILLISECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
CREATE_P95_MS_MAX = 100


@pytest.fixture
def create(sdk):
    """Create jobs and stop them afterwards."""
    created = []

    def run(**fields):
        created.append(sdk.create(**fields))
        return created[-1]

    yield run
    for job in created:
        sdk.stop(job.job_id)


def test_a_created_job_has_the_defaults_and_the_names_it_was_given(create, who):
    job = create(**who)

    assert job.status_code == 201
    assert re.fullmatch(r"[0-9a-f]{32}", job.job_id)
    assert job.stream_name == f"s_{job.job_id}_{who['room_id']}_{who['user_id']}"
    assert (job.app_id, job.room_id, job.user_id) == ("demo", who["room_id"], who["user_id"])
    assert (job.is_record_audio, job.video_type, job.select_stream_type) == (True, "CAMERASTREAM", "FHD")
    assert (job.max_idle_time, job.record_param.record_rule_id) == (30, "demo")


def test_a_created_job_is_initialising_and_began_when_it_was_accepted(create, who):
    job = create(**who)

    assert job.state == "INIT"
    assert MILLISECONDS.fullmatch(job.create_time)
    assert job.create_time == job.update_time == job.start_time
    assert job.stop_time is job.stop_reason is job.description is None


def test_every_field_is_echoed(create, who):
    fields = {"is_record_audio": False, "video_type": "SCREENSTREAM", "select_stream_type": "LD", "max_idle_time": 600}

    job = create(**who, **fields)

    assert {name: getattr(job, name) for name in fields} == fields


def test_the_booleans_on_the_wire_are_json_booleans(http, who):
    body = f'{{"room_id":"{who["room_id"]}","user_id":"b","record_param":{{"record_rule_id":"demo"}}}}'.encode()

    status, _, shown = http("POST", "/v2/apps/demo/individual-stream-jobs", body)

    assert status == 201
    assert shown["is_record_audio"] is True
    assert None not in shown.values()


def test_an_empty_video_type_records_audio_only(create, who):
    assert create(**who, video_type="").video_type == ""


@pytest.mark.parametrize("number", [100, 2**63 - 1])
def test_numeric_ids_are_taken_and_shown_as_text(http, create, who, number):
    job = create(room_id=number, user_id=who["user_id"])

    _, _, shown = http("GET", f"/v2/apps/demo/individual-stream-jobs/{job.job_id}")
    assert shown["room_id"] == str(number)


def test_a_plain_dict_with_nulls_counts_them_as_absent(sdk, who):
    body = {**who, "video_type": None, "max_idle_time": None, "record_param": {"record_rule_id": "demo"}}

    job = sdk.create_raw(body)

    assert (job.video_type, job.max_idle_time) == ("CAMERASTREAM", 30)


def test_unknown_fields_are_ignored(sdk, who):
    body = {**who, "record_param": {"record_rule_id": "demo", "new": 1}, "future": {"deep": [1]}}

    assert sdk.create_raw(body).status_code == 201


def test_the_request_id_is_read_by_the_sdk_and_differs_each_time(create, who):
    first, second = create(**who), create(**who, video_type="SCREENSTREAM")

    assert len(first.x_request_id) == 32
    assert first.x_request_id != second.x_request_id


def test_camera_and_screen_of_one_user_are_two_jobs(create, who):
    assert create(**who).job_id != create(**who, video_type="SCREENSTREAM").job_id


def test_a_second_start_is_job_running(sdk, job, who, refused):
    error = refused(sdk.create, **who)

    assert (error.status_code, error.error_code) == (400, "RTC.00001006")
    assert error.error_msg.startswith("JobRunning: job exists and is not over")


def test_after_a_stop_the_same_start_makes_a_new_job(create, sdk, who):
    first = create(**who)
    sdk.stop(first.job_id)

    assert create(**who).job_id != first.job_id


UNICODE_BODY = '{"room_id":"房间é","user_id":"u1","record_param":{"record_rule_id":"demo"}}'


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (None, "RTC.00001005"),
        ({}, "RTC.00001005"),
        ("{", "RTC.00001002"),
        ("[]", "RTC.00001002"),
        ('{"room_id":"a","room_id":"b"}', "RTC.00001002"),
        ('{"room_id":NaN}', "RTC.00001002"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "RTC.00001002"),
        ("raw text", "RTC.00001002"),
        (UNICODE_BODY, "RTC.00001003"),
        ({"room_id": "r"}, "RTC.00001005"),
        ({"room_id": "r", "user_id": None}, "RTC.00001005"),
        ({"room_id": "r", "user_id": "u"}, "RTC.00001005"),
        ({"room_id": "r", "user_id": "u", "record_param": {}}, "RTC.00001005"),
        ({"user_id": "u", "max_idle_time": 1}, "RTC.00001005"),
        ({"room_id": True, "user_id": "u"}, "RTC.00001003"),
        ({"room_id": 1.5, "user_id": "u"}, "RTC.00001003"),
        ({"room_id": 2**64, "user_id": "u"}, "RTC.00001003"),
        ({"room_id": "a/../b", "user_id": "u"}, "RTC.00001003"),
    ],
)
def test_a_body_that_cannot_be_a_job_is_refused(sdk, refused, body, code):
    error = refused(sdk.create_raw, body)

    assert (error.status_code, error.error_code) == (400, code)
    assert len(error.request_id) == 32


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"max_idle_time": 4}, "RTC.00001003"),
        ({"max_idle_time": 43_201}, "RTC.00001003"),
        ({"max_idle_time": "30"}, "RTC.00001003"),
        ({"video_type": "BOTH"}, "RTC.00001003"),
        ({"select_stream_type": "UHD"}, "RTC.00001003"),
        ({"is_record_audio": "false"}, "RTC.00001003"),
        ({"record_param": RecordParam(record_rule_id="none")}, "RTC.00001003"),
        ({"record_param": RecordParam(record_rule_id="their-rule")}, "RTC.00001003"),
        ({"is_record_audio": False, "video_type": ""}, "RTC.00001004"),
    ],
)
def test_a_wrong_value_is_refused(sdk, who, refused, *, fields, code):
    error = refused(sdk.create, **who, **fields)

    assert (error.status_code, error.error_code) == (400, code)


@pytest.mark.parametrize(
    "url", ["http://h.example.test/a/b", "rtmp://h.example.test/a", "rtmp://u:p@h.example.test/a/b"]
)
def test_forwarding_to_something_else_is_a_wrong_value_named_by_its_place(sdk, who, refused, url):
    good = "rtmp://h.example.test/live/key"
    error = refused(sdk.create_raw, {**who, "publish_param": {"rtmp_urls": [good, url]}})

    assert (error.status_code, error.error_code) == (400, "RTC.00001003")
    assert "publish_param.rtmp_urls[1]: must" in error.error_msg
    assert url not in error.error_msg


@pytest.mark.parametrize("app", ["none", "theirs", None, "a" * 33])
def test_an_unknown_or_foreign_app_is_404(sdk, who, refused, app):
    error = refused(sdk.create, app, **who)

    assert (error.status_code, error.error_code) == (404, "RTC.00001003")
    assert error.error_msg.startswith("InvalidParameterValue")


def test_a_disabled_app_is_refused(sdk, who, refused):
    error = refused(sdk.create, "off", **who)

    assert (error.status_code, error.error_code) == (400, "RTC.00001016")


def test_an_oversize_body_is_413(sdk, who, refused):
    error = refused(sdk.create_raw, {**who, "padding": "x" * (1 << 20)})

    assert (error.status_code, error.error_code) == (413, "APIGW.0201")


def test_create_one_at_a_time_takes_less_than_100_ms_at_the_95th_percentile(sdk, create, tell):
    create(room_id="warm", user_id="up")
    durations_ms = []
    for number in range(60):
        began = time.perf_counter()
        create(room_id="latency", user_id=f"user{number}")
        durations_ms.append((time.perf_counter() - began) * 1000)

    p50, p95 = (sorted(durations_ms)[int(len(durations_ms) * share)] for share in (0.5, 0.95))
    tell(f"create, one at a time, SDK included: p50 {p50:.1f} ms, p95 {p95:.1f} ms")
    assert p95 < CREATE_P95_MS_MAX


@pytest.mark.parametrize("host", ["10.0.0.1", "169.254.169.254", "[fd00::1]", "0xa000001", "167772161", "10.1"])
def test_forwarding_to_an_address_that_is_never_allowed_is_refused_at_once(sdk, who, refused, host):
    urls = ["rtmp://h.example.test/live/key", f"rtmp://{host}/live/secret-key"]
    error = refused(sdk.create_raw, {**who, "publish_param": {"rtmp_urls": urls}})

    assert (error.status_code, error.error_code) == (400, "RTC.00001003")
    assert "publish_param.rtmp_urls[1]: " in error.error_msg
    assert "secret-key" not in error.error_msg
