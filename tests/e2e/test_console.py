"""A person at the console, in Chromium: what they see, do and are told."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, Page, expect
from support.recorded import ffmpeg_complaints
from support.sdk import Sdk
from support.server import Server

RECORD_S = 3
TOKEN = "devtoken"
ANSWER_MS = 15_000
"""For what a busy machine needs to answer; pages that are quicker wait less."""

PLAYBACK = """video => ({
  now: video.currentTime, length: video.duration, width: video.videoWidth, seeking: video.seeking,
  fault: video.error?.message ?? "",
})"""


@dataclass
class Person:
    """Somebody in front of the page."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    """Errors the browser's console shows; violations of the content policy are among them."""

    def sign_in(self, url: str, with_token: str = TOKEN) -> None:
        self.page.goto(url)
        self.page.get_by_label("Token").fill(with_token)
        self.page.get_by_role("button", name="Sign in").click()

    def join(self, room: str) -> None:
        self.page.get_by_label("Room", exact=True).first.fill(room)
        self.page.get_by_label("Height").select_option("360")
        self.page.get_by_role("button", name="Join").click()

    def playback(self, is_so: Callable[[dict], bool]) -> dict:
        """Return what the player shows once it is so. (The page's policy forbids Playwright's own way of waiting.)"""
        for _ in range(ANSWER_MS // 100):
            shown = self.page.eval_on_selector("#playback", PLAYBACK)
            if is_so(shown):
                return shown
            self.page.wait_for_timeout(100)
        raise AssertionError(f"the player shows {shown}")

    def width(self) -> int:
        return self.page.evaluate("document.documentElement.scrollWidth")


@pytest.fixture
def person(browser: Browser) -> Iterator[Person]:
    context = browser.new_context(accept_downloads=True)
    context.set_default_timeout(ANSWER_MS)
    expect.set_options(timeout=ANSWER_MS)
    person = Person(context.new_page())
    person.page.on("pageerror", lambda error: person.complaints.append(str(error)))
    person.page.on("console", lambda m: person.complaints.append(m.text) if m.type == "error" else None)
    yield person
    context.close()


def test_a_person_publishes_records_plays_and_downloads(
    person: Person, server: Server, room: str, tmp_path: Path
) -> None:
    page = person.page
    person.sign_in(server.url)
    person.join(room)
    expect(page.locator("#publish-state")).to_have_text("On air")
    rooms, jobs = page.locator("#rooms > li", has_text=room), page.locator("#jobs > li", has_text=room)
    expect(rooms).to_contain_text("camera · opus · h264")

    rooms.get_by_role("button", name="Record").click()
    page.get_by_role("button", name="Start recording").click()
    expect(jobs.locator(".chip")).to_have_text("Recording")
    expect(jobs.get_by_text("being written")).to_be_visible()
    expect(rooms.locator(".chip")).to_have_text("Recording")
    page.wait_for_timeout(RECORD_S * 1000)
    jobs.get_by_role("button", name="Stop").click()
    expect(jobs.locator(".chip")).to_have_text("Stopped")

    jobs.get_by_role("button", name="Play").click()
    shown = person.playback(lambda video: video["now"] > 0.3)
    length = re.search(r"MP4 · 0:0(\d) · 640 . 360", jobs.inner_text())
    assert length is not None, jobs.inner_text()
    assert RECORD_S - 1 < shown["length"] < RECORD_S + 6
    assert int(shown["length"]) == int(length[1])
    assert (shown["width"], shown["fault"]) == (640, "")
    page.eval_on_selector("#playback", "v => { v.pause(); v.currentTime = v.duration - 0.5 }")
    person.playback(lambda video: video["now"] > shown["length"] - 0.6 and not video["seeking"])

    with page.expect_download() as downloaded:
        jobs.get_by_role("link", name="Download").click()
    saved = tmp_path / downloaded.value.suggested_filename
    downloaded.value.save_as(saved)
    assert saved.suffix == ".mp4"
    assert ffmpeg_complaints(saved) == ""

    page.get_by_role("button", name="Leave").click()
    expect(rooms).to_have_count(0)
    assert person.complaints == []


def test_a_job_can_be_started_for_somebody_who_is_still_to_come_and_paused(
    person: Person, server: Server, room: str
) -> None:
    page = person.page
    person.sign_in(server.url)

    for _ in range(2):
        page.get_by_role("button", name="New job").click()
        page.locator("#job-room").fill(room)
        page.locator("#job-user").fill("bob")
        page.locator("#job-user").press("Enter")
    expect(page.locator("#start-error")).to_contain_text("RTC.00001006")
    page.keyboard.press("Escape")
    expect(page.locator("#start")).to_be_hidden()

    job = page.locator("#jobs > li", has_text=room)
    job.get_by_role("button", name="Pause").click()
    expect(job.locator(".chip")).to_have_text("Suspended")
    job.get_by_role("button", name="Resume").click()
    expect(job.locator(".chip")).to_have_text("Recording")
    job.get_by_role("button", name="Stop").click()
    expect(job.locator(".chip")).to_have_text("Stopped")
    assert [text for text in person.complaints if "400" not in text] == []


def test_a_wrong_token_is_told_and_asked_for_again(person: Person, server: Server) -> None:
    person.sign_in(server.url, f"wrong-{uuid4().hex}")

    expect(person.page.get_by_role("alert").first).to_contain_text("Incorrect IAM authentication information")
    expect(person.page.get_by_label("Token")).to_be_focused()
    expect(person.page.locator("#board")).to_be_hidden()


def test_a_reload_stays_signed_in_and_signing_out_forgets_the_token(person: Person, server: Server) -> None:
    person.sign_in(server.url)
    expect(person.page.get_by_role("heading", name="Jobs")).to_be_visible()

    person.page.reload()
    expect(person.page.get_by_role("heading", name="Jobs")).to_be_visible()
    person.page.get_by_role("button", name="Sign out").click()

    expect(person.page.locator("#board")).to_be_hidden()
    assert person.page.evaluate("sessionStorage.length") == 0
    assert person.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(person: Person, server: Server, sdk: Sdk, scheme: str) -> None:
    who = {"room_id": "r" * 50 + uuid4().hex[:14], "user_id": "u" * 64}
    job_id = sdk.create(**who).job_id
    person.page.set_viewport_size({"width": 360, "height": 740})
    person.page.emulate_media(color_scheme=scheme)

    person.sign_in(server.url)
    expect(person.page.locator("#jobs > li", has_text=who["room_id"])).to_be_visible()

    assert person.width() == 360
    person.page.get_by_role("button", name="New job").click()
    expect(person.page.locator("#start")).to_be_visible()
    assert person.page.locator("#start").bounding_box()["width"] < 360
    assert person.width() == 360
    sdk.stop(job_id)
