"""Operations 21 and 22, dismissing a room and removing users, by the official SDK on a room with publishers."""

import time

import pytest
from huaweicloudsdkcloudrtc.v2 import RemoveUsersReq
from support.offers import SOUND_OFFER


@pytest.fixture
def join(http, who):
    """Let a user join the test's room; return where its session is."""

    def run(user):
        path = f"/whip/demo/{who['room_id']}/{user}"
        status, headers, _ = http("POST", path, SOUND_OFFER, {"Content-Type": "application/sdp"}, is_json=False)
        assert status == 201
        return headers["Location"]

    return run


@pytest.fixture
def session_status(http):
    return lambda location: http("GET", location, headers=(), is_json=False)[0]


def test_a_dismissed_room_is_left_by_everybody_and_is_gone(sdk, who, join, *, session_status, refused):
    sessions = [join("alice"), join("bob")]

    answer = sdk.call("remove_room", app_id="demo", room_id=who["room_id"])

    assert (answer.status_code, answer.raw_content, len(answer.x_request_id)) == (202, b"", 32)
    assert [session_status(session) for session in sessions] == [410, 410]
    assert refused(sdk.call, "remove_room", app_id="demo", room_id=who["room_id"]).status_code == 404


def test_removed_users_are_gone_and_the_others_stay(sdk, who, join, session_status):
    alice, bob = join("alice"), join("bob")

    answer = sdk.call(
        "remove_users", app_id="demo", room_id=who["room_id"], body=RemoveUsersReq(user_ids=["alice", "nobody"])
    )

    assert (answer.status_code, answer.raw_content) == (202, b"")
    assert (session_status(alice), session_status(bob)) == (410, 204)


def test_a_removed_user_may_join_again(sdk, who, join, session_status):
    join("alice")
    sdk.call("remove_users", app_id="demo", room_id=who["room_id"], body=RemoveUsersReq(user_ids=["alice"]))

    assert session_status(join("alice")) == 204


def test_a_job_of_a_dismissed_room_ends_after_its_idle_time(sdk, who, join):
    join("alice")
    job_id = sdk.create(**who, max_idle_time=5).job_id
    sdk.call("remove_room", app_id="demo", room_id=who["room_id"])
    dismissed_at = time.monotonic()

    while (job := sdk.show(job_id)).state != "STOPPED":
        assert time.monotonic() - dismissed_at < 30
        time.sleep(0.2)

    assert job.stop_reason == "EXCEED_MAX_IDLE_TIME"
    assert time.monotonic() - dismissed_at > 4


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (None, "RTC.00001005"),
        ("[]", "RTC.00001002"),
        ({"user_ids": "alice"}, "RTC.00001003"),
        ({"user_ids": ["a/b"]}, "RTC.00001003"),
        ({"user_ids": [True]}, "RTC.00001003"),
    ],
)
def test_users_that_cannot_be_are_refused_by_name(sdk, who, refused, *, body, code):
    error = refused(sdk.call, "remove_users", app_id="demo", room_id=who["room_id"], body=body)

    assert (error.status_code, error.error_code) == (400, code)
    assert code == "RTC.00001002" or "user_ids" in error.error_msg


@pytest.mark.parametrize(
    ("app_id", "room_id"), [("demo", "nowhere"), ("none", "room"), ("theirs", "room"), ("demo", None)]
)
def test_an_unknown_room_or_app_is_404(sdk, refused, app_id, room_id):
    place = {"app_id": app_id, "room_id": room_id}
    errors = [
        refused(sdk.call, "remove_room", **place),
        refused(sdk.call, "remove_users", **place, body=RemoveUsersReq(user_ids=["u"])),
    ]

    assert [(error.status_code, error.error_code) for error in errors] == [(404, "RTC.00001003")] * 2
