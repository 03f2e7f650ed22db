"""Who passes the gate: tokens, signatures by the official signer, projects, limits and throttling."""

from datetime import timedelta

import anyio
import pytest
from support.asgi import call
from support.book import NOW, AccountBook, BookedCredential, commands
from support.signer import signed_headers, start_body

from soloist.api.app import ApiLimits, create_app
from soloist.api.errors import SlowBodyError, render_error
from soloist.api.gate import read_body
from soloist.api.known import Known

pytestmark = pytest.mark.anyio

JOBS = "/v2/apps/demo/individual-stream-jobs"
TOKEN = [("X-Auth-Token", "devtoken")]


class Clock:
    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


@pytest.fixture
def accounts():
    return AccountBook()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def app(accounts, clock):
    limits = ApiLimits(body_bytes_max=1000, auth_failures_max=3)
    return create_app(commands=commands(accounts), accounts=accounts, recorders={}, clock=clock, limits=limits)


async def signed_start(app, *, body=None, sent_body=None, **options):
    body = body or start_body()
    headers = signed_headers("POST", JOBS, body, at=options.pop("at", NOW), **options)
    return await call(app, "POST", JOBS, headers=headers.items(), body=sent_body or body)


async def never():
    await anyio.sleep_forever()


async def start(app, headers, **options):
    return await call(app, "POST", JOBS, headers=headers, body=start_body(), **options)


async def test_a_token_passes(app):
    assert (await start(app, TOKEN)).status == 201


async def test_a_signature_passes(app):
    assert (await signed_start(app)).status == 201


async def test_a_signature_without_a_project_acts_for_the_keys_own(app):
    assert (await signed_start(app, project=None)).status == 201


async def test_a_token_wins_over_a_wrong_signature(app):
    assert (await start(app, [*TOKEN, ("Authorization", "SDK-HMAC-SHA256 nonsense")])).status == 201


async def test_a_wrong_token_is_not_saved_by_a_good_signature(app):
    headers = signed_headers("POST", JOBS, start_body(), at=NOW)

    answer = await start(app, [*headers.items(), ("X-Auth-Token", "other")])

    assert (answer.status, answer.json()["error_code"]) == (401, "APIGW.0301")


async def test_an_empty_token_leaves_the_signature_to_decide(app):
    headers = signed_headers("POST", JOBS, start_body(), at=NOW)

    assert (await start(app, [*headers.items(), ("X-Auth-Token", "")])).status == 201


async def test_neither_token_nor_signature_is_401_with_the_request_id_in_the_body(app):
    answer = await start(app, [])

    assert answer.status == 401
    assert answer.json()["error_code"] == "APIGW.0301"
    assert answer.json()["request_id"] == answer.header("X-request-Id")


@pytest.mark.parametrize("authorization", ["Bearer x", "SDK-HMAC-SM3 Access=a, SignedHeaders=b, Signature=c", "x"])
async def test_another_scheme_is_401(app, authorization):
    assert (await start(app, [("Authorization", authorization)])).status == 401


async def test_an_unknown_key_and_a_wrong_secret_get_the_same_answer(app):
    unknown = await signed_start(app, access="nobody")
    wrong = await signed_start(app, secret="guess")

    assert unknown.status == wrong.status == 401
    assert {**unknown.json(), "request_id": ""} == {**wrong.json(), "request_id": ""}


async def test_temporary_credentials_are_refused_because_none_are_issued(app):
    headers = {**signed_headers("POST", JOBS, start_body(), at=NOW), "X-Security-Token": "temporary"}

    answer = await start(app, headers.items())

    assert (answer.status, "X-Security-Token" in answer.json()["error_msg"]) == (401, True)


async def test_another_body_than_the_signed_one_is_401(app):
    assert (await signed_start(app, sent_body=start_body(user_id="other"))).status == 401


@pytest.mark.parametrize("minutes", [-16, 16])
async def test_a_skewed_date_is_401(app, minutes):
    answer = await signed_start(app, at=NOW + timedelta(minutes=minutes))

    assert (answer.status, answer.json()["error_code"]) == (401, "APIGW.0301")
    assert "clock" in answer.json()["error_msg"]


async def test_any_project_of_the_key_may_be_named(app):
    answer = await signed_start(app, project="dev2")

    assert answer.status == 404, "demo belongs to dev, so dev2 passes the gate and finds no such app"


async def test_a_foreign_project_is_403(app):
    answer = await signed_start(app, project="foreign")

    assert (answer.status, answer.json()["error_code"]) == (403, "APIGW.0302")


async def test_a_foreign_project_beside_a_token_is_403(app):
    assert (await start(app, [*TOKEN, ("X-Project-Id", "foreign")])).status == 403


async def test_a_key_without_any_project_is_told_so(app, accounts):
    accounts.credentials["orphan"] = BookedCredential("s", (), "")

    answer = await signed_start(app, access="orphan", secret="s", project=None)

    assert (answer.status, answer.json()["error_code"]) == (400, "RTC.00001001")


async def test_an_equal_request_in_the_same_second_is_no_replay(app):
    target = f"{JOBS}/none"
    headers = signed_headers("GET", target, at=NOW)

    answers = [await call(app, "GET", target, headers=headers.items()) for _ in range(2)]

    assert [answer.status for answer in answers] == [404, 404]


async def test_an_announced_oversize_body_is_413_before_it_is_read(app):
    answer = await call(app, "POST", JOBS, headers=[*TOKEN, ("Content-Length", "1001")], body=b"")

    assert (answer.status, answer.json()["error_code"]) == (413, "APIGW.0201")


