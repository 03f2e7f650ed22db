"""Ours, over HTTP: what customers were told is listed, told again and held back, each project's own only."""

import asyncio
import json

import pytest
from huaweicloudsdkcloudrtc.v2 import AppCallbackUrlReq
from support.database import connected
from support.instance import until
from support.receiver import receiver

from soloist.jobs.accounts import Accounts
from soloist.model.ids import ProjectId

EVENTS = "/soloist/v1/events"
FOREIGN = (("X-Auth-Token", "theirtoken"),)


@pytest.fixture(scope="module")
def foreign(server):
    """Headers of a customer of another project."""

    async def arrange():
        async with connected(server.database_url) as database:
            await Accounts(database).create_token("theirtoken", ProjectId("other"))

    asyncio.run(arrange())
    return FOREIGN


@pytest.fixture
def untold(sdk, http, who):
    """A job that ended while its app had no callback, and its one event."""
    job = sdk.create(**who)
    sdk.stop(job.job_id)
    listed = until(lambda: listing(http, f"job_id={job.job_id}"), 15, "the end of the job was not listed")
    return job, listed[0]


def listing(http, query, headers=(("X-Auth-Token", "devtoken"),)):
    status, _, body = http("GET", f"{EVENTS}?{query}", headers=headers)
    assert status == 200
    return body["events"]


def post(http, what, body, headers=(("X-Auth-Token", "devtoken"),)):
    status, _, answer = http("POST", f"{EVENTS}/{what}", json.dumps(body).encode(), headers)
    return status, answer


def set_callback(sdk, url):
    sdk.call("update_record_callback", app_id="demo", body=AppCallbackUrlReq(url=url))


def test_an_event_is_listed_with_its_state_and_what_would_be_sent(untold):
    job, event = untold

    assert event.pop("happen_time").endswith("Z")
    body = event.pop("body")
    assert (body["event_type"], body["job_id"]) == ("CLOUD_RECORD_SERVER_OVER", job.job_id)
    number = event.pop("event_id").removeprefix(f"{job.job_id}-")
    assert int(number) > 1
    assert event == {
        "event_type": "CLOUD_RECORD_SERVER_OVER",
        "app_id": "demo",
        "job_id": job.job_id,
        "state": "UNTOLD",
        "attempts": 0,
    }


def test_events_are_narrowed_by_app_job_and_state_and_come_in_pages(http, untold):
    job, event = untold

    assert listing(http, f"job_id={job.job_id}&state=UNTOLD&app_id=demo") == [event]
    assert listing(http, f"job_id={job.job_id}&state=DEAD") == []
    assert listing(http, f"job_id={job.job_id}&app_id=off") == []
    pages = [listing(http, f"limit=1&offset={page}") for page in (0, 1)]
    assert [len(page) for page in pages] == [1, 1] or len(listing(http, "limit=2")) == 1
    assert pages[0] + pages[1] == listing(http, "limit=2")


def test_another_project_sees_and_moves_nothing_of_it(http, foreign, untold):
    job, event = untold

    assert listing(http, f"job_id={job.job_id}", foreign) == []
    for what, body in (
        ("replay", {"event_id": event["event_id"]}),
        ("replay", {"app_id": "demo"}),
        ("pause", {"app_id": "demo", "paused": True}),
    ):
        status, answer = post(http, what, body, foreign)
        assert (status, answer["error_code"]) == (404, "RTC.00001003")


def test_without_a_credential_nothing_is_shown(http):
    assert [http("GET", EVENTS, headers=())[0], http("POST", EVENTS + "/replay", b"{}", ())[0]] == [401, 401]


@pytest.mark.parametrize(
    ("what", "body", "code", "named"),
    [
        ("replay", {}, "RTC.00001005", "event_id or app_id"),
        ("replay", {"event_id": "a-1", "app_id": "demo"}, "RTC.00001004", "not both"),
        ("replay", {"event_id": "nothing"}, "RTC.00001003", "event_id"),
        ("replay", {"app_id": "demo"}, "RTC.00001003", "has no callback"),
        ("pause", {"app_id": "demo"}, "RTC.00001005", "paused"),
        ("pause", {"app_id": "demo", "paused": "yes"}, "RTC.00001003", "paused"),
    ],
)
def test_a_wrong_request_is_refused_by_name(http, sdk, *, what, body, code, named):
    set_callback(sdk, "")

    status, answer = post(http, what, body)

    assert (status, answer["error_code"]) == (400, code)
    assert named in answer["error_msg"]


@pytest.mark.parametrize("query", ["state=LOST", "limit=0", "limit=101", "offset=-1", "app_id=a/b"])
def test_a_wrong_query_is_refused_by_name(http, query):
    status, _, answer = http("GET", f"{EVENTS}?{query}")

    assert (status, answer["error_code"]) == (400, "RTC.00001003")
    assert query.partition("=")[0] in answer["error_msg"]


def test_an_event_nobody_was_told_of_is_replayed_to_a_later_callback(http, sdk, untold):
    job, event = untold
    with receiver() as customer:
        set_callback(sdk, customer.url)
        assert post(http, "replay", {"event_id": event["event_id"]}) == (200, {"replayed_count": 1})
        until(lambda: customer.of(job), 10, "it was not told")
        until(lambda: listing(http, f"job_id={job.job_id}&state=DELIVERED"), 10, "it was not settled")
        set_callback(sdk, "")

    assert customer.received[0].fields == event["body"]


def test_a_paused_app_is_told_of_a_jobs_end_once_it_is_resumed(http, sdk, who):
    with receiver() as customer:
        set_callback(sdk, customer.url)
        assert post(http, "pause", {"app_id": "demo", "paused": True}) == (200, {"app_id": "demo", "paused": True})
        job = sdk.create(**who)
        sdk.stop(job.job_id)
        until(lambda: listing(http, f"job_id={job.job_id}&state=WAITING"), 15, "its end was not kept")
        assert customer.of(job) == []
        post(http, "pause", {"app_id": "demo", "paused": False})
        until(lambda: customer.of(job), 10, "its end was not told")
        set_callback(sdk, "")
