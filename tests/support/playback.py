"""Plays recordings in Chromium by hls.js and Shaka Player, which lie beside the test pages: no run fetches anything."""

import hashlib
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page

from support.browser import PAGES, served_pages

VENDORED = {
    "hls.light.min.js": "236fded746599de9a54ee84b0a7d1ea77399ad6f897fac36a4a8944b808a89f6",
    "shaka-player.hls.min.js": "1336ec8c8e3caf9ed7c3a705497c80d39e750199ff1de45fa907b6ee4fce76ee",
}
"""SHA-256 of hls.js 1.7.4 and shaka-player 5.2.12 from npm: `dist/hls.light.min.js` and
`dist/shaka-player.hls-es2021.js`, each without its last line (the address of a source map)."""


@dataclass(frozen=True)
class Playback:
    """What a viewer noticed of one playback."""

    errors: list[dict]
    stalls: list[float]
    """Where the picture stood still for want of media, seconds."""
    jumps: list[float]
    """Where the player went on after leaving something out, seconds."""
    position_s: float
    duration_s: float
    size: tuple[int, int]
    frames: int
    has_sound: bool

    @property
    def fatal(self) -> list[dict]:
        """The errors that playback could not go on from."""
        return [error for error in self.errors if error["fatal"]]


class Player:
    """A page with players in it."""

    def __init__(self, page: Page, address: str) -> None:
        self._page = page
        self._address = address

    def play(self, name: str, key: str, *, rate: float = 1, by: str = "hls", stock_s: float = 0) -> None:
        """Play an object of the bucket from its start by `hls` (hls.js) or `shaka`; return once it plays.

        It waits for a stock of `stock_s` seconds first: a machine that is slow to load is no fault of a recording.
        """
        given = [name, f"{self._address}/{key}", rate, by, stock_s]
        self._page.evaluate("([name, url, rate, by, stock]) => play(name, url, rate, by, stock)", given)

    def seek(self, name: str, times_s: list[float]) -> list[float]:
        """Go to each of some times; return when the picture that is shown there begins, or where the sound stands."""
        return self._page.evaluate("([name, times]) => seek(name, times)", [name, times_s])

    def go_on(self, name: str, position_s: float) -> float:
        """Play on from a position; return where playback is once it goes on from there."""
        return self._page.evaluate("([name, position]) => goOn(name, position)", [name, position_s])

    def until_ended(self, name: str, within_s: float) -> Playback:
        """Return what was noticed once the end is reached."""
        deadline = time.monotonic() + within_s
        while not (seen := self._page.evaluate("(name) => watch(name)", name))["ended"]:
            assert time.monotonic() < deadline, f"playback does not end: {seen}"
            self._page.wait_for_timeout(100)
        return Playback(
            seen["errors"],
            seen["stalls"],
            seen["jumps"],
            seen["position"],
            seen["duration"],
            tuple(seen["size"]),
            seen["frames"],
            seen["audioBytes"] > 0,
        )


@contextmanager
def player_of(browser: Browser, bucket: Path) -> Iterator[Player]:
    """Open the player page in a profile of its own, beside a bucket's objects."""
    for name, pinned in VENDORED.items():
        found = hashlib.sha256((PAGES / "vendor" / name).read_bytes()).hexdigest()
        assert found == pinned, f"{name} is not the one that was pinned"
    with tempfile.TemporaryDirectory() as folder:
        for name, target in (("pages", PAGES), ("bucket", bucket)):
            (Path(folder) / name).symlink_to(target)
        with served_pages(Path(folder)) as address:
            context = browser.new_context()
            page = context.new_page()
            page.goto(f"{address}/pages/player.html")
            page.wait_for_function("window.ready")
            try:
                yield Player(page, f"{address}/bucket")
            finally:
                context.close()
