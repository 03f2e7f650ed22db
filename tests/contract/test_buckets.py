"""Operations 23 to 25, buckets and what is in them, by the official SDK, on folders and on a real S3 server."""

import asyncio
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
from huaweicloudsdkcloudrtc.v2 import MP4RecordConfig, ObsAuthorityConfig, RecordObsFileAddr, RecordRuleReq
from support.database import connected
from support.s3 import CREDENTIAL
from support.server import free_port

from soloist.clock import utc_now
from soloist.jobs.accounts import Accounts
from soloist.jobs.library import Library
from soloist.jobs.rules import RuleService
from soloist.model.errors import DestinationError
from soloist.model.ids import AppId, ProjectId, RuleId
from soloist.storage.location import S3Location
from soloist.wire.granted import Grant

GMT = re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d GMT\+00:00")
OBJECTS = {"a/one.mp4": 1, "a/two.mp4": 1025, "a/deep/three.mp4": 5000, "b/four five.mp4": 0, "房间.mp4": 7}


@pytest.fixture(scope="module", params=["folder", "s3"])
def place(request, server, folders, s3):
    """A bucket `holdings` with `OBJECTS` in it: its location, and how to make others there."""
    location = "elsewhere" if request.param == "folder" else "s3"

    def make(bucket):
        if location == "s3":
            s3.ask("PUT", f"/{bucket}")
        else:
            (folders[location] / bucket).mkdir()

    def put(bucket, key, size):
        if location == "s3":
            s3.ask("PUT", f"/{bucket}/{key}", data=bytes(size))
        else:
            path = folders[location] / bucket / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(size))

    make("holdings")
    for key, size in OBJECTS.items():
        put("holdings", key, size)
    return SimpleNamespace(location=location, make=make, put=put)


def found_in(sdk, place, prefix="", *, kind="objects", bucket="holdings"):
    return sdk.call("list_obs_bucket_objects", bucket=bucket, prefix=prefix, type=kind, location=place.location)


def authorise(sdk, location, bucket, operation):
    body = ObsAuthorityConfig(bucket=bucket, operation=operation, location=location, project_id="dev")
    return sdk.call("update_obs_bucket_authority", body=body)


def test_buckets_of_every_location_are_listed_with_every_field(sdk, place):
    listed = sdk.call("list_obs_buckets")

    assert (listed.status_code, listed.count) == (200, len(listed.buckets))
    (bucket,) = [b for b in listed.buckets if (b.location, b.bucket) == (place.location, "holdings")]
    assert bucket.is_authorized is True
    assert GMT.fullmatch(bucket.creation_date)
    assert len(bucket.creation_date) == 29
    assert [(b.location, b.bucket) for b in listed.buckets] == sorted((b.location, b.bucket) for b in listed.buckets)


