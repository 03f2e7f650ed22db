"""A tenant who reaches for what lies in other tenants' buckets gets nothing, and their recordings go on untouched."""

import asyncio
import json
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from support.crash_verdict import lost_pictures
from support.database import connected
from support.instance import Instance
from support.takes import take

from soloist.clock import utc_now
from soloist.jobs.accounts import VIDEO_CODECS, Accounts, App
from soloist.model.ids import AppId, ProjectId
from soloist.wire.granted import Grant

ATTACKER = ProjectId("attacker")
TOKEN = "attackers-token-of-forty-characters-or-so"
LOCATION = "cn-north-4"
SECRET = "db/prod-dump.sql"


@pytest.fixture(scope="module")
def attacker(service: Instance) -> None:
    """A project with an app, granted the folder `mine` of a bucket that others use as well."""

    async def arrange() -> None:
        async with connected(service._database_url) as database:
            accounts = Accounts(database)
            await accounts.create_token(TOKEN, ATTACKER)
            await accounts.create_app(App(AppId("evil"), ATTACKER, "evil", True, "00" * 32, VIDEO_CODECS, utc_now()))
            await accounts.grant(ATTACKER, [Grant(LOCATION, "shared", "mine")])

    asyncio.run(arrange())
    for bucket, key in (("backups", SECRET), ("shared", "theirs/a.mp4"), ("shared", "mine/b.mp4"), ("shared", "c.mp4")):
        path = service.data / "storage" / bucket / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"secret")


def ask(service: Instance, method: str, path: str, body: object = None) -> tuple[int, str]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(service.url + path, data, {"X-Auth-Token": TOKEN}, method=method)  # noqa: S310
    try:
        answer = urllib.request.urlopen(request, timeout=10)  # noqa: S310 - our own
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        return answer.status, answer.read().decode()


def listed(service: Instance, bucket: str, prefix: str = "", kind: str = "objects") -> tuple[int, list[str]]:
    query = urllib.parse.urlencode({"bucket": bucket, "prefix": prefix, "type": kind, "location": LOCATION})
    status, text = ask(service, "GET", f"/v2/rtc-ops/buckets/objects?{query}")
    return status, [found["file_name"] for found in json.loads(text).get("objects", ())]


def a_rule(bucket: str, folder: str, prefix: str = "{stream}") -> dict[str, object]:
    address = {"location": LOCATION, "project_id": ATTACKER, "bucket": bucket, "object": folder}
    config = {"record_cycle": 60, "record_prefix": prefix}
    return {"obs_addr": address, "record_formats": ["MP4"], "mp4_config": config}


@pytest.mark.usefixtures("attacker")
def test_no_bucket_of_others_is_seen_named_or_claimed_while_they_record_into_it(service: Instance, clip: Path) -> None:
    rules = "/v2/apps/evil/record-rules"
    with take(service, clip, "victim") as taken:
        taken.await_recording()
        _, text = ask(service, "GET", "/v2/rtc-ops/buckets")
        assert [found["bucket"] for found in json.loads(text)["buckets"]] == ["shared"]
        for bucket in ("recordings", "backups"):
            for prefix in ("", "db/", "demo/", "../", "mine/"):
                assert listed(service, bucket, prefix) == (404, [])
            for operation in (0, 1):
                body = {"bucket": bucket, "operation": operation, "location": LOCATION}
                assert ask(service, "PUT", "/v2/rtc-ops/buckets/authentication", body)[0] == 400
            for folder in ("", "mine", "demo"):
                status, text = ask(service, "POST", rules, a_rule(bucket, folder))
                assert (status, "obs_addr.bucket" in text, "soloist bucket grant" in text) == (400, True, True)
        assert "prod-dump" not in text
        taken.stop()
        (file,) = taken.finished()
    assert file.complaints == ()
    assert lost_pictures(file) == []


@pytest.mark.usefixtures("attacker")
@pytest.mark.parametrize(
    ("prefix", "objects", "folders"),
    [
        ("", ["mine/b.mp4"], ["mine/"]),
        ("m", ["mine/b.mp4"], ["mine/"]),
        ("mine/", ["mine/b.mp4"], []),
        ("theirs/", [], []),
        ("c", [], []),
        ("mine/../theirs/", [], []),
        ("mine//", [], []),
        ("./", [], []),
    ],
)
def test_of_a_shared_bucket_only_the_granted_folder_is_shown(
    service: Instance, prefix: str, objects: list[str], folders: list[str]
) -> None:
    assert listed(service, "shared", prefix) == (200, objects)
    assert listed(service, "shared", prefix, "folders") == (200, folders)


@pytest.mark.usefixtures("attacker")
@pytest.mark.parametrize(
    ("folder", "prefix", "says"),
    [
        ("", "{stream}", "obs_addr.object"),
        ("theirs", "{stream}", "obs_addr.object"),
        ("mine2", "{stream}", "obs_addr.object"),
        ("Mine", "{stream}", "obs_addr.object"),
        ("", "theirs/{stream}", "obs_addr.object"),
        ("", "mine{stream}/a", "obs_addr.object"),
        ("mine/../theirs", "{stream}", "object"),
        ("mine//a", "{stream}", "object"),
        ("/mine", "{stream}", "object"),
        ("mine", "../{stream}", "prefix"),
    ],
)
def test_a_rule_records_below_the_granted_folder_or_not_at_all(
    service: Instance, folder: str, prefix: str, says: str
) -> None:
    status, text = ask(service, "POST", "/v2/apps/evil/record-rules", a_rule("shared", folder, prefix))
    assert (status, says in text) == (400, True), text


@pytest.mark.usefixtures("attacker")
def test_a_rule_within_the_grant_is_taken_until_the_grant_is_revoked(service: Instance) -> None:
    from soloist.jobs.grants import remove_grant  # noqa: PLC0415 - only here

    status, text = ask(service, "POST", "/v2/apps/evil/record-rules", a_rule("shared", "mine/deep"))
    assert status == 201, text
    rule_id = json.loads(text)["rule_id"]

    async def revoke() -> bool:
        async with connected(service._database_url) as database, database.begin() as connection:
            return await remove_grant(connection, ATTACKER, Grant(LOCATION, "shared", "mine"))

    assert asyncio.run(revoke())
    job = {"room_id": "r", "user_id": "u", "record_param": {"record_rule_id": rule_id}}
    status, text = ask(service, "POST", "/v2/apps/evil/individual-stream-jobs", job)
    assert (status, "obs_addr.bucket" in text) == (400, True), text
    assert listed(service, "shared") == (404, [])