async def test_an_oversize_body_of_unknown_length_is_413(app):
    assert (await call(app, "POST", JOBS, headers=TOKEN, body=b" " * 1001)).status == 413


async def test_hanging_up_in_the_middle_of_a_body_is_no_failed_authentication(app):
    headers = signed_headers("POST", JOBS, start_body(), at=NOW).items()

    cut = [(await call(app, "POST", JOBS, headers=headers, body=b"{", hangs_up=True)).status for _ in range(4)]

    assert cut == [400] * 4
    assert (await start(app, headers)).status == 201


async def test_a_strangers_body_is_not_read(app):
    answer = await call(app, "POST", JOBS, headers=[("Content-Length", "1001")], body=b" " * 1001)

    assert answer.status == 401


async def test_further_failures_of_one_key_from_one_source_are_429_until_the_window_has_passed(app, clock):
    refused = [await signed_start(app, secret="guess") for _ in range(4)]
    clock.now += timedelta(minutes=1)
    later = await signed_start(app, secret="guess", at=clock.now)

    assert [answer.status for answer in refused] == [401, 401, 401, 429]
    assert (refused[3].json()["error_code"], refused[3].header("Retry-After")) == ("APIGW.0308", "60")
    assert later.status == 401


@pytest.mark.parametrize("times", [4, 40])
async def test_a_correct_signature_passes_however_many_wrong_ones_came_from_its_address(app, times):
    wrong = [(await signed_start(app, secret="guess")).status for _ in range(times)]

    assert wrong[3:] == [429] * (times - 3)
    assert (await signed_start(app)).status == 201
    assert (await start(app, TOKEN)).status == 400, "the job is there, so the token passed"


async def test_a_flood_of_invented_keys_and_tokens_reaches_the_accounts_once_and_locks_nobody_out(accounts, clock):
    limits = ApiLimits(auth_failures_max=3, source_failures_max=5)
    app = create_app(commands=commands(accounts), accounts=accounts, recorders={}, clock=clock, limits=limits)
    asked = []
    for name in ("credential", "project_of_token", "known_names"):
        counted(accounts, name, asked)

    for number in range(60):
        await start(app, [("X-Auth-Token", f"invented{number}")])
        await signed_start(app, access=f"invented{number}")

    assert asked.count("known_names") <= 3
    assert len(asked) <= 12, "six failures make the source suspect; from then on the list answers"
    assert (await signed_start(app)).status == 201
    assert (await start(app, TOKEN)).status == 400


async def test_a_flood_beside_a_project_that_makes_tokens_reads_the_names_once_a_second(accounts):
    asked, now = [], [10.0]
    counted(accounts, "known_names", asked)
    known = Known(accounts, seconds=lambda: now[0])
    for number in range(20):
        token = f"made{number}"
        assert await known.project_of_token(f"invented{number}", NOW, is_suspect=True) is None
        accounts.tokens[token] = "project"
        known.add_token(token)
        assert await known.project_of_token(token, NOW, is_suspect=True) == "project"

    assert len(asked) == 1


def counted(accounts, name, asked):
    answer = getattr(accounts, name)

    async def count(*arguments):
        asked.append(name)
        return await answer(*arguments)

    setattr(accounts, name, count)


async def test_a_replaced_secret_is_used_at_once_and_a_revoked_key_ends_within_a_second(app, accounts, clock):
    assert (await signed_start(app)).status == 201
    accounts.credentials["devkey"] = BookedCredential("renewed", ("dev",), "dev")
    await anyio.sleep(0.25)
    assert (await signed_start(app, secret="renewed")).status == 400, "JobRunning: it passed"
    del accounts.credentials["devkey"]
    await anyio.sleep(1.05)

    assert (await signed_start(app, secret="renewed")).status == 401


async def test_the_body_of_an_unknown_key_or_token_is_not_read(app):
    signed = signed_headers("POST", JOBS, start_body(), access="nobody", at=NOW).items()

    with anyio.fail_after(5):
        unknown_key = await call(app, "POST", JOBS, headers=signed, stalls=True)
        unknown_token = await call(app, "POST", JOBS, headers=[("X-Auth-Token", "nobody")], stalls=True)

    assert (unknown_key.status, unknown_token.status) == (401, 401)


async def test_a_stale_token_is_throttled_and_its_neighbours_are_not(app):
    statuses = [(await start(app, [("X-Auth-Token", "stale")])).status for _ in range(4)]

    assert statuses == [401, 401, 401, 429]
    assert (await start(app, TOKEN)).status == 201


async def test_a_body_that_does_not_arrive_in_time_is_408_and_the_connection_ends():
    scope = {"type": "http", "headers": []}

    with pytest.raises(SlowBodyError, match=r"0\.01 seconds") as caught:
        await read_body(scope, never, 1000, timeout_s=0.01)

    answer = render_error(caught.value, "id")
    assert (answer.status_code, answer.headers["connection"]) == (408, "close")


@pytest.mark.parametrize("path", ["events", "jobs", "rooms", "whatever"])
async def test_our_own_operations_ask_for_a_credential_like_the_vendors(app, path):
    answer = await call(app, "GET", f"/soloist/v1/{path}")

    assert (answer.status, answer.json()["error_code"]) == (401, "APIGW.0301")


@pytest.mark.parametrize("path", ["/soloist/v1/health", "/soloist/v1/openapi.json", "/soloist/v1/docs"])
async def test_health_and_description_are_for_everybody(app, path):
    assert (await call(app, "GET", path)).status == 200
