"""Operations 6 to 10, an app's record rules, by the official SDK."""

import re

import psycopg
import pytest
from huaweicloudsdkcloudrtc.v2 import HLSRecordConfig, MP4RecordConfig, RecordObsFileAddr, RecordParam, RecordRuleReq
from support.sdk import fields_of

MILLISECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
PREFIX = "{app_id}/{record_format}/{stream}_{file_start_time}/{stream}_{file_start_time}"


def address(**fields):
    return RecordObsFileAddr(**{"location": "cn-north-4", "project_id": "p", "bucket": "recordings", **fields})


def a_rule(**fields):
    least = {"obs_addr": address(), "record_formats": ["MP4"], "mp4_config": MP4RecordConfig(record_cycle=60)}
    return RecordRuleReq(**{**least, **fields})


@pytest.fixture
def rules(sdk, fresh_app):
    """Calls on the rules of an app of its own, without `_record_rule` and with the app filled in."""

    def call(verb, **fields):
        return sdk.call(f"{verb}_record_rules" if verb == "list" else f"{verb}_record_rule", app_id=fresh_app, **fields)

    call.app_id = fresh_app
    return call


def test_a_rule_with_every_field_is_returned_as_given(rules):
    hls = HLSRecordConfig(
        record_cycle=0, record_prefix="h/{stream}", record_slice_duration=2, record_max_duration_to_merge_file=-1
    )
    mp4 = MP4RecordConfig(record_cycle=10_800, record_prefix="m/{stream}", record_max_duration_to_merge_file=300)
    given = a_rule(obs_addr=address(object="Record/"), record_formats=["HLS", "MP4"], hls_config=hls, mp4_config=mp4)

    made = rules("create", body=given)

    assert made.status_code == 201
    assert re.fullmatch(r"[0-9a-f]{24}", made.rule_id)
    assert made.app_id == rules.app_id
    assert (made.obs_addr, made.record_formats) == (given.obs_addr, ["HLS", "MP4"])
    assert (made.hls_config, made.mp4_config) == (hls, mp4)
    assert MILLISECONDS.fullmatch(made.create_time)
    assert made.update_time == made.create_time
    assert len(made.x_request_id) == 32


def test_absent_fields_of_a_rule_get_the_vendors_defaults(rules):
    hls = HLSRecordConfig(record_cycle=60)

    made = rules("create", body=a_rule(record_formats=["MP4", "HLS"], hls_config=hls))

    assert made.obs_addr.object == ""
    assert (made.hls_config.record_prefix, made.mp4_config.record_prefix) == (PREFIX, PREFIX)
    assert (made.hls_config.record_slice_duration, made.hls_config.record_max_duration_to_merge_file) == (10, 0)
    assert made.mp4_config.record_max_duration_to_merge_file == 0


def test_a_configuration_without_its_format_is_kept_and_one_not_given_is_absent(rules):
    kept = rules("create", body=a_rule(hls_config=HLSRecordConfig(record_cycle=0)))
    assert (kept.record_formats, kept.hls_config.record_cycle) == (["MP4"], 0)

    assert rules("create", body=a_rule()).hls_config is None


def test_a_second_rule_of_a_location_takes_the_place_of_the_first(rules):
    first = rules("create", body=a_rule())

    second = rules("create", body=a_rule(mp4_config=MP4RecordConfig(record_cycle=120)))

    assert (second.status_code, second.rule_id, second.create_time) == (200, first.rule_id, first.create_time)
    assert second.update_time > first.update_time
    assert second.mp4_config.record_cycle == 120
    assert len(rules("list").rules) == 1


def test_rules_are_listed_by_location_and_page(rules):
    made = [rules("create", body=a_rule(obs_addr=address(location=name))) for name in ("elsewhere", "cn-north-4")]

    everything = rules("list").rules
    pages = [rules("list", offset=offset, limit=1).rules for offset in (0, 1, 2)]

    assert [rule.rule_id for rule in everything] == [made[1].rule_id, made[0].rule_id]
    assert [[rule.rule_id for rule in page] for page in pages] == [[made[1].rule_id], [made[0].rule_id], []]
    assert fields_of(everything[0]) == fields_of(made[1])


@pytest.mark.parametrize(
    "paging", [{"offset": -1}, {"offset": 2**31}, {"limit": 0}, {"limit": 101}, {"offset": "x"}, {"limit": "1.5"}]
)
def test_a_page_outside_its_range_is_refused_by_name(rules, refused, paging):
    error = refused(rules, "list", **paging)

    assert (error.status_code, error.error_code) == (400, "RTC.00001003")
    assert next(iter(paging)) in error.error_msg


