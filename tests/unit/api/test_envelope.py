"""What every answer carries, what a request leaves in the log, and what becomes of a fault inside."""

import psycopg
import pytest
import structlog
from procrastinate.exceptions import ConnectorException
from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy.exc import OperationalError
from starlette.responses import PlainTextResponse
from support.asgi import call

from soloist.api.envelope import Envelope
from soloist.model.errors import NotFoundError

pytestmark = pytest.mark.anyio


def raising(error):
    async def app(scope, receive, send):
        raise error

    return Envelope(app, registry=CollectorRegistry())


def well(registry=None):
    return Envelope(PlainTextResponse("well", headers={"x-more": "1"}), registry=registry or CollectorRegistry())


async def test_the_request_id_header_is_spelled_as_the_vendor_spells_it_even_by_a_server_that_lowers_names():
    answer = await call(well(), "GET", "/")

    name, value = answer.headers[-1]
    assert name.lower() == b"X-request-Id"
    assert len(value) == 32


async def test_each_request_has_its_own_id_and_it_is_in_the_log_line():
    with structlog.testing.capture_logs() as lines:
        ids = {(await call(well(), "GET", "/")).header("X-request-Id") for _ in range(2)}

    assert len(ids) == 2
    assert {line["request_id"] for line in lines} == ids


async def test_the_log_line_tells_what_was_asked_and_keeps_secrets_and_addresses_to_itself():
    headers = [("X-Auth-Token", "secret-token"), ("Authorization", "secret-signature")]

    with structlog.testing.capture_logs() as lines:
        await call(well(), "POST", "/path?key=secret-query", headers=headers, body=b"secret-body")

    [line] = lines
    assert (line["event"], line["method"], line["path"], line["status"]) == ("request", "POST", "/path", 200)
    assert "secret" not in str(line)
    assert "192.0.2.1" not in str(line)


async def test_a_path_cannot_forge_a_log_line():
    with structlog.testing.capture_logs() as lines:
        await call(well(), "GET", "/a%0Ainjected")

    assert lines[0]["path"] == "/a%0Ainjected"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("inner detail"), "RTC.00002004"),
        (OperationalError("SELECT inner", {}, Exception("detail")), "RTC.00002002"),
        (psycopg.OperationalError("inner detail"), "RTC.00002002"),
        (ConnectorException("inner detail"), "RTC.00002002"),
    ],
)
async def test_a_fault_of_ours_is_500_with_an_id_and_tells_nothing_of_the_inside(error, code):
    with structlog.testing.capture_logs() as lines:
        answer = await call(raising(error), "GET", "/")

    assert (answer.status, answer.json()["error_code"]) == (500, code)
    assert "inner" not in answer.json()["error_msg"]
    assert answer.header("X-request-Id") == lines[0]["request_id"] == lines[1]["request_id"]
    assert "Traceback" in lines[0]["traceback"]


async def test_a_fault_of_the_caller_is_no_error_in_the_log():
    with structlog.testing.capture_logs() as lines:
        answer = await call(raising(NotFoundError("nothing there")), "GET", "/")

    assert (answer.status, answer.json()["error_msg"]) == (404, "InvalidParameterValue: nothing there")
    assert [line["log_level"] for line in lines] == ["info"]


async def test_a_fault_after_the_answer_began_is_logged_and_passed_on():
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError

    with structlog.testing.capture_logs() as lines, pytest.raises(ValueError):  # noqa: PT011 - the very one
        await call(Envelope(app, registry=CollectorRegistry()), "GET", "/")

    assert [line["log_level"] for line in lines] == ["error", "info"]


async def test_paths_never_become_metric_labels():
    registry = CollectorRegistry()

    await call(well(registry), "GET", "/some/path")

    exposed = generate_latest(registry).decode()
    assert 'soloist_http_requests_total{method="GET",route="unmatched",status="200"} 1.0' in exposed
    assert "/some/path" not in exposed