def test_objects_are_listed_by_prefix_with_every_field(sdk, place):
    listed = found_in(sdk, place)

    assert (listed.status_code, listed.count) == (200, len(OBJECTS))
    assert {found.file_name: found.size for found in listed.objects} == {
        key: -(-size // 1024) for key, size in OBJECTS.items()
    }
    assert all(GMT.fullmatch(found.last_modified) for found in listed.objects)
    assert [found.file_name for found in found_in(sdk, place, "a/t").objects] == ["a/two.mp4"]
    assert [found.file_name for found in found_in(sdk, place, "a/").objects] == [
        "a/deep/three.mp4",
        "a/one.mp4",
        "a/two.mp4",
    ]
    assert found_in(sdk, place, "none").count == 0


def test_folders_right_below_a_prefix_are_listed(sdk, place):
    def folders(prefix=""):
        return [(found.file_name, found.size) for found in found_in(sdk, place, prefix, kind="folders").objects]

    assert folders() == [("a/", 0), ("b/", 0)]
    assert folders("a/") == [("a/deep/", 0)]
    assert folders("a/x") == []


def test_no_more_than_a_thousand_objects_are_listed_however_many_there_are(sdk, place):
    place.make("crowded")
    for number in range(1003):
        place.put("crowded", f"{number:04d}.mp4", 1)

    listed = found_in(sdk, place, bucket="crowded")

    assert listed.count == 1000
    assert [found.file_name for found in listed.objects[:2]] == ["0000.mp4", "0001.mp4"]


@pytest.mark.parametrize("prefix", ["../", "/", "a/../../", "./", "a//"])
def test_a_prefix_leads_nowhere_out_of_its_bucket(sdk, place, prefix):
    assert found_in(sdk, place, prefix).count == 0


def test_what_links_lead_to_is_not_in_a_bucket(sdk, folders, tmp_path):
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    bucket = folders["elsewhere"] / "linked"
    bucket.mkdir()
    (bucket / "file.mp4").symlink_to(tmp_path / "secret.mp4")
    (bucket / "folder").symlink_to(tmp_path)

    assert found_in(sdk, SimpleNamespace(location="elsewhere"), bucket="linked").count == 0


@pytest.mark.parametrize(
    ("query", "status", "code", "names"),
    [
        ({"bucket": None}, 400, "RTC.00001005", "bucket"),
        ({"type": None}, 400, "RTC.00001005", "type"),
        ({"location": None}, 400, "RTC.00001005", "location"),
        ({"type": "files"}, 400, "RTC.00001003", "type"),
        ({"bucket": "b" * 64}, 400, "RTC.00001003", "bucket"),
        ({"bucket": "../demo"}, 400, "RTC.00001003", "bucket"),
        ({"prefix": "p" * 1025}, 400, "RTC.00001003", "prefix"),
        ({"location": "mars-1"}, 400, "RTC.00001012", "mars-1"),
        ({"bucket": "no-such-bucket"}, 404, "RTC.00001003", "no-such-bucket"),
    ],
)
def test_a_list_that_cannot_be_is_refused_by_name(sdk, place, refused, *, query, status, code, names):
    asked = {"bucket": "holdings", "type": "objects", "location": place.location, **query}
    error = refused(sdk.call, "list_obs_bucket_objects", **{name: asked[name] for name in asked if asked[name]})

    assert (error.status_code, error.error_code) == (status, code)
    assert names in error.error_msg


def test_nothing_is_recorded_into_a_bucket_that_was_revoked_until_it_is_granted(sdk, place, fresh_app, *, who, refused):
    address = RecordObsFileAddr(location=place.location, project_id="dev", bucket="holdings")
    rule = RecordRuleReq(obs_addr=address, record_formats=["MP4"], mp4_config=MP4RecordConfig(record_cycle=60))
    rule_id = sdk.call("create_record_rule", app_id=fresh_app, body=rule).rule_id
    body = {**who, "record_param": {"record_rule_id": rule_id}}

    revoked = authorise(sdk, place.location, "holdings", 0)

    assert (revoked.status_code, len(revoked.x_request_id)) == (200, 32)
    assert is_authorised(sdk, place) is False
    error = refused(sdk.create_raw, body, fresh_app)
    assert (error.status_code, error.error_code) == (400, "RTC.00001003")
    assert "holdings" in error.error_msg

    authorise(sdk, place.location, "holdings", 1)
    authorise(sdk, place.location, "holdings", 1)
    assert is_authorised(sdk, place) is True
    sdk.stop(sdk.create_raw(body, fresh_app).job_id, fresh_app)


def is_authorised(sdk, place):
    listed = sdk.call("list_obs_buckets").buckets
    return next(b.is_authorized for b in listed if (b.location, b.bucket) == (place.location, "holdings"))


@pytest.mark.parametrize(
    ("change", "code", "names"),
    [
        ({"operation": 2}, "RTC.00001003", "operation"),
        ({"operation": None}, "RTC.00001005", "operation"),
        ({"bucket": None}, "RTC.00001005", "bucket"),
        ({"location": None}, "RTC.00001005", "location"),
        ({"bucket": "no-such-bucket"}, "RTC.00001003", "no-such-bucket"),
        ({"bucket": "NOT A BUCKET"}, "RTC.00001003", "bucket"),
        ({"location": "mars-1"}, "RTC.00001012", "mars-1"),
    ],
)
def test_an_authority_that_cannot_be_is_refused_by_name(sdk, refused, *, place, change, code, names):
    body = {"bucket": "holdings", "operation": 1, "location": place.location, **change}
    error = refused(sdk.call, "update_obs_bucket_authority", body=body)

    assert (error.status_code, error.error_code) == (400, code)
    assert names in error.error_msg


def test_a_bucket_that_only_another_projects_rules_name_is_not_shown(sdk, server, place, refused):
    place.make("their-bucket")
    place.put("their-bucket", "theirs.mp4", 1)
    asyncio.run(_their_rule(server.database_url, place.location))

    assert "their-bucket" not in {
        b.bucket for b in sdk.call("list_obs_buckets").buckets if b.location == place.location
    }
    assert refused(found_in, sdk, place, bucket="their-bucket").status_code == 404
    assert refused(authorise, sdk, place.location, "their-bucket", 1).status_code == 400


def test_another_projects_bucket_does_not_become_mine_by_naming_it(sdk, server, place, fresh_app, *, refused):
    place.make("victim")
    asyncio.run(_their_rule(server.database_url, place.location, "victim", forget=True))
    address = RecordObsFileAddr(location=place.location, project_id="dev", bucket="victim")
    rule = RecordRuleReq(obs_addr=address, record_formats=["MP4"], mp4_config=MP4RecordConfig(record_cycle=60))
    mine = RecordRuleReq(
        obs_addr=RecordObsFileAddr(location=place.location, project_id="dev", bucket="mine"),
        record_formats=["MP4"],
        mp4_config=MP4RecordConfig(record_cycle=60),
    )
    rule_id = sdk.call("create_record_rule", app_id=fresh_app, body=mine).rule_id

    for error in (
        refused(sdk.call, "create_record_rule", app_id=fresh_app, body=rule),
        refused(sdk.call, "update_record_rule", app_id=fresh_app, rule_id=rule_id, body=rule),
    ):
        assert (error.status_code, error.error_code) == (400, "RTC.00001003")
        assert "obs_addr.bucket" in error.error_msg
    assert refused(found_in, sdk, place, bucket="victim").status_code == 404


async def _their_rule(database_url, location, bucket="their-bucket", *, forget=False):
    """Let the project `other` have a rule into a bucket, or have had one."""
    async with connected(database_url) as database:
        accounts = Accounts(database)
        rule = await accounts.rule(AppId("theirs"), RuleId("their-rule"))
        address = replace(rule.address, location=location, bucket=bucket)
        rule_id = RuleId(f"in-{location}")
        await accounts.save_rule(replace(rule, rule_id=rule_id, address=address), utc_now())
        if forget:
            await RuleService(database).delete(ProjectId("other"), AppId("theirs"), rule_id)


@pytest.mark.parametrize("prefix", ["n" * 256 + "/", "n" * 300 + "/a", "a/" + "n" * 256])
def test_below_a_name_longer_than_any_file_has_there_is_nothing(sdk, place, prefix):
    assert found_in(sdk, place, prefix).count == 0


@pytest.mark.anyio
async def test_a_location_that_does_not_answer_hides_no_other_ones_buckets(database_url, tmp_path):
    (tmp_path / "recordings").mkdir()
    away = S3Location(f"http://127.0.0.1:{free_port()}", CREDENTIAL)
    async with connected(database_url) as database:
        await Accounts(database).grant(ProjectId("dev"), [Grant("here", "recordings")])
        shown = await Library(database, {"away": away, "here": tmp_path}, "secret").buckets(ProjectId("dev"))
        with pytest.raises(DestinationError):
            await Library(database, {"away": away}, "secret").buckets(ProjectId("dev"))

    assert [(each.location, each.bucket.name) for each in shown] == [("here", "recordings")]
