"""Jobs, rooms and join tokens of our own paths, over a real server: only ever those of the caller's project."""

import asyncio
import contextlib
import json

import pytest
from support.database import connected
from support.flood import TINY_OPUS, flood
from support.instance import until
from support.offers import SOUND_OFFER

from soloist.jobs.accounts import Accounts
from soloist.model.ids import ProjectId

MINE = (("X-Auth-Token", "devtoken"),)
STRANGERS = (("X-Auth-Token", "strangertoken"),)
SDP = {"Content-Type": "application/sdp"}


@pytest.fixture(scope="module", autouse=True)
def _stranger(server):
    """A token of the project `other`, whose app is `theirs`."""

    async def arrange():
        async with connected(server.database_url) as database:
            await Accounts(database).create_token("strangertoken", ProjectId("other"))

    asyncio.run(arrange())


@pytest.fixture
def get(http):
    def read(what, headers=MINE, **query):
        asked = "&".join(f"{name}={value}" for name, value in query.items())
        status, _, body = http("GET", f"/soloist/v1/{what}?{asked}", headers=headers)
        assert status == 200, body
        return body

    return read


@pytest.fixture
def publish(http):
    """Send an offer for a user; end the session afterwards."""
    sessions = []

    def send(who, app="demo", token=None):
        headers = {**SDP, "Authorization": f"Bearer {token}"} if token else SDP
        path = f"/whip/{app}/{who['room_id']}/{who['user_id']}"
        status, answered, _ = http("POST", path, SOUND_OFFER, headers=headers, is_json=False)
        if status == 201:
            sessions.append(answered["Location"])
        return status

    yield send
    for session in sessions:
        http("DELETE", session, headers={}, is_json=False)


def test_a_job_is_listed_to_its_project_and_to_nobody_else(get, job, who):
    (mine,) = get("jobs", room_id=who["room_id"])["jobs"]

    assert (mine["job_id"], mine["user_id"], mine["files"]) == (job.job_id, who["user_id"], [])
    assert get("jobs", STRANGERS, room_id=who["room_id"]) == {"jobs": [], "has_more": False}
    assert get("jobs", STRANGERS, app_id="demo") == {"jobs": [], "has_more": False}


def test_jobs_come_newest_first_in_pages(get, sdk, who):
    jobs = [sdk.create(room_id=who["room_id"], user_id=f"u{number}").job_id for number in range(3)]
    sdk.stop(jobs[0])

    first = get("jobs", room_id=who["room_id"], limit=2)
    second = get("jobs", room_id=who["room_id"], limit=2, offset=1)
    stopped = get("jobs", room_id=who["room_id"], state="STOPPED")

    assert [job["job_id"] for job in first["jobs"] + second["jobs"]] == jobs[::-1]
    assert (first["has_more"], second["has_more"]) == (True, False)
    assert [job["job_id"] for job in stopped["jobs"]] == jobs[:1]
    for job_id in jobs:
        sdk.stop(job_id)


@pytest.fixture
def publishing(server, who, get):
    """Publish sound into a room of each project; both are there."""

    def is_there(headers):
        return any(room["room_id"] == who["room_id"] for room in get("rooms", headers)["rooms"])

    with contextlib.ExitStack() as stack:
        for app in ("demo", "theirs"):
            url = server.whip_url(who["room_id"], who["user_id"], app)
            stack.enter_context(flood(url, TINY_OPUS, per_s=50, seconds=60, bearer=""))
        until(lambda: is_there(MINE) and is_there(STRANGERS), 10, "somebody is not in the room")
        yield


def test_who_has_an_answer_and_never_connects_is_in_no_room(get, publish, who):
    assert publish(who) == 201

    rooms = get("rooms", MINE)["rooms"]
    assert [room for room in rooms if room["room_id"] == who["room_id"]] == []


@pytest.mark.usefixtures("publishing")
def test_rooms_show_to_the_project_of_their_app_and_to_nobody_else(get, who):
    for headers, app in ((MINE, "demo"), (STRANGERS, "theirs")):
        answer = get("rooms", headers)
        assert answer["complete"]
        assert {room["app_id"] for room in answer["rooms"]} == {app}
        (room,) = [room for room in answer["rooms"] if room["room_id"] == who["room_id"]]
        assert (room["app_id"], [stream["user_id"] for stream in room["streams"]]) == (app, [who["user_id"]])


def test_a_minted_token_publishes_as_its_user_only(http, publish, who):
    body = json.dumps({"app_id": "demo", **who}).encode()
    status, _, minted = http("POST", "/soloist/v1/join-tokens", body)

    assert (status, minted["whip_path"]) == (201, f"/whip/demo/{who['room_id']}/{who['user_id']}")
    assert publish(who, token=minted["token"]) == 201
    assert publish({**who, "user_id": "someone-else"}, token=minted["token"]) == 403


def test_no_token_is_minted_for_an_app_of_another_project(http, who):
    body = json.dumps({"app_id": "theirs", **who}).encode()

    assert http("POST", "/soloist/v1/join-tokens", body)[0] == 404
    assert http("POST", "/soloist/v1/join-tokens", body, headers=STRANGERS)[0] == 201
