"""The console is served whole, loads nothing from elsewhere, and its headers bind it."""

import re
from pathlib import Path

import pytest
from support.asgi import call
from support.book import AccountBook, commands

import soloist
from soloist.api.app import create_app

pytestmark = pytest.mark.anyio
FOLDER = Path(soloist.__file__).parent / "console"
PARTS = sorted(path.name for path in FOLDER.iterdir())
SCRIPTS = [name for name in PARTS if name.endswith(".js")]


async def ask(target, method="GET"):
    accounts = AccountBook()
    return await call(create_app(commands=commands(accounts), accounts=accounts, recorders={}), method, target)


async def test_anybody_may_open_the_page():
    answer = await ask("/")

    assert (answer.status, answer.header("Content-Type")) == (200, "text/html; charset=utf-8")
    assert answer.body == (FOLDER / "index.html").read_bytes()


@pytest.mark.parametrize("name", PARTS)
async def test_every_part_is_served_under_the_same_headers(name):
    answer = await ask(f"/console/{name}")

    assert (answer.status, answer.body) == (200, (FOLDER / name).read_bytes())
    policy = dict(part.split(" ", 1) for part in answer.header("Content-Security-Policy").split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["form-action"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert answer.header("X-Content-Type-Options") == "nosniff"
    assert answer.header("Referrer-Policy") == "no-referrer"
    assert "camera=(self)" in answer.header("Permissions-Policy")


@pytest.mark.parametrize("target", ["/console/", "/console/none.js", "/console/..%2fcore.py", "/console/../core.py"])
async def test_nothing_else_is_served(target):
    assert (await ask(target)).status == 404


async def test_the_page_is_only_for_reading():
    assert (await ask("/", "POST")).status == 405


@pytest.mark.parametrize("name", PARTS)
def test_whatever_is_referred_to_is_part_of_it(name):
    text = (FOLDER / name).read_text(encoding="utf-8")

    referred = re.findall(r"""(?:src|href)="([^"]+)"|from "([^"]+)"|url\(([^)]+)\)""", text)
    names = {"".join(match).removeprefix("/console/").removeprefix("./") for match in referred}
    assert names <= set(PARTS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_others_wrote_never_becomes_markup(name):
    script = (FOLDER / name).read_text(encoding="utf-8")

    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|javascript:", script
    )
