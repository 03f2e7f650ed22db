"""Operations 13 to 20, apps and their automatic recording, by the official SDK."""

import json
import re

import pytest
from huaweicloudsdkcloudrtc.v2 import (
    AppCallbackUrlReq,
    AppReq,
    AutoRecordModeReq,
    MP4RecordConfig,
    RecordObsFileAddr,
    RecordRuleReq,
)
from typer.testing import CliRunner

from soloist import cli

MILLISECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
RULE = RecordRuleReq(
    obs_addr=RecordObsFileAddr(location="cn-north-4", project_id="p", bucket="recordings"),
    record_formats=["MP4"],
    mp4_config=MP4RecordConfig(record_cycle=60),
)


@pytest.fixture
def rule_id(sdk, fresh_app):
    """A rule of the app."""
    return sdk.call("create_record_rule", app_id=fresh_app, body=RULE).rule_id


def set_auto(sdk, app_id, mode, rule_id=None):
    body = AutoRecordModeReq(mode=mode, record_rule_id=rule_id)
    return sdk.call("update_auto_record", app_id=app_id, body=body)


def test_an_app_is_made_and_shown_with_every_field(sdk):
    made = sdk.call("create_app", body=AppReq(app_name="Läden für 房间"))
    assert (made.status_code, bool(re.fullmatch(r"[0-9a-f]{24}", made.app_id))) == (201, True)

    shown = sdk.call("show_app", app_id=made.app_id)

    assert (shown.app_id, shown.app_name, shown.tenant_name) == (made.app_id, "Läden für 房间", "dev")
    assert (shown.scope, shown.domain) == ("GLOBAL", None)
    assert MILLISECONDS.fullmatch(shown.create_time)
    assert (shown.state.state, shown.state.update_time) == ("ACTIVATION", shown.create_time)
    assert (shown.authentication.enable, shown.authentication.expire) == (False, 300)
    assert (shown.authentication.app_key, shown.authentication.update_time) == (None, shown.create_time)
    assert (shown.auto_record_mode.mode, shown.auto_record_mode.record_rule_id) == ("AUTO_RECORD_OFF", None)
    assert (shown.callbacks.record_callback.url, shown.callbacks.push_callback) == ("", None)
    assert len(shown.x_request_id) == 32
    sdk.call("stop_app", app_id=made.app_id)
    assert sdk.call("delete_app", app_id=made.app_id).status_code == 204


def test_what_becomes_of_vp8_is_an_apps_and_each_job_keeps_what_it_began_with(sdk, http, server, fresh_app):
    record = {"record_rule_id": sdk.call("create_record_rule", app_id=fresh_app, body=RULE).rule_id}
    jobs = f"/v2/apps/{fresh_app}/individual-stream-jobs"
    paths = []
    for vp8 in ("h264", "webm"):
        environment = {"SOLOIST_DATABASE_URL": server.database_url}
        changed = CliRunner().invoke(cli.app, ["app", "set", fresh_app, "--vp8", vp8], env=environment)
        assert (changed.exit_code, f"vp8       {vp8}" in changed.output) == (0, True), changed.output
        assert http("GET", f"/v2/apps/{fresh_app}")[2]["ext"] == {"vp8": vp8}
        body = {"room_id": "r", "user_id": vp8, "record_param": record}
        paths.append(f"{jobs}/{http('POST', jobs, json.dumps(body).encode())[2]['job_id']}")

    assert [http("GET", path)[2]["ext"]["vp8"] for path in paths] == ["h264", "webm"]
    for path in paths:
        http("DELETE", path)


def test_an_app_can_be_made_with_what_becomes_of_vp8(sdk, http):
    _, _, made = http("POST", "/v2/apps", b'{"app_name": "transcoding", "ext": {"vp8": "h264"}}')

    assert http("GET", f"/v2/apps/{made['app_id']}")[2]["ext"] == {"vp8": "h264"}
    sdk.call("stop_app", app_id=made["app_id"])
    assert sdk.call("delete_app", app_id=made["app_id"]).status_code == 204


@pytest.mark.parametrize("vp8", ["vp9", "", 1])
def test_vp8_becomes_webm_or_h264_and_nothing_else(http, vp8):
    status, _, error = http("POST", "/v2/apps", json.dumps({"app_name": "n", "ext": {"vp8": vp8}}).encode())

    assert (status, "ext.vp8" in error["error_msg"]) == (400, True)


def test_an_app_shows_its_callback_as_the_callbacks_own_operation_does(sdk, fresh_app):
    body = AppCallbackUrlReq(url="https://example.com/notices", auth_key="k" * 32)
    set_to = sdk.call("update_record_callback", app_id=fresh_app, body=body).record_callback

    shown = sdk.call("show_app", app_id=fresh_app).callbacks.record_callback
    [listed] = [app for app in sdk.call("list_apps").apps if app.app_id == fresh_app]

    assert (shown, listed.callbacks.record_callback) == (set_to, set_to)
    assert shown.url == "https://example.com/notices"


