"""Drives the machine's Chromium as a publisher. A missing browser is an error, never a skip."""

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

PAGES = Path(__file__).parent / "pages"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--auto-select-desktop-capture-source=Entire screen",
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
    # Candidates of this machine in the clear: there is no mDNS responder to resolve the hidden ones.
    "--disable-features=WebRtcHideLocalIpsWithMdns",
]


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def end_headers(self) -> None:
        """Have nothing kept: this server dates files to the second, and a live playlist changes more often."""
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Say nothing."""


@contextmanager
def served_pages(folder: Path = PAGES) -> Iterator[str]:
    """Serve a folder of pages on a free loopback port (a secure context); yield its address."""
    handler = functools.partial(_QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@contextmanager
def chromium(*arguments: str) -> Iterator[Browser]:
    """Start Chromium without a window, with more `arguments` if wanted."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        raise RuntimeError("no Chromium on PATH: `make setup` installs it (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=[*ARGUMENTS, *arguments])
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """A page with participants in it."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def join(self, name: str, url: str, **options: object) -> dict[str, str]:
        """Publish as `name` to a WHIP endpoint; return when connected, with the session's address and entity tag."""
        return self._page.evaluate("([name, options]) => join(name, options)", [name, {"url": url, **options}])

    def leave(self, name: str) -> int:
        """Stop painting and end the session; return the status of the DELETE."""
        return self._page.evaluate("(name) => leave(name)", name)

    def swap(self, name: str, kind: str, to: object) -> None:
        """Send nothing of a kind any more ("off"), the same again ("on"), or another picture with other options."""
        self._page.evaluate("([name, kind, to]) => swap(name, kind, to)", [name, kind, to])

    def vanish(self, name: str) -> None:
        """Fall silent without a DELETE."""
        self._page.evaluate("(name) => vanish(name)", name)

    def rejoin(self, names: list[str], *, leaves: bool, **options: object) -> None:
        """Have participants leave, or vanish, and come back at once, with `options` other than before."""
        self._page.evaluate("([names, leaves, options]) => rejoin(names, leaves, options)", [names, leaves, options])

    def change(self, name: str, **wanted: object) -> None:
        """Change what a participant sends.

        That is `scale`, `codec`, `layers` (on or off, by rid), `camera` (on or off), `muted`, `size` of another track.
        """
        self._page.evaluate("([name, wanted]) => change(name, wanted)", [name, wanted])

    def layers(self, name: str) -> dict[str, dict]:
        """Return the height each layer of `name` is sent in at this moment, 0 if it is not, and what limits it."""
        return self._page.evaluate("(name) => layers(name)", name)

    def report(self, name: str) -> dict:
        """Return what `name` has painted and sent so far."""
        return self._page.evaluate("(name) => report(name)", name)

    def wait(self, seconds: float) -> None:
        """Let the page go on for a while."""
        self._page.wait_for_timeout(seconds * 1000)


@contextmanager
def publisher_tab(browser: Browser, pages: str) -> Iterator[Tab]:
    """Open the publisher page in a profile of its own."""
    context = browser.new_context()
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(f"{pages}/publisher.html")
    page.wait_for_function("window.ready")
    try:
        yield Tab(page)
    finally:
        context.close()
    assert not errors, f"the page reported: {errors}"
