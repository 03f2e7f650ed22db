"""A project's jobs with their files, who is in its rooms, and join tokens: what the console is made from."""

import contextlib
import json
from datetime import timedelta

import pytest
from aiohttp import web
from support.asgi import call
from support.book import JOIN_KEY, NOW, AccountBook, BookedApp, JobBook, commands
from support.database import private_folder
from support.signer import start_body

from soloist.api.app import create_app
from soloist.jobs.listing import RecordedFile
from soloist.wire.join_token import JoinRole, verify_join_token

pytestmark = pytest.mark.anyio
TOKEN = [("X-Auth-Token", "devtoken")]
JOBS = "/soloist/v1/jobs"
URL = "https://files.example/a.mp4"
WHOM = {"app_id": "demo", "room_id": "r", "user_id": "alice"}


class Edge:
    """The application, and the books behind it."""

    def __init__(self, recorders=()):
        self.accounts = AccountBook()
        self.accounts.apps["theirs"] = BookedApp("theirs", "other")
        self.accounts.tokens["othertoken"] = "other"
        self.jobs = JobBook(self.accounts)
        self.app = create_app(
            commands=commands(self.accounts, self.jobs),
            accounts=self.accounts,
            recorders=dict(recorders),
            clock=lambda: NOW,
        )

    async def ask(self, method, target, body=b"", headers=TOKEN):
        return await call(self.app, method, target, headers=headers, body=body)

    async def started(self, **fields):
        answer = await self.ask("POST", "/v2/apps/demo/individual-stream-jobs", start_body(**fields))
        return answer.json()["job_id"]

    async def listed(self, query=""):
        return [job["job_id"] for job in (await self.ask("GET", JOBS + query)).json()["jobs"]]


@pytest.fixture
def edge():
    return Edge()


async def test_jobs_are_listed_as_they_are_shown_with_their_files_beside(edge):
    job_id = await edge.started()
    edge.jobs.files[job_id] = (
        RecordedFile("a.mp4", "MP4", True, NOW, NOW, 5_000, timedelta(seconds=2.5), 640, 360, URL),
        RecordedFile("b.mp4", "MP4", False, NOW),
    )

    (job,) = (await edge.ask("GET", JOBS)).json()["jobs"]

    shown = (await edge.ask("GET", f"/v2/apps/demo/individual-stream-jobs/{job_id}")).json()
    assert {name: job[name] for name in shown} == shown
    assert (job["automatic"], job["suspended"]) == (False, False)
    moment = "2026-11-22T12:00:00.075Z"
    assert job["files"] == [
        {
            "key": "a.mp4",
            "record_format": "MP4",
            "state": "COMPLETED",
            "start_time": moment,
            "end_time": moment,
            "size_bytes": 5_000,
            "duration_ms": 2_500,
            "width": 640,
            "height": 360,
            "download_url": URL,
        },
        {"key": "b.mp4", "record_format": "MP4", "state": "STARTED", "start_time": moment},
    ]


async def test_the_newest_job_comes_first_and_pages_follow_each_other(edge):
    first, second, third = [await edge.started(user_id=f"user{number}") for number in range(3)]

    answer = (await edge.ask("GET", f"{JOBS}?limit=2")).json()

    assert ([job["job_id"] for job in answer["jobs"]], answer["has_more"]) == ([third, second], True)
    rest = (await edge.ask("GET", f"{JOBS}?limit=2&offset=1")).json()
    assert ([job["job_id"] for job in rest["jobs"]], rest["has_more"]) == ([first], False)


async def test_jobs_are_filtered_by_app_room_and_state(edge):
    here = await edge.started(room_id="here")
    there = await edge.started(room_id="there")
    await edge.ask("DELETE", f"/v2/apps/demo/individual-stream-jobs/{there}")

    assert await edge.listed("?room_id=here") == [here]
    assert await edge.listed("?state=STOPPED") == [there]
    assert await edge.listed("?app_id=demo&state=INIT") == [here]
    assert await edge.listed("?app_id=off") == []


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "offset=-1", "state=DONE", "room_id=a%20b", "app_id="])
async def test_a_filter_that_cannot_be_is_refused_by_name(edge, query):
    answer = await edge.ask("GET", f"{JOBS}?{query}")

    assert (answer.status, answer.json()["error_code"]) == (400, "RTC.00001003")
    assert query.partition("=")[0] in answer.json()["error_msg"]


@pytest.mark.parametrize(("method", "path"), [("GET", "jobs"), ("GET", "rooms"), ("POST", "join-tokens")])
async def test_nobody_sees_anything_without_a_credential(edge, method, path):
    assert (await edge.ask(method, f"/soloist/v1/{path}", headers=())).status == 401


