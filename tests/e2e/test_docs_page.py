"""The docs page in a real browser: it shows the operations, asks nobody else for anything, and breaks no policy."""

from urllib.parse import urlsplit

from playwright.sync_api import Browser, expect
from support.server import Server

SHOWN_MS = 20_000


def test_the_docs_page_shows_the_operations_and_asks_this_server_alone(server: Server, browser: Browser) -> None:
    context = browser.new_context()
    page = context.new_page()
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))

    page.goto(f"{server.url}/soloist/v1/docs")
    expect(page.get_by_role("heading", name="Soloist")).to_be_visible(timeout=SHOWN_MS)
    expect(page.locator(".opblock").first).to_be_visible(timeout=SHOWN_MS)
    page.locator(".opblock-summary-control").first.click()
    expect(page.locator(".opblock-body").first).to_be_visible(timeout=SHOWN_MS)

    assert complaints == []
    assert {urlsplit(url).netloc for url in asked if not url.startswith("data:")} == {urlsplit(server.url).netloc}
    context.close()