def test_apps_are_listed_by_page_with_how_many_there_are(sdk, fresh_app):
    everything = sdk.call("list_apps")
    pages = [sdk.call("list_apps", offset=offset, limit=2) for offset in range((everything.count + 1) // 2)]

    assert everything.count == len(everything.apps)
    assert {"demo", "off", fresh_app} <= {app.app_id for app in everything.apps}
    assert "theirs" not in {app.app_id for app in everything.apps}
    assert {page.count for page in pages} == {everything.count}
    assert [app.app_id for page in pages for app in page.apps] == [app.app_id for app in everything.apps]


def test_apps_are_listed_by_state(sdk):
    enabled, disabled, arrears = (
        sdk.call("list_apps", state=state) for state in ("ACTIVATION", "DEACTIVATION", "ARREARS")
    )

    assert {app.state.state for app in enabled.apps} == {"ACTIVATION"}
    assert "off" in {app.app_id for app in disabled.apps}
    assert {app.state.state for app in disabled.apps} == {"DEACTIVATION"}
    assert (arrears.count, arrears.apps) == (0, [])


@pytest.mark.parametrize("query", [{"state": "DELETED"}, {"offset": -1}, {"limit": 0}, {"limit": 101}])
def test_a_list_of_apps_that_cannot_be_is_refused_by_name(sdk, refused, query):
    error = refused(sdk.call, "list_apps", **query)

    assert (error.status_code, error.error_code) == (400, "RTC.00001003")
    assert next(iter(query)) in error.error_msg


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (None, "RTC.00001005"),
        ("[]", "RTC.00001002"),
        (AppReq(app_name=""), "RTC.00001003"),
        (AppReq(app_name="n" * 257), "RTC.00001003"),
        (AppReq(app_name="a\nb"), "RTC.00001003"),
        ({"app_name": 7}, "RTC.00001003"),
    ],
)
def test_an_app_that_cannot_be_is_refused_by_name(sdk, refused, body, code):
    error = refused(sdk.call, "create_app", body=body)

    assert (error.status_code, error.error_code) == (400, code)
    assert code == "RTC.00001002" or "app_name" in error.error_msg


def test_two_apps_of_a_project_cannot_have_one_name(sdk, fresh_app, refused):
    name = sdk.call("show_app", app_id=fresh_app).app_name

    error = refused(sdk.call, "create_app", body=AppReq(app_name=name))

    assert (error.status_code, error.error_code) == (400, "RTC.00001003")
    assert "app_name" in error.error_msg


def test_a_project_may_have_twenty_apps(sdk, refused):
    free = 20 - sdk.call("list_apps").count
    made = [sdk.call("create_app", body=AppReq(app_name=f"one of many {number}")).app_id for number in range(free)]

    error = refused(sdk.call, "create_app", body=AppReq(app_name="one too many"))

    for app_id in made:
        sdk.call("stop_app", app_id=app_id)
        sdk.call("delete_app", app_id=app_id)
    assert (error.status_code, error.error_code) == (400, "RTC.00001017")
    assert error.error_msg.startswith("AppsExceed: app num exceed")


def test_a_disabled_app_takes_no_jobs_until_it_is_enabled_again(sdk, fresh_app, *, rule_id, who, refused):
    disabled = sdk.call("stop_app", app_id=fresh_app)
    assert (disabled.status_code, disabled.app_id, disabled.state.state) == (200, fresh_app, "DEACTIVATION")
    assert sdk.call("show_app", app_id=fresh_app).state == disabled.state
    body = {**who, "record_param": {"record_rule_id": rule_id}}
    assert refused(sdk.create_raw, body, fresh_app).error_code == "RTC.00001016"

    enabled = sdk.call("start_app", app_id=fresh_app)

    assert (enabled.status_code, enabled.state.state) == (200, "ACTIVATION")
    assert enabled.state.update_time > disabled.state.update_time
    assert sdk.call("start_app", app_id=fresh_app).state == enabled.state
    sdk.stop(sdk.create_raw(body, fresh_app).job_id, fresh_app)


def test_jobs_that_run_go_on_when_their_app_is_disabled(sdk, fresh_app, rule_id, who):
    job = sdk.create_raw({**who, "record_param": {"record_rule_id": rule_id}}, fresh_app)

    sdk.call("stop_app", app_id=fresh_app)

    assert sdk.show(job.job_id, fresh_app).state in {"INIT", "RUNNING"}
    sdk.stop(job.job_id, fresh_app)


def test_an_app_is_deleted_only_when_it_is_disabled_and_has_no_rule(sdk, fresh_app, rule_id, refused):
    enabled = refused(sdk.call, "delete_app", app_id=fresh_app)
    assert (enabled.status_code, enabled.error_code) == (400, "RTC.00001003")

    sdk.call("stop_app", app_id=fresh_app)
    with_a_rule = refused(sdk.call, "delete_app", app_id=fresh_app)

    assert (with_a_rule.status_code, with_a_rule.error_code) == (400, "RTC.00001019")
    assert sdk.call("show_record_rule", app_id=fresh_app, rule_id=rule_id).rule_id == rule_id


