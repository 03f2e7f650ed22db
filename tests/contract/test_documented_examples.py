"""The examples of docs/api.md do what the page says, run against the running server."""

import re
import shlex
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "api.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8080"


def curls_of(page):
    """Return the curl commands of a page, a line each."""
    blocks = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    lines = [line for block in blocks for line in re.split(r"\n(?=\S)", block.replace("\\\n", " "))]
    return [line for line in lines if line.startswith("curl ")]


CURLS = curls_of(PAGE)
START = next(line for line in CURLS if "POST" in line)
PYTHON = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)


def parse_curl(line):
    """Return method, path, body and headers of a curl command that uses no more than -s, -X, -H and -d."""
    words = iter(shlex.split(line, comments=True)[1:])
    method, url, body, headers = "GET", "", None, {}
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = next(words).encode()
        elif word != "-s":
            url = word
    return method, url.removeprefix(ADDRESS), body, headers


@pytest.fixture
def documented_job(http, sdk):
    """The job of the page's first example."""
    status, _, job = http(*parse_curl(START))
    assert status == 201
    yield job
    sdk.stop(job["job_id"])


def test_the_page_shows_every_operation_and_address():
    seen = {(method, path) for method, path, _, _ in map(parse_curl, CURLS)}
    item = "/v2/apps/demo/individual-stream-jobs/JOB_ID"

    assert {("GET", item), ("PUT", item), ("DELETE", item)} <= seen
    assert {("GET", "/soloist/v1/health"), ("GET", "/metrics")} <= seen


@pytest.mark.parametrize("line", [line for line in CURLS if line != START])
def test_an_example_is_answered_with_success(http, documented_job, line):
    method, path, body, headers = parse_curl(line)

    status, _, _ = http(method, path.replace("JOB_ID", documented_job["job_id"]), body, headers, is_json=False)

    assert status in {200, 201, 204}


def test_the_python_example_prints_a_job_id(server, sdk, capsys):
    exec(PYTHON.group(1).replace(ADDRESS, server.url), {})  # noqa: S102 - our own page

    job_id = capsys.readouterr().out.strip()
    assert sdk.show(job_id).room_id == "room"
    sdk.stop(job_id)


def test_the_commands_of_the_callbacks_page_are_answered_with_success_in_their_order(http):
    commands = [parse_curl(line) for line in curls_of((DOCS / "callbacks.md").read_text(encoding="utf-8"))]

    assert [http(*command)[0] for command in commands] == [200] * 6
