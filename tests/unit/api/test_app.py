"""The routes put together: operations 1 to 5, what is not there yet, wrong methods, health, metrics and OpenAPI."""

import json
from itertools import count

import pytest
from support.asgi import call
from support.book import AccountBook, commands
from support.signer import start_body

from soloist.api.app import ApiLimits, create_app

pytestmark = pytest.mark.anyio

JOBS = "/v2/apps/demo/individual-stream-jobs"
TOKEN = [("X-Auth-Token", "devtoken")]

# Method and path of every vendor operation that is not built yet. Spec: API section 2.
UNBUILT = [
    ("POST", "/v2/apps/demo/mix-stream-jobs"),
    ("GET", "/v2/apps/demo/mix-stream-jobs/j"),
    ("PUT", "/v2/apps/demo/mix-stream-jobs/j"),
    ("DELETE", "/v2/apps/demo/mix-stream-jobs/j"),
]


@pytest.fixture(scope="module")
def app():
    return fresh_app()


def fresh_app():
    accounts = AccountBook()
    return create_app(commands=commands(accounts), accounts=accounts, recorders={})


async def ask(app, method, target, body=b"", *, headers=TOKEN):
    return await call(app, method, target, headers=headers, body=body)


users = (f"user{number}" for number in count())


async def started(app):
    return (await ask(app, "POST", JOBS, start_body(user_id=next(users)))).json()["job_id"]


async def test_create_answers_201_with_the_job(app):
    answer = await ask(app, "POST", JOBS, start_body(room_id=100))

    assert answer.status == 201
    assert answer.json()["room_id"] == "100"
    assert answer.json()["stream_name"] == f"s_{answer.json()['job_id']}_100_user"
    assert None not in answer.json().values()


async def test_show_answers_200_with_the_same_job(app):
    created = (await ask(app, "POST", JOBS, start_body(user_id=next(users)))).json()

    shown = await ask(app, "GET", f"{JOBS}/{created['job_id']}")

    assert (shown.status, shown.json()) == (200, created)


async def test_update_answers_200_with_the_new_rule(app):
    job_id = await started(app)

    answer = await ask(app, "PUT", f"{JOBS}/{job_id}", b'{"record_param":{"record_rule_id":"demo2"}}')

    assert (answer.status, answer.json()["record_param"]) == (200, {"record_rule_id": "demo2"})


async def test_stop_answers_204_without_a_body_again_and_again(app):
    job_id = await started(app)

    answers = [await ask(app, "DELETE", f"{JOBS}/{job_id}", b'{"ignored":1}') for _ in range(3)]

    assert [(answer.status, answer.body) for answer in answers] == [(204, b"")] * 3
    shown = (await ask(app, "GET", f"{JOBS}/{job_id}")).json()
    assert (shown["state"], shown["stop_reason"]) == ("STOPPED", "TENANT_STOP")


@pytest.mark.parametrize(
    ("target", "body", "status", "code"),
    [
        (JOBS, b"{", 400, "RTC.00001002"),
        (JOBS, b"", 400, "RTC.00001005"),
        (JOBS, start_body(max_idle_time=1), 400, "RTC.00001003"),
        (JOBS, start_body(is_record_audio=False, video_type=""), 400, "RTC.00001004"),
        (JOBS, start_body(publish_param={"rtmp_urls": ["rtmp://h/x"]}), 400, "RTC.00001003"),
        ("/v2/apps/none/individual-stream-jobs", start_body(), 404, "RTC.00001003"),
        ("/v2/apps/none/individual-stream-jobs", b"{}", 400, "RTC.00001005"),
        ("/v2/apps/off/individual-stream-jobs", start_body(), 400, "RTC.00001016"),
        (JOBS, start_body(record_param={"record_rule_id": "none"}), 400, "RTC.00001003"),
    ],
)
async def test_a_refused_create_names_the_first_fault_in_order(app, *, target, body, status, code):
    answer = await ask(app, "POST", target, body)

    assert (answer.status, answer.json()["error_code"]) == (status, code)


async def test_a_second_job_for_the_same_stream_is_1006_and_for_the_screen_is_not(app):
    await ask(app, "POST", JOBS, start_body())

    again = await ask(app, "POST", JOBS, start_body())
    screen = await ask(app, "POST", JOBS, start_body(video_type="SCREENSTREAM"))

    assert (again.status, again.json()["error_msg"]) == (400, "JobRunning: job exists and is not over")
    assert screen.status == 201


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "RTC.00001005"),
        (b"{}", "RTC.00001005"),
        (b'{"record_param":{}}', "RTC.00001005"),
        (b"[]", "RTC.00001002"),
        (b'{"record_param":{"record_rule_id":"none"}}', "RTC.00001003"),
    ],
)
async def test_a_refused_update_names_its_fault(app, body, code):
    answer = await ask(app, "PUT", f"{JOBS}/{await started(app)}", body)

    assert (answer.status, answer.json()["error_code"]) == (400, code)


async def test_updating_a_stopped_job_is_1009(app):
    job_id = await started(app)
    await ask(app, "DELETE", f"{JOBS}/{job_id}")

    answer = await ask(app, "PUT", f"{JOBS}/{job_id}", b'{"record_param":{"record_rule_id":"demo2"}}')

    assert (answer.status, answer.json()["error_code"]) == (400, "RTC.00001009")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("job", ["none", "%7Bjob_id%7D", "a" * 65, "%00", "%F0%9F%A6%80", "j;x=1"])