def test_a_rule_is_shown_as_it_was_made(rules):
    made = rules("create", body=a_rule())

    shown = rules("show", rule_id=made.rule_id)

    assert shown.status_code == 200
    assert fields_of(shown) == fields_of(made)


def test_an_update_replaces_the_whole_rule_under_its_id(rules):
    made = rules("create", body=a_rule(hls_config=HLSRecordConfig(record_cycle=0)))

    changed = rules("update", rule_id=made.rule_id, body=a_rule(obs_addr=address(location="elsewhere", bucket="other")))

    assert (changed.status_code, changed.rule_id, changed.create_time) == (200, made.rule_id, made.create_time)
    assert changed.update_time > made.update_time
    assert (changed.obs_addr.location, changed.obs_addr.bucket, changed.hls_config) == ("elsewhere", "other", None)


def test_an_update_to_a_location_that_is_taken_is_refused(rules, refused):
    made = rules("create", body=a_rule())
    rules("create", body=a_rule(obs_addr=address(location="elsewhere")))

    error = refused(rules, "update", rule_id=made.rule_id, body=a_rule(obs_addr=address(location="elsewhere")))

    assert (error.status_code, error.error_code) == (400, "RTC.00001019")
    assert error.error_msg.startswith("RecordRuleExist: record rule of the app exists")


def test_a_deleted_rule_is_gone(rules, refused):
    made = rules("create", body=a_rule())

    assert rules("delete", rule_id=made.rule_id).status_code == 204
    assert refused(rules, "show", rule_id=made.rule_id).status_code == 404
    assert refused(rules, "delete", rule_id=made.rule_id).status_code == 404


def test_a_rule_that_a_live_job_records_by_cannot_be_deleted(rules, sdk, who, refused):
    rule_id = rules("create", body=a_rule()).rule_id
    job = sdk.create(rules.app_id, **who, record_param=RecordParam(record_rule_id=rule_id))

    error = refused(rules, "delete", rule_id=rule_id)

    assert (error.status_code, error.error_code) == (400, "RTC.00001013")
    assert error.error_msg.startswith("RuleForbidenDelete: ")
    sdk.stop(job.job_id, rules.app_id)
    assert rules("delete", rule_id=rule_id).status_code == 204


def test_a_changed_rule_leaves_jobs_that_run_as_they_are(server, rules, sdk, who):
    rule_id = rules("create", body=a_rule()).rule_id
    job = sdk.create(rules.app_id, **who, record_param=RecordParam(record_rule_id=rule_id))

    rules("update", rule_id=rule_id, body=a_rule(mp4_config=MP4RecordConfig(record_cycle=600)))

    with psycopg.connect(server.database_url) as connection:
        query = "SELECT rule->'mp4'->>'record_cycle_s' FROM jobs WHERE job_id = %s"
        assert connection.execute(query, [job.job_id]).fetchone() == ("60",)
    sdk.stop(job.job_id, rules.app_id)