async def test_a_minted_token_lets_its_user_into_its_room_for_its_time(edge):
    body = json.dumps({**WHOM, "lifetime_seconds": 60, "role": "joiner"}).encode()

    answer = await edge.ask("POST", "/soloist/v1/join-tokens", body)

    assert (answer.status, answer.json()["whip_path"]) == (201, "/whip/demo/r/alice")
    claims = verify_join_token(answer.json()["token"], JOIN_KEY, NOW)
    claims.require_path("demo", "r", "alice")
    assert (claims.role, claims.expires_at) == (JoinRole.JOINER, NOW.replace(microsecond=0) + timedelta(minutes=1))
    assert answer.json()["expire_time"] == "2026-11-22T12:01:00.000Z"


@pytest.mark.parametrize("app", ["theirs", "none"])
async def test_a_token_of_anothers_app_is_not_minted(edge, app):
    answer = await edge.ask("POST", "/soloist/v1/join-tokens", json.dumps({**WHOM, "app_id": app}).encode())

    assert answer.status == 404


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"room_id": None}, "RTC.00001005"),
        ({"user_id": "a b"}, "RTC.00001003"),
        ({"role": "owner"}, "RTC.00001003"),
        ({"lifetime_seconds": 86_401}, "RTC.00001003"),
    ],
)
async def test_a_token_for_what_cannot_be_is_refused_by_name(edge, change, code):
    answer = await edge.ask("POST", "/soloist/v1/join-tokens", json.dumps({**WHOM, **change}).encode())

    assert (answer.status, answer.json()["error_code"]) == (400, code)
    assert next(iter(change)) in answer.json()["error_msg"]


def stream(user, *, app="demo", room="r", source="camera", age_s=3.9):
    tracks = [{"kind": "audio", "codecs": ["opus"]}, {"kind": "video", "codecs": ["h264", "vp8"]}]
    who = {"app_id": app, "room_id": room, "participant_id": user, "source": source}
    return {**who, "tracks": tracks, "age_s": age_s, "room_age_s": 8.2}


async def rooms_of(parts, *, headers=TOKEN, query=""):
    """Ask an edge over recorders that hold these streams; None stands for one that does not answer."""
    with private_folder() as folder:
        paths = {f"slot{number}": folder / f"{number}.sock" for number in range(len(parts))}
        async with contextlib.AsyncExitStack() as stack:
            for path, part in zip(paths.values(), parts, strict=True):
                if part is not None:
                    await stack.enter_async_context(recorder(path, part))
            answer = await Edge(paths).ask("GET", f"/soloist/v1/rooms{query}", headers=headers)
    assert answer.status == 200
    return answer.json()


@contextlib.asynccontextmanager
async def recorder(path, streams):
    """Answer at a unix socket as a recorder does."""

    async def answer(_request):
        return web.json_response({"streams": streams})

    application = web.Application()
    application.router.add_get("/streams", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.UnixSite(runner, str(path)).start()
    yield
    await runner.cleanup()


async def test_rooms_of_all_recorders_are_shown_with_who_is_in_them():
    answer = await rooms_of([[stream("bob", age_s=1), stream("alice", age_s=3.9)], [stream("carol", room="a")]])

    assert answer["complete"]
    assert [(room["room_id"], [one["user_id"] for one in room["streams"]]) for room in answer["rooms"]] == [
        ("a", ["carol"]),
        ("r", ["alice", "bob"]),
    ]
    assert answer["rooms"][1]["streams"][0] == {
        "user_id": "alice",
        "stream": "camera",
        "kinds": ["audio", "video"],
        "codecs": ["opus", "h264", "vp8"],
        "age_seconds": 3,
    }


async def test_rooms_of_another_project_never_show():
    parts = [[stream("alice"), stream("eve", app="theirs")]]

    mine, theirs = await rooms_of(parts), await rooms_of(parts, headers=[("X-Auth-Token", "othertoken")])

    assert [room["app_id"] for room in mine["rooms"]] == ["demo"]
    assert [room["app_id"] for room in theirs["rooms"]] == ["theirs"]


async def test_rooms_are_filtered_by_app():
    answer = await rooms_of([[stream("alice"), stream("bob", app="off")]], query="?app_id=off")

    assert [room["app_id"] for room in answer["rooms"]] == ["off"]


async def test_a_recorder_that_does_not_answer_is_said_to_be_missing():
    answer = await rooms_of([[stream("alice")], None])

    assert (len(answer["rooms"]), answer["complete"]) == (1, False)
