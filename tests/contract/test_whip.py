"""WHIP over HTTP against the running server: api, unix socket, recorder and media core, everything but media."""

import asyncio
from datetime import timedelta

import pytest
from support.database import connected
from support.offers import SOUND_OFFER

from soloist.clock import utc_now
from soloist.jobs.accounts import Accounts
from soloist.wire.join_token import JoinRole, mint_join_token

SDP = {"Content-Type": "application/sdp"}


@pytest.fixture
def place(who):
    return f"/whip/demo/{who['room_id']}/{who['user_id']}"


@pytest.fixture
def ask(http):
    def send(method, path, body=None, headers=SDP):
        return http(method, path, body, headers=headers, is_json=False)

    return send


@pytest.fixture(scope="session")
def join_key(server):
    async def read():
        async with connected(server.database_url) as database:
            return (await Accounts(database).app_anywhere("demo")).join_key

    return asyncio.run(read())


def join_token(key, who, **changes):
    names = {"room_id": who["room_id"], "participant_id": who["user_id"], "role": JoinRole.PUBLISHER} | changes
    return mint_join_token(key, app_id="demo", expires_at=utc_now() + timedelta(minutes=5), **names)


def test_an_offer_is_answered_201_with_location_etag_and_an_answer(ask, place):
    status, headers, answer = ask("POST", place, SOUND_OFFER)

    assert (status, headers["Content-Type"]) == (201, "application/sdp")
    assert headers["Location"].startswith(f"{place}/")
    assert headers["ETag"].startswith('"')
    assert b"a=recvonly" in answer
    assert len(headers["X-request-Id"]) == 32
    ask("DELETE", headers["Location"])


def test_a_session_is_deleted_once_and_then_gone(ask, place):
    _, headers, _ = ask("POST", place, SOUND_OFFER)

    assert [ask("DELETE", headers["Location"])[0] for _ in range(2)] == [200, 404]


def test_a_trickled_candidate_is_taken(ask, place):
    _, headers, _ = ask("POST", place, SOUND_OFFER)
    fragment = b"a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n"
    trickle = {"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": headers["ETag"]}

    assert ask("PATCH", headers["Location"], fragment, trickle)[0] == 204
    assert ask("PATCH", headers["Location"], fragment, {**trickle, "If-Match": '"other"'})[0] == 412
    ask("DELETE", headers["Location"])


def test_ice_is_restarted_by_the_core_and_the_answer_has_its_new_credentials(ask, place):
    _, created, answer = ask("POST", place, SOUND_OFFER)
    restart = {"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "*"}
    fragment = b"a=ice-ufrag:next\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n"

    status, headers, ours = ask("PATCH", created["Location"], fragment, restart)

    assert (status, headers["Content-Type"]) == (200, restart["Content-Type"])
    assert headers["ETag"] not in ("", created["ETag"])
    [ufrag] = [line for line in ours.splitlines() if line.startswith(b"a=ice-ufrag:")]
    assert ufrag not in answer
    assert {b"a=ice-lite", b"a=end-of-candidates"} <= set(ours.splitlines())
    assert [line for line in answer.splitlines() if line.startswith(b"a=ice-options")] == [
        line for line in ours.splitlines() if line.startswith(b"a=ice-options")
    ]
    assert ask("PATCH", created["Location"], fragment, {**restart, "If-Match": headers["ETag"]})[0] == 204
    ask("DELETE", created["Location"])


def test_no_redirect_turns_a_post_into_a_get(ask, place):
    assert ask("POST", f"{place}/", SOUND_OFFER)[0] not in (301, 302, 303)


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (b"not an offer", SDP, 400),
        (SOUND_OFFER, {"Content-Type": "application/json"}, 415),
        (SOUND_OFFER.replace(b"sendonly", b"recvonly"), SDP, 422),
        (SOUND_OFFER.replace(b"opus/48000/2", b"PCMU/8000"), SDP, 422),
        (SOUND_OFFER[: SOUND_OFFER.index(b"m=audio")], SDP, 400),
        (b"v" * 70_000, SDP, 413),
    ],
)
def test_an_offer_that_cannot_be_taken_is_refused_with_a_reason(ask, place, *, body, headers, expected):
    status, answered, problem = ask("POST", place, body, headers)

    assert (status, answered["Content-Type"]) == (expected, "application/problem+json")
    assert b'"detail"' in problem


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_another_method_on_the_endpoint_is_405(ask, place, method):
    status, headers, _ = ask(method, place)

    assert (status, headers["Allow"]) == (405, "GET, HEAD, OPTIONS, POST")


@pytest.mark.parametrize(("query", "expected"), [("?stream=screen", 201), ("?stream=camera", 201), ("?stream=x", 400)])
def test_the_query_says_which_stream(ask, place, query, expected):
    status, headers, _ = ask("POST", place + query, SOUND_OFFER)

    assert status == expected
    if status == 201:
        ask("DELETE", headers["Location"])


def test_a_preflight_is_answered_without_a_bearer(ask, place):
    status, headers, _ = ask("OPTIONS", place, headers={"Origin": "https://page.example.test"})

    assert (status, headers["Access-Control-Allow-Origin"]) == (200, "*")
    assert {"Location", "ETag", "Link"} <= set(headers["Access-Control-Expose-Headers"].split(", "))


def test_a_join_token_for_this_path_lets_its_bearer_in(ask, place, who, join_key):
    bearer = {"Authorization": f"Bearer {join_token(join_key, who)}"}

    status, headers, _ = ask("POST", place, SOUND_OFFER, {**SDP, **bearer})

    assert status == 201
    assert ask("DELETE", headers["Location"], headers=bearer)[0] == 200


@pytest.mark.parametrize("changes", [{"room_id": "elsewhere"}, {"participant_id": "other"}, {"role": JoinRole.PLAYER}])
def test_a_join_token_for_elsewhere_or_the_audience_is_403(ask, place, who, *, join_key, changes):
    bearer = {"Authorization": f"Bearer {join_token(join_key, who, **changes)}"}

    assert ask("POST", place, SOUND_OFFER, {**SDP, **bearer})[0] == 403


def test_a_forged_join_token_is_401_with_a_challenge(ask, place, who):
    status, headers, _ = ask(
        "POST", place, SOUND_OFFER, {**SDP, "Authorization": f"Bearer {join_token('66' * 32, who)}"}
    )

    assert (status, headers["WWW-Authenticate"]) == (401, 'Bearer error="invalid_token"')


@pytest.mark.parametrize(("app", "expected"), [("none", 404), ("off", 403)])
def test_an_app_that_is_unknown_or_disabled_lets_nobody_in(ask, app, expected):
    assert ask("POST", f"/whip/{app}/room/user", SOUND_OFFER)[0] == expected