@pytest.mark.parametrize(
    ("body", "code", "names"),
    [
        (None, "RTC.00001005", "obs_addr, record_formats"),
        ("[]", "RTC.00001002", ""),
        (a_rule(obs_addr=RecordObsFileAddr(location="cn-north-4")), "RTC.00001005", "obs_addr.project_id"),
        (a_rule(obs_addr=address(location="moon")), "RTC.00001012", "moon"),
        (a_rule(obs_addr=address(bucket="B")), "RTC.00001003", "bucket"),
        (a_rule(obs_addr=address(bucket="b" * 257)), "RTC.00001003", "obs_addr.bucket"),
        (a_rule(obs_addr=address(object="a/../b")), "RTC.00001003", "object"),
        (a_rule(obs_addr=address(object="/")), "RTC.00001003", "object"),
        (a_rule(obs_addr=address(project_id="")), "RTC.00001003", "obs_addr.project_id"),
        (a_rule(record_formats=[]), "RTC.00001003", "record_formats"),
        (a_rule(record_formats=["mp4"]), "RTC.00001003", "record_formats"),
        (a_rule(record_formats=["WEBM"]), "RTC.00001003", "record_formats"),
        (a_rule(record_formats=["MP4", "MP4"]), "RTC.00001003", "record_formats"),
        (a_rule(record_formats=["HLS"]), "RTC.00001004", "hls_config"),
        (a_rule(mp4_config=None), "RTC.00001004", "mp4_config"),
        (a_rule(mp4_config={}), "RTC.00001005", "mp4_config.record_cycle"),
        (a_rule(mp4_config={"record_cycle": 0}), "RTC.00001003", "mp4_config.record_cycle"),
        (a_rule(mp4_config={"record_cycle": 59}), "RTC.00001003", "mp4_config.record_cycle"),
        (a_rule(mp4_config={"record_cycle": 10_801}), "RTC.00001003", "mp4_config.record_cycle"),
        (a_rule(mp4_config={"record_cycle": "60"}), "RTC.00001003", "mp4_config.record_cycle"),
        (a_rule(mp4_config={"record_cycle": 60, "record_prefix": ""}), "RTC.00001003", "record_prefix"),
        (a_rule(mp4_config={"record_cycle": 60, "record_prefix": "p" * 513}), "RTC.00001003", "record_prefix"),
        (a_rule(mp4_config={"record_cycle": 60, "record_prefix": "p" * 300}), "RTC.00001003", "record_prefix"),
        (a_rule(mp4_config={"record_cycle": 60, "record_prefix": "{user}"}), "RTC.00001003", "record_prefix"),
        (a_rule(mp4_config={"record_cycle": 60, "record_prefix": "../x"}), "RTC.00001003", "record_prefix"),
        (
            a_rule(mp4_config={"record_cycle": 60, "record_max_duration_to_merge_file": -1}),
            "RTC.00001003",
            "merge_file",
        ),
        (a_rule(mp4_config={"record_cycle": 60, "record_max_duration_to_merge_file": 301}), "RTC.00001003", "merge"),
        (a_rule(hls_config={"record_cycle": 1}), "RTC.00001003", "hls_config.record_cycle"),
        (a_rule(hls_config={"record_cycle": -1}), "RTC.00001003", "hls_config.record_cycle"),
        (a_rule(hls_config={"record_cycle": 43_201}), "RTC.00001003", "hls_config.record_cycle"),
        (a_rule(hls_config={"record_cycle": 0, "record_slice_duration": 1}), "RTC.00001003", "record_slice_duration"),
        (a_rule(hls_config={"record_cycle": 0, "record_slice_duration": 61}), "RTC.00001003", "record_slice_duration"),
        (a_rule(hls_config={"record_cycle": 0, "record_max_duration_to_merge_file": -2}), "RTC.00001003", "merge"),
        (a_rule(hls_config={"record_cycle": 0, "record_prefix": "a//b"}), "RTC.00001003", "record_prefix"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_by_the_fields_name(rules, refused, *, body, code, names):
    error = refused(rules, "create", body=body)

    assert (error.status_code, error.error_code) == (400, code)
    assert names in error.error_msg
    assert rules("list").rules == []


@pytest.mark.parametrize("verb", ["show", "update", "delete"])
@pytest.mark.parametrize("rule_id", ["none", "their-rule", None, "r" * 129])
def test_an_unknown_rule_is_404(rules, refused, verb, rule_id):
    body = {"body": a_rule()} if verb == "update" else {}

    error = refused(rules, verb, rule_id=rule_id, **body)

    assert (error.status_code, error.error_code) == (404, "RTC.00001003")


@pytest.mark.parametrize("app_id", ["none", "theirs"])
@pytest.mark.parametrize("verb", ["create", "list", "show", "update", "delete"])
def test_rules_of_an_unknown_or_foreign_app_are_404(sdk, refused, verb, app_id):
    fields = {"body": a_rule()} if verb in {"create", "update"} else {}
    fields |= {"rule_id": "their-rule"} if verb in {"show", "update", "delete"} else {}

    error = refused(sdk.call, f"{verb}_record_rule{'s' if verb == 'list' else ''}", app_id=app_id, **fields)

    assert (error.status_code, error.error_code) == (404, "RTC.00001003")


def test_sound_can_be_kept_as_it_is_by_a_field_of_ours(http, fresh_app):
    body = b"""{"obs_addr": {"location": "cn-north-4", "project_id": "p", "bucket": "recordings"},
        "record_formats": ["MP4"], "mp4_config": {"record_cycle": 60}, "ext": {"audio": "copy"}}"""

    status, _, made = http("POST", f"/v2/apps/{fresh_app}/record-rules", body)

    assert (status, made["ext"]) == (201, {"audio": "copy", "keep_damaged": False})
    assert None not in made.values()


def test_damaged_pictures_can_be_kept_by_a_field_of_ours(http, fresh_app):
    body = b"""{"obs_addr": {"location": "cn-north-4", "project_id": "p", "bucket": "recordings"},
        "record_formats": ["MP4"], "mp4_config": {"record_cycle": 60}, "ext": {"keep_damaged": true}}"""

    status, _, made = http("POST", f"/v2/apps/{fresh_app}/record-rules", body)
    _, _, shown = http("GET", f"/v2/apps/{fresh_app}/record-rules/{made['rule_id']}", b"")

    assert (status, made["ext"], shown["ext"]) == (201, *[{"audio": "aac", "keep_damaged": True}] * 2)