async def test_an_unknown_job_is_404(app, method, job):
    answer = await ask(app, method, f"{JOBS}/{job}", b'{"record_param":{"record_rule_id":"demo"}}')

    assert (answer.status, answer.json()["error_code"]) == (404, "RTC.00001003")
    assert answer.json()["error_msg"].startswith("InvalidParameterValue: ")


@pytest.mark.parametrize("app_id", ["none", "%7Bapp_id%7D", "a" * 33, "%00"])
async def test_an_unknown_app_is_404(app, app_id):
    answer = await ask(app, "POST", f"/v2/apps/{app_id}/individual-stream-jobs", start_body())

    assert (answer.status, answer.json()["error_code"]) == (404, "RTC.00001003")


@pytest.mark.parametrize(("method", "target"), UNBUILT)
async def test_an_operation_that_is_not_built_is_404_in_the_vendors_shape(app, method, target):
    answer = await ask(app, method, target)

    assert answer.status == 404
    assert set(answer.json()) == {"error_code", "error_msg", "request_id"}
    assert answer.json()["error_code"] == "APIGW.0101"


@pytest.mark.parametrize(("method", "target"), [("PATCH", JOBS), ("GET", JOBS), ("POST", f"{JOBS}/j"), ("HEAD", JOBS)])
async def test_a_wrong_method_is_404_like_an_unknown_path(app, method, target):
    assert (await ask(app, method, target)).status == 404


@pytest.mark.parametrize("target", [f"{JOBS}/", f"{JOBS}/j/", f"/{JOBS}", f"{JOBS}/a%2Fb", f"{JOBS}/../x"])
async def test_a_path_is_never_redirected_or_tidied(app, target):
    assert (await ask(app, "GET", target)).status == 404


async def test_unknown_paths_below_the_vendors_ask_for_a_credential_first(app):
    assert (await ask(app, "GET", "/v2/none", headers=[])).status == 401


async def test_a_wrong_method_on_our_own_paths_is_405_with_what_is_allowed(app):
    answer = await ask(app, "DELETE", "/soloist/v1/health", headers=[])

    assert (answer.status, answer.header("Allow")) == (405, "GET")


async def test_health_is_200_while_every_part_answers_and_503_otherwise():
    async def well():
        return None

    async def away():
        raise ConnectionError("inner detail")

    accounts = AccountBook()
    answers = []
    for probes in ({"database": well}, {"database": well, "recorder": away}):
        app = create_app(commands=commands(accounts), accounts=accounts, recorders={}, probes=probes)
        answers.append(await ask(app, "GET", "/soloist/v1/health", headers=[]))

    assert [answer.status for answer in answers] == [200, 503]
    assert answers[1].json()["parts"] == {"database": "ok", "recorder": "failing"}
    assert b"inner" not in answers[1].body


async def test_metrics_count_requests_by_route():
    app = fresh_app()
    await started(app)

    exposed = (await call(app, "GET", "/metrics", client=("127.0.0.1", 1))).body.decode()

    assert 'route="/v2/apps/{app_id}/individual-stream-jobs",status="201"} 1.0' in exposed


async def test_the_openapi_document_names_every_operation_with_body_answers_and_keys(app):
    document = (await ask(app, "GET", "/soloist/v1/openapi.json", headers=[])).json()

    operations = {entry["operationId"]: entry for item in document["paths"].values() for entry in item.values()}
    create = operations["create_individual_stream_job"]
    assert set(operations) >= {f"{verb}_individual_stream_job" for verb in ("show", "update", "stop")}
    assert set(create["responses"]) == {"201", "400", "401", "403", "404", "413", "429", "500"}
    assert create["security"] == [{"token": []}, {"signature": []}]
    assert "X-request-Id" in create["responses"]["201"]["headers"]
    assert document["components"]["schemas"]["StartBody"]["required"] == ["room_id", "user_id"]
    assert len(document["components"]["schemas"]["StartBody"]["anyOf"]) == 2


async def test_the_openapi_document_is_rendered_once_however_many_strangers_ask_for_it(app, monkeypatch):
    rendered = []
    dump = json.dumps
    monkeypatch.setattr(json, "dumps", lambda *values, **named: rendered.append(values) or dump(*values, **named))

    answers = [await ask(app, "GET", "/soloist/v1/openapi.json", headers=[]) for _ in range(5)]

    assert len({answer.body for answer in answers}) == 1
    assert sum("paths" in values[0] for values in rendered) <= 1


async def test_every_reference_of_the_openapi_document_leads_somewhere(app):
    document = (await ask(app, "GET", "/soloist/v1/openapi.json", headers=[])).json()

    def references(node):
        if isinstance(node, dict):
            yield from [node["$ref"]] if "$ref" in node else []
            node = list(node.values())
        for child in node if isinstance(node, list) else []:
            yield from references(child)

    schemas = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references(document)) <= schemas


async def test_the_docs_page_is_served(app):
    assert (await ask(app, "GET", "/soloist/v1/docs", headers=[])).status == 200


async def test_a_project_that_asks_too_often_is_429_and_told_when_to_come_back():
    accounts = AccountBook()
    limits = ApiLimits(requests_per_minute_max=2)
    app = create_app(commands=commands(accounts), accounts=accounts, recorders={}, limits=limits)

    answers = [await ask(app, "GET", f"{JOBS}/none") for _ in range(3)]

    assert [answer.status for answer in answers] == [404, 404, 429]
    assert (answers[2].json()["error_code"], answers[2].header("Retry-After")) == ("APIGW.0308", "30")
    assert (await ask(app, "GET", "/soloist/v1/health", headers=[])).status == 200
