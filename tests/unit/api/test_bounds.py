"""What requests may hold at once, in all and from one source; and what a flood of them leaves in the log."""

import anyio
import pytest
import structlog
from support.asgi import call
from support.book import AccountBook, commands

from soloist.api.app import ApiLimits, create_app
from soloist.api.bounds import Pool
from soloist.api.errors import BusyError
from soloist.api.gate import SMALL_BODY_BYTES
from soloist.api.request_log import LINES_PER_S_MAX, REFUSED_LINES_PER_S_MAX, RequestLog

pytestmark = pytest.mark.anyio

JOBS = "/v2/apps/demo/individual-stream-jobs"
TOKEN = [("X-Auth-Token", "devtoken")]
KIB = b" " * 1024
LARGE = b" " * SMALL_BODY_BYTES + KIB
"""Of which a KiB counts."""


def edge(*, is_dev=False, **limits):
    accounts = AccountBook()
    return create_app(
        commands=commands(accounts), accounts=accounts, recorders={}, is_dev=is_dev, limits=ApiLimits(**limits)
    )


async def held_and_another(app, count, *, others, body=LARGE):
    """Let `count` requests hold 1 KiB that counts of a body that does not end; return the answer to another one."""
    async with anyio.create_task_group() as crowd:
        for _ in range(count):
            crowd.start_soon(lambda: call(app, "POST", JOBS, headers=TOKEN, body=LARGE, stalls=True))
        await anyio.sleep(0.05)
        answer = await call(app, "POST", JOBS, headers=TOKEN, body=body, client=(others, 1))
        crowd.cancel_scope.cancel()
    return answer


async def test_a_source_holds_no_more_bodies_than_its_share_and_others_have_theirs():
    app = edge(bodies_bytes_max=16 * 1024)

    own = await held_and_another(app, 8, others="192.0.2.1")
    neighbours = await held_and_another(app, 8, others="192.0.2.9")

    assert (own.status, own.header("Retry-After"), own.header("Connection")) == (503, "1", "close")
    assert own.json()["error_code"] == "APIGW.0201"
    assert neighbours.status == 400, "it was read and is no JSON"


async def test_a_small_body_passes_when_others_hold_all_there_is():
    app = edge(bodies_bytes_max=4 * 1024)
    async with anyio.create_task_group() as crowd:
        for number in range(4):
            there = (f"192.0.2.{number}", 1)
            crowd.start_soon(
                lambda there=there: call(app, "POST", JOBS, headers=TOKEN, body=LARGE, stalls=True, client=there)
            )
        await anyio.sleep(0.05)
        large = await call(app, "POST", JOBS, headers=TOKEN, body=LARGE, client=("192.0.2.9", 1))
        small = await call(app, "POST", JOBS, headers=TOKEN, body=KIB, client=("192.0.2.9", 1))
        crowd.cancel_scope.cancel()

    assert (large.status, small.status) == (503, 400)


async def test_what_was_held_is_given_back_whatever_became_of_the_request():
    app = edge(bodies_bytes_max=16 * 1024)

    for _ in range(3):
        await held_and_another(app, 8, others="192.0.2.1")
        assert (await call(app, "POST", JOBS, headers=TOKEN, body=LARGE + KIB)).status == 400
    metrics = (await call(app, "GET", "/metrics", client=("127.0.0.1", 1))).body.decode()

    assert "\nsoloist_http_bodies_bytes 0.0\n" in metrics
    assert '\nsoloist_http_refused_total{reason="bodies"} 15.0\n' in metrics


async def test_offers_count_as_bodies_too():
    app = edge(bodies_bytes_max=16 * 1024, is_dev=True)

    answer = await call(app, "POST", "/whip/demo/r/u", body=LARGE + KIB * 4)

    assert (answer.status, answer.header("Retry-After")) == (503, "1")


def test_a_pool_refuses_by_whose_bound_it_is_and_forgets_sources_that_hold_nothing():
    refused = []
    pool = Pool("things", 5, 2, refused.append)
    for source in ("a", "a", "b", "b", "c"):
        pool.take(source, 1)

    for source in ("a", "d"):
        with pytest.raises(BusyError):
            pool.take(source, 1)
    for source in ("a", "a", "b", "b", "c"):
        pool.give(source, 1)

    assert refused == ["source", "total"]
    assert (pool.used, dict(pool._by_source)) == (0, {})


async def test_who_is_refused_for_a_bound_leaves_one_line_and_no_traceback():
    app = edge(bodies_bytes_max=16 * 1024)
    with structlog.testing.capture_logs() as lines:
        answer = await call(app, "POST", JOBS, headers=TOKEN, body=LARGE + KIB * 4)

    assert answer.status == 503
    assert [(line["event"], line["log_level"]) for line in lines] == [("request", "info")]


async def test_of_a_flood_of_requests_the_log_has_a_few_lines_and_one_that_counts_the_rest():
    log = RequestLog(seconds=lambda: 5.0)
    with structlog.testing.capture_logs() as lines:
        for _ in range(3000):
            log.tell(401, path="/")
        for _ in range(LINES_PER_S_MAX):
            log.tell(200, path="/")
        log.tell(500, path="/")
        await anyio.sleep(1.1)

    assert sum(line["event"] == "request" and line["status"] == 401 for line in lines) == REFUSED_LINES_PER_S_MAX
    assert sum(line["event"] == "request" and line["status"] == 200 for line in lines) == LINES_PER_S_MAX
    [rest] = [line for line in lines if line["event"] == "requests"]
    assert rest["statuses"] == {"401": 3000 - REFUSED_LINES_PER_S_MAX, "500": 1}
