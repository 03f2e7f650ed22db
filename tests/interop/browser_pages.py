"""The publisher page in a browser of one's choice: Chromium by playwright, Firefox by WebDriver BiDi."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import playwright.sync_api
from interop.firefox import firefox
from support.browser import PAGES, chromium, served_pages

JOIN_S = 30.0


class Page(Protocol):
    """A page with the test publisher, in whichever browser."""

    @property
    def version(self) -> str:
        """The browser's version."""

    def evaluate(self, expression: str) -> object:
        """Return what an expression or its promise comes to."""


@dataclass(frozen=True)
class ChromiumPage:
    """A page in Chromium."""

    version: str
    page: playwright.sync_api.Page

    def evaluate(self, expression: str) -> object:
        return self.page.evaluate(expression)


@contextmanager
def opened(browser: str, folder: Path) -> Iterator[Page]:
    """Start a browser by name, its files in `folder`, and wait for the page to be ready."""
    with (
        served(folder / "site") as address,
        {"Chromium": _chromium, "Firefox": _firefox}[browser](folder, address) as page,
    ):
        _wait_until(lambda: page.evaluate("window.ready === true"), "the page does not get ready")
        yield page


@contextmanager
def _chromium(_folder: Path, address: str) -> Iterator[Page]:
    with chromium() as browser:
        page = browser.new_page()
        page.goto(address)
        yield ChromiumPage(browser.version, page)


@contextmanager
def _firefox(folder: Path, address: str) -> Iterator[Page]:
    with firefox(folder) as browser:
        browser.open(address)
        yield browser


def join(page: Page, name: str, **options: object) -> None:
    """Let participant `name` publish, and wait until its media flows; if it does not, say where it stands."""
    page.evaluate(f"begin({json.dumps(name)}, {json.dumps(options)})")
    standing: dict = {}

    def is_decided() -> bool:
        standing.update(page.evaluate(f"standing({json.dumps(name)})"))
        return standing["outcome"] != "waiting"

    _wait_until(is_decided, f"{name} is still waiting", standing)
    assert standing["outcome"] == "joined", standing


def _wait_until(holds: Callable[[], bool], otherwise: str, *facts: object) -> None:
    deadline = time.monotonic() + JOIN_S
    while not holds():
        assert time.monotonic() < deadline, (f"{otherwise} after {JOIN_S:g} s", *facts)
        time.sleep(0.1)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve the test page, and what it needs of the other tiers', on a free loopback port; yield its address."""
    shutil.copytree(PAGES, folder)
    shutil.copytree(Path(__file__).parent / "pages", folder, dirs_exist_ok=True)
    with served_pages(folder) as address:
        yield f"{address}/browser.html"
