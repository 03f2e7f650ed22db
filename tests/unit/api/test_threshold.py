"""Before any credential: paths that can be read in two ways, names that are not this machine's, and who really asks."""

import string

import anyio
import pytest
from support.asgi import call
from support.book import AccountBook, commands

from soloist.api.app import ApiLimits, create_app
from soloist.api.metrics import MetricSources

pytestmark = pytest.mark.anyio

PLAIN = string.ascii_letters + string.digits + "-._"


def edge(*, is_dev=False, proxies=(), readers=("127.0.0.0/8",), **limits):
    accounts = AccountBook()
    return create_app(
        commands=commands(accounts),
        accounts=accounts,
        recorders={},
        is_dev=is_dev,
        limits=ApiLimits(proxies=proxies, **limits),
        metrics=MetricSources(readers=readers),
    )


@pytest.mark.parametrize("character", PLAIN)
@pytest.mark.parametrize("write", ["%{:02x}", "%{:02X}"])
async def test_what_needs_no_encoding_may_not_be_encoded(character, write):
    target = "/metrics" + write.format(ord(character))

    assert (await call(edge(), "GET", target, client=("127.0.0.1", 1))).status == 400


@pytest.mark.parametrize("target", ["/%6detrics", "/%6Detrics", "/metric%73", "/%6d%65%74%72%69%63%73", "/%2e/metrics"])
async def test_no_other_spelling_of_the_metrics_passes_a_rule_of_a_proxy(target):
    assert (await call(edge(), "GET", target, client=("127.0.0.1", 1))).status == 400


@pytest.mark.parametrize(
    "target",
    ["//metrics", "/./metrics", "/x/../metrics", "/metrics/", "/metrics/.", "/metrics//", "/metrics/..", "/.."],
)
async def test_empty_and_dot_segments_lead_nowhere(target):
    assert (await call(edge(), "GET", target, client=("127.0.0.1", 1))).status == 404


@pytest.mark.parametrize(
    "target", ["/metrics%00", "/metrics%20", "/%256detrics", "/metrics;x", "/METRICS", "/metrics%2F"]
)
async def test_what_is_decoded_is_decoded_once_and_compared_exactly(target):
    assert (await call(edge(), "GET", target, client=("127.0.0.1", 1))).status == 404


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080", "127.1.2.3", "LOCALHOST"]
)
async def test_development_mode_answers_to_names_of_this_machine(host):
    assert (await call(edge(is_dev=True), "GET", "/soloist/v1/health", headers=[("Host", host)])).status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "192.0.2.1", "", "[x"],
)
@pytest.mark.parametrize("path", ["/", "/soloist/v1/health", "/v2/apps/demo/individual-stream-jobs", "/whip/demo/r/u"])
async def test_development_mode_refuses_names_that_lead_here_by_dns(host, path):
    answer = await call(edge(is_dev=True), "GET", path, headers=[("Host", host), ("X-Auth-Token", "devtoken")])

    assert (answer.status, "http://localhost" in answer.json()["error_msg"]) == (421, True)


@pytest.mark.parametrize(
    ("origin", "status"), [("https://evil.example", 403), ("null", 403), ("http://localhost:3000", 404), (None, 404)]
)
async def test_development_mode_lets_only_pages_of_this_machine_change_anything(origin, status):
    headers = [("Host", "localhost"), ("X-Auth-Token", "devtoken"), *([("Origin", origin)] if origin else [])]

    answer = await call(edge(is_dev=True), "DELETE", "/v2/apps/demo/individual-stream-jobs/none", headers=headers)

    assert answer.status == status


async def test_in_production_any_name_is_answered():
    assert (await call(edge(), "GET", "/soloist/v1/health", headers=[("Host", "rec.example")])).status == 200


async def failing(app, times, client, via):
    headers = [("X-Auth-Token", "stale"), ("X-Forwarded-For", via)]
    return [(await call(app, "GET", "/v2/apps/demo", headers=headers, client=(client, 1))).status for _ in range(times)]


async def test_behind_a_trusted_proxy_each_caller_is_counted_alone():
    app = edge(proxies=("10.0.0.0/8",), auth_failures_max=2)

    assert await failing(app, 3, "10.0.0.1", "203.0.113.1") == [401, 401, 429]
    assert await failing(app, 1, "10.0.0.1", "203.0.113.2") == [401]
    assert await failing(app, 1, "10.0.0.1", "203.0.113.2, 203.0.113.1") == [429], "the leftmost is the caller's claim"


async def test_from_anybody_else_the_header_is_not_believed():
    app = edge(proxies=("10.0.0.0/8",), auth_failures_max=2)

    assert [*await failing(app, 2, "192.0.2.1", "203.0.113.1"), *await failing(app, 1, "192.0.2.1", "203.0.113.2")] == [
        401,
        401,
        429,
    ]


@pytest.mark.parametrize(
    ("client", "via", "status"),
    [("127.0.0.1", None, 200), ("127.0.0.1", "203.0.113.1", 404), ("203.0.113.1", "127.0.0.1", 404)],
)
async def test_metrics_are_for_networks_of_the_caller_behind_the_proxy(client, via, status):
    headers = [("X-Forwarded-For", via)] if via else []

    answer = await call(edge(proxies=("127.0.0.1",)), "GET", "/metrics", headers=headers, client=(client, 1))

    assert answer.status == status


async def test_a_caller_behind_a_proxy_has_so_many_requests_under_way_and_its_neighbours_have_theirs():
    app = edge(proxies=("10.0.0.1",), requests_per_source_max=2)

    async def ask(via, **options):
        headers = [("X-Auth-Token", "devtoken"), ("X-Forwarded-For", via)]
        return (await call(app, "POST", "/v2/apps", headers=headers, client=("10.0.0.1", 1), **options)).status

    async with anyio.create_task_group() as crowd:
        for _ in range(2):
            crowd.start_soon(lambda: ask("203.0.113.1", body=b"{", stalls=True))
        await anyio.sleep(0.05)
        assert await ask("203.0.113.1") == 503
        assert await ask("203.0.113.2") == 400
        crowd.cancel_scope.cancel()

    assert await ask("203.0.113.1") == 400
