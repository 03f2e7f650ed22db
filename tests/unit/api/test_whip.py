"""The public side of WHIP: who is let in, what is passed on and back, and what happens when the recorder is away."""

import contextlib
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web
from multidict import CIMultiDict
from support.asgi import call
from support.book import JOIN_KEY, NOW, AccountBook, commands

from soloist.api.app import create_app
from soloist.wire.join_token import JoinRole, mint_join_token

pytestmark = pytest.mark.anyio

PATH = "/whip/demo/room/user"
SDP = [("Content-Type", "application/sdp")]


def token(*, room="room", role=JoinRole.JOINER, key=JOIN_KEY, expires_at=NOW + timedelta(hours=1)):
    return mint_join_token(key, app_id="demo", room_id=room, participant_id="user", role=role, expires_at=expires_at)


def bearer(value):
    return [("Authorization", f"Bearer {value}"), *SDP]


def edge(recorders, *, is_dev=False):
    accounts = AccountBook()
    return create_app(
        commands=commands(accounts), accounts=accounts, recorders=recorders, is_dev=is_dev, clock=lambda: NOW
    )


async def echo(request):
    """Play a recorder that tells what it was asked and answers in a way worth passing back."""
    asked = [request.method, request.path, request.query_string, request.headers.get("content-type", "")]
    asked += [request.headers.get("if-match", ""), request.headers.get("authorization", "")]
    named = [("Location", f"{PATH}/r1"), ("ETag", '"t"'), ("Link", "<stun:a>"), ("Link", "<stun:b>")]
    text = "\n".join([*asked, (await request.read()).decode()])
    return web.Response(text=text, status=201, headers=CIMultiDict(named))


@pytest.fixture(scope="module")
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="module")
async def recorders(anyio_backend):
    folder = Path(tempfile.mkdtemp(prefix="whip"))
    path = folder / "recorder-0.sock"
    recorder = web.Application()
    recorder.router.add_route("*", "/{path:.*}", echo)
    runner = web.AppRunner(recorder)
    await runner.setup()
    await web.UnixSite(runner, str(path)).start()
    yield {"node/0": path}
    await runner.cleanup()
    shutil.rmtree(folder)


@pytest.fixture
async def app(recorders):
    async with running(edge(recorders)) as app:
        yield app


@contextlib.asynccontextmanager
async def running(app):
    async with app.router.lifespan_context(app):
        yield app


async def test_an_offer_reaches_the_recorder_and_its_answer_comes_back_verbatim(app):
    answer = await call(app, "POST", f"{PATH}?stream=screen", headers=bearer(token()), body=b"v=0")

    assert answer.status == 201
    assert answer.body == f"POST\n{PATH}\nstream=screen\napplication/sdp\n\n\nv=0".encode()
    assert (answer.header("Location"), answer.header("ETag")) == (f"{PATH}/r1", '"t"')
    assert [value for name, value in answer.headers if name == b"link"] == [b"<stun:a>", b"<stun:b>"]


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_a_session_request_passes_with_its_precondition_and_without_the_bearer(app, method):
    answer = await call(app, method, f"{PATH}/r1", headers=[*bearer(token()), ("If-Match", '"t"')], body=b"x")

    assert answer.body == f'{method}\n{PATH}/r1\n\napplication/sdp\n"t"\n\nx'.encode()


@pytest.mark.parametrize("path", [PATH, f"{PATH}/r1"])
async def test_a_preflight_needs_no_bearer_and_gets_what_browsers_need(app, path):
    answer = await call(app, "OPTIONS", path, headers=[("Origin", "https://page.example.test")])

    assert answer.status == 200
    assert answer.header("Access-Control-Allow-Origin") == "*"
    assert {"Location", "ETag", "Link"} <= set(answer.header("Access-Control-Expose-Headers").split(", "))
    assert answer.header("Access-Control-Allow-Headers") == "Authorization, Content-Type, If-Match"
    assert answer.header("Access-Control-Allow-Methods") == ("POST" if path == PATH else "DELETE, PATCH")


@pytest.mark.parametrize(
    ("headers", "challenge"),
    [
        (SDP, "Bearer"),
        ([("Authorization", "Basic dTpw")], "Bearer"),
        (bearer("nonsense"), 'Bearer error="invalid_token"'),
        (bearer(token(key="6b" * 32)), 'Bearer error="invalid_token"'),
        (bearer(token(expires_at=NOW)), 'Bearer error="invalid_token"'),
        (bearer("devtoken"), 'Bearer error="invalid_token"'),
    ],
)
async def test_without_a_valid_join_token_it_is_401_with_a_challenge(app, headers, challenge):
    answer = await call(app, "POST", PATH, headers=headers, body=b"v=0")

    assert (answer.status, answer.header("WWW-Authenticate")) == (401, challenge)
    assert answer.header("Access-Control-Allow-Origin") == "*", "or a page cannot read why"
    assert answer.header("Content-Type") == "application/problem+json"


@pytest.mark.parametrize("headers", [bearer(token(room="other")), bearer(token(role=JoinRole.PLAYER))])
async def test_a_token_for_another_room_or_an_audience_role_is_403(app, headers):
    assert (await call(app, "POST", PATH, headers=headers)).status == 403


async def test_an_unknown_app_is_404(app):
    assert (await call(app, "POST", "/whip/none/room/user", headers=bearer(token()))).status == 404


@pytest.mark.parametrize("path", ["/whip/demo/ro%20om/user", "/whip/demo/room/%2E%2E", "/whip/%00/room/user"])
async def test_an_id_outside_its_alphabet_is_400(app, path):
    assert (await call(app, "POST", path, headers=bearer(token()))).status == 400


async def test_an_oversize_offer_is_413(app):
    assert (await call(app, "POST", PATH, headers=bearer(token()), body=b"v" * 65_537)).status == 413


@pytest.mark.parametrize("headers", [SDP, bearer("devtoken"), bearer(token())])
async def test_in_dev_mode_the_project_token_or_none_will_do(recorders, headers):
    async with running(edge(recorders, is_dev=True)) as app:
        assert (await call(app, "POST", PATH, headers=headers)).status == 201


async def test_in_dev_mode_a_wrong_bearer_is_still_401(recorders):
    async with running(edge(recorders, is_dev=True)) as app:
        assert (await call(app, "POST", PATH, headers=bearer("guess"))).status == 401


async def test_a_disabled_app_lets_nobody_in_but_everybody_out(recorders):
    async with running(edge(recorders, is_dev=True)) as app:
        assert (await call(app, "POST", "/whip/off/room/user", headers=SDP)).status == 403
        assert (await call(app, "DELETE", "/whip/off/room/user/r1")).status == 201


async def test_a_recorder_that_is_away_is_503_and_worth_another_try(tmp_path):
    async with running(edge({"node/0": tmp_path / "none.sock"}, is_dev=True)) as app:
        answer = await call(app, "POST", PATH, headers=SDP)

    assert (answer.status, answer.header("Retry-After")) == (503, "2")


async def test_a_room_goes_to_the_slot_its_name_hashes_to(recorders, tmp_path):
    away = {"node/1": tmp_path / "none.sock"}
    async with running(edge({**recorders, **away}, is_dev=True)) as app:
        statuses = {
            (await call(app, "POST", f"/whip/demo/room{number}/user", headers=SDP)).status for number in range(9)
        }

    assert statuses == {201, 503}
