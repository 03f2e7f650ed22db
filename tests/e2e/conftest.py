"""One server and one Chromium for all end-to-end tests; each test has rooms and a page of its own."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from playwright.sync_api import Browser
from support.browser import Tab, chromium, publisher_tab, served_pages
from support.sdk import Sdk
from support.server import Server, private_server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with private_server() as running:
        yield running


@pytest.fixture(scope="session")
def sdk(server: Server) -> Sdk:
    return Sdk(server.url)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def pages() -> Iterator[str]:
    with served_pages() as address:
        yield address


@pytest.fixture
def tab(browser: Browser, pages: str) -> Iterator[Tab]:
    with publisher_tab(browser, pages) as opened:
        yield opened


@pytest.fixture
def room() -> str:
    return f"r-{uuid4().hex[:12]}"
