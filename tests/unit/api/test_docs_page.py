"""The docs page is this server's alone, and every answer tells browsers to be strict."""

import re

import pytest
from support.asgi import call
from support.book import AccountBook, commands

from soloist.api.app import create_app
from soloist.api.docs_page import PARTS

pytestmark = pytest.mark.anyio

DOCS = "/soloist/v1/docs"


async def ask(target, **options):
    accounts = AccountBook()
    return await call(
        create_app(commands=commands(accounts), accounts=accounts, recorders={}), "GET", target, **options
    )


async def test_the_page_loads_its_own_parts_and_nothing_else():
    page = (await ask(DOCS)).body.decode()

    loaded = re.findall(r"""(?:src|href)="([^"]+)\"""", page)
    assert sorted(loaded) == sorted(["/console/icon.svg", *(f"{DOCS}/{name}" for name in PARTS)])
    assert not re.search(r"<script(?![^>]*src=)|<style|https?:|\son\w+=", page)


@pytest.mark.parametrize("target", [DOCS, *(f"{DOCS}/{name}" for name in PARTS)])
async def test_every_part_is_there_for_everybody_under_a_strict_policy(target):
    answer = await ask(target)

    assert (answer.status, len(answer.body) > 100) == (200, True)
    policy = dict(part.split(" ", 1) for part in answer.header("Content-Security-Policy").split("; "))
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"


@pytest.mark.parametrize(
    "target", ["/", DOCS, "/soloist/v1/health", "/v2/apps", "/nothing", "/whip/demo/r/u", "/%6detrics"]
)
async def test_every_answer_tells_browsers_to_be_strict(target):
    answer = await ask(target)

    named = {bytes(name).lower(): value for name, value in answer.headers}
    assert len(named) == len(answer.headers), "no field stands twice"
    assert answer.header("X-Content-Type-Options") == "nosniff"
    assert answer.header("Referrer-Policy") == "no-referrer"
    assert answer.header("X-Frame-Options") == "DENY"
    assert answer.header("Cross-Origin-Opener-Policy") == "same-origin"
    assert answer.header("Cross-Origin-Resource-Policy") == "same-origin"
    assert "frame-ancestors 'none'" in answer.header("Content-Security-Policy")
    assert answer.header("Strict-Transport-Security") is None, "it was asked by plain HTTP"


async def test_by_https_browsers_are_told_to_stay_there():
    accounts = AccountBook()
    app = create_app(commands=commands(accounts), accounts=accounts, recorders={})

    async def encrypted(scope, receive, send):
        await app({**scope, "scheme": "https"}, receive, send)

    answer = await call(encrypted, "GET", "/")

    assert answer.header("Strict-Transport-Security") == "max-age=31536000"
