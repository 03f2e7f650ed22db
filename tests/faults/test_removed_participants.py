"""Who was removed from a room stays out of it with the token they had, until it expires or somebody lets them in."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import jwt
import pytest
from support.crash_verdict import lost_pictures
from support.database import connected
from support.instance import Instance
from support.offers import SOUND_OFFER
from support.takes import take

from soloist.clock import utc_now
from soloist.jobs.accounts import Accounts
from soloist.model.ids import AppId

DISMISS = "/v2/apps/demo/rooms/{room}/dismiss"
REMOVE = "/v2/apps/demo/rooms/{room}/batch-remove-users"


@pytest.fixture(scope="module")
def join_key(service: Instance) -> Iterator[str]:
    async def read() -> str:
        async with connected(service._database_url) as database:
            app = await Accounts(database).app_anywhere(AppId("demo"))
            assert app is not None
            return app.join_key

    return asyncio.run(read())


def ask(service: Instance, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(service.url + path, body, named, method=method)  # noqa: S310 - our own
    try:
        answer = urllib.request.urlopen(request, timeout=10)  # noqa: S310 - our own
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        return answer.status, answer.read().decode()


def token(join_key: str, room: str, user: str, *, issued_at: datetime | None = None) -> str:
    """Return a token as a customer's backend mints it, with `iat` or without."""
    claims: dict[str, object] = {"app": "demo", "room": room, "user": user, "role": "publisher"}
    claims["exp"] = int((utc_now() + timedelta(days=60)).timestamp())
    return jwt.encode(claims | ({"iat": issued_at.timestamp()} if issued_at else {}), join_key, algorithm="HS256")


def join(service: Instance, room: str, user: str, bearer: str) -> int:
    headers = {"Content_Type": "application/sdp", "Authorization": f"Bearer {bearer}"}
    return ask(service, "POST", f"/whip/demo/{room}/{user}", SOUND_OFFER, **headers)[0]


def order(service: Instance, path: str, room: str, *users: str) -> int:
    headers = {"X_Auth_Token": "devtoken", "Content_Type": "application/json"}
    body = json.dumps({"user_ids": users}).encode() if users else b""
    return ask(service, "POST", path.format(room=room), body, **headers)[0]


def test_a_removed_user_comes_back_with_no_token_of_before_while_another_is_recorded(
    service: Instance, clip: Path, join_key: str
) -> None:
    before = [token(join_key, "lesson", "mallory", issued_at=at) for at in (None, utc_now(), utc_now())]
    with take(service, clip, "lesson") as taken:
        taken.await_recording()
        assert join(service, "lesson", "mallory", before[0]) == 201
        assert order(service, REMOVE, "lesson", "mallory") == 202
        assert [join(service, "lesson", "mallory", one) for one in before] == [403] * 3
        assert join(service, "lesson2", "mallory", token(join_key, "lesson2", "mallory")) == 201
        assert join(service, "lesson", "bob", token(join_key, "lesson", "bob")) == 201
        assert join(service, "lesson", "mallory", token(join_key, "lesson", "mallory", issued_at=utc_now())) == 201
        taken.stop()
        (file,) = taken.finished()
    assert file.complaints == ()
    assert lost_pictures(file) == []


def test_a_user_who_had_just_left_stays_out_as_well(service: Instance, join_key: str) -> None:
    bearer = token(join_key, "left", "mallory")
    assert order(service, REMOVE, "left", "mallory") == 404
    assert join(service, "left", "mallory", bearer) == 403


def test_everybody_of_a_dismissed_room_stays_out_until_let_in(service: Instance, join_key: str) -> None:
    tokens = {user: token(join_key, "over", user) for user in ("alice", "bob", "carol")}
    for user in ("alice", "bob"):
        assert join(service, "over", user, tokens[user]) == 201
    assert order(service, DISMISS, "over") == 202
    assert [join(service, "over", user, bearer) for user, bearer in tokens.items()] == [403, 403, 201]

    headers = {"X_Auth_Token": "devtoken"}
    _, text = ask(service, "GET", "/soloist/v1/apps/demo/bans?limit=100", **headers)
    listed = [ban for ban in json.loads(text)["bans"] if ban["room_id"] == "over"]
    assert sorted(ban["user_id"] for ban in listed) == ["alice", "bob"]
    assert all(ban["until"] > (utc_now() + timedelta(days=59)).isoformat() for ban in listed), "as long as their tokens"
    path = "/soloist/v1/apps/demo/rooms/over/bans/alice"
    assert [ask(service, "DELETE", path, **headers)[0] for _ in range(2)] == [204, 404]
    assert [join(service, "over", user, tokens[user]) for user in ("alice", "bob")] == [201, 403]


def test_a_session_is_ended_or_restarted_only_by_a_token_of_its_own_place(service: Instance, join_key: str) -> None:
    headers = {"Content_Type": "application/sdp", "Authorization": f"Bearer {token(join_key, 'own', 'alice')}"}
    request = urllib.request.Request(  # noqa: S310 - our own
        f"{service.url}/whip/demo/own/alice", SOUND_OFFER, {k.replace("_", "-"): v for k, v in headers.items()}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own
        session = answer.headers["Location"]
    for bearer in (token(join_key, "own", "mallory"), token(join_key, "other", "alice")):
        for method in ("DELETE", "PATCH"):
            assert ask(service, method, session, b"", Authorization=f"Bearer {bearer}")[0] == 403
    assert ask(service, "DELETE", session, Authorization=headers["Authorization"])[0] == 200