def test_jobs_of_a_deleted_app_can_still_be_asked_about(sdk, who, refused):
    app_id = sdk.call("create_app", body=AppReq(app_name="short-lived")).app_id
    rule_id = sdk.call("create_record_rule", app_id=app_id, body=RULE).rule_id
    job = sdk.create_raw({**who, "record_param": {"record_rule_id": rule_id}}, app_id)
    sdk.stop(job.job_id, app_id)
    sdk.call("delete_record_rule", app_id=app_id, rule_id=rule_id)
    sdk.call("stop_app", app_id=app_id)

    sdk.delete_finished(app_id)

    assert refused(sdk.call, "show_app", app_id=app_id).status_code == 404
    assert sdk.show(job.job_id, app_id).state == "STOPPED"


def test_an_app_whose_callback_never_answers_is_deleted_at_once(sdk, who, refused):
    app_id = sdk.call("create_app", body=AppReq(app_name="nobody listens")).app_id
    sdk.call("update_record_callback", app_id=app_id, body=AppCallbackUrlReq(url="https://gone.invalid/notices"))
    rule_id = sdk.call("create_record_rule", app_id=app_id, body=RULE).rule_id
    job = sdk.create_raw({**who, "record_param": {"record_rule_id": rule_id}}, app_id)
    sdk.stop(job.job_id, app_id)
    sdk.call("delete_record_rule", app_id=app_id, rule_id=rule_id)
    sdk.call("stop_app", app_id=app_id)

    assert sdk.delete_finished(app_id).status_code == 204
    assert refused(sdk.call, "show_app", app_id=app_id).status_code == 404
    assert sdk.show(job.job_id, app_id).state == "STOPPED"


def test_automatic_recording_is_switched_on_by_a_rule_and_off_again(sdk, fresh_app, rule_id):
    on = set_auto(sdk, fresh_app, "AUTO_INDIVIDUAL_RECORD", rule_id)

    assert (on.status_code, on.app_id) == (200, fresh_app)
    assert (on.auto_record_mode.mode, on.auto_record_mode.record_rule_id) == ("AUTO_INDIVIDUAL_RECORD", rule_id)
    assert MILLISECONDS.fullmatch(on.auto_record_mode.update_time)
    shown = sdk.call("show_auto_record", app_id=fresh_app)
    assert (shown.app_id, shown.auto_record_mode) == (fresh_app, on.auto_record_mode)
    assert sdk.call("show_app", app_id=fresh_app).auto_record_mode == on.auto_record_mode
    off = set_auto(sdk, fresh_app, "AUTO_RECORD_OFF").auto_record_mode
    assert (off.mode, off.record_rule_id, off.update_time > on.auto_record_mode.update_time) == (
        "AUTO_RECORD_OFF",
        None,
        True,
    )


def test_a_rule_of_automatic_recording_cannot_be_deleted(sdk, fresh_app, rule_id, refused):
    set_auto(sdk, fresh_app, "AUTO_INDIVIDUAL_RECORD", rule_id)

    error = refused(sdk.call, "delete_record_rule", app_id=fresh_app, rule_id=rule_id)

    assert (error.status_code, error.error_code) == (400, "RTC.00001013")


@pytest.mark.parametrize(
    ("body", "code", "names"),
    [
        (None, "RTC.00001005", "mode"),
        ({"mode": "AUTO_MIX_RECORD"}, "RTC.00001003", "mode"),
        ({"mode": "AUTO_INDIVIDUAL_RECORD"}, "RTC.00001005", "record_rule_id"),
        ({"mode": "AUTO_INDIVIDUAL_RECORD", "record_rule_id": ""}, "RTC.00001005", "record_rule_id"),
        ({"mode": "AUTO_INDIVIDUAL_RECORD", "record_rule_id": "none"}, "RTC.00001003", "record_rule_id"),
        ({"mode": "AUTO_INDIVIDUAL_RECORD", "record_rule_id": "their-rule"}, "RTC.00001003", "record_rule_id"),
        ({"mode": "AUTO_RECORD_OFF", "record_rule_id": "r" * 129}, "RTC.00001003", "record_rule_id"),
    ],
)
def test_a_mode_that_cannot_be_is_refused_by_the_fields_name(sdk, fresh_app, refused, *, body, code, names):
    error = refused(sdk.call, "update_auto_record", app_id=fresh_app, body=body)

    assert (error.status_code, error.error_code) == (400, code)
    assert names in error.error_msg


@pytest.mark.parametrize("app_id", ["none", "theirs", None, "a" * 33])
@pytest.mark.parametrize(
    "operation", ["show_app", "delete_app", "start_app", "stop_app", "show_auto_record", "update_auto_record"]
)
def test_an_unknown_or_foreign_app_is_404(sdk, refused, operation, app_id):
    body = {"body": AutoRecordModeReq(mode="AUTO_RECORD_OFF")} if operation == "update_auto_record" else {}

    error = refused(sdk.call, operation, app_id=app_id, **body)

    assert (error.status_code, error.error_code) == (404, "RTC.00001003")
