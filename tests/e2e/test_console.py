"""A person at the console, in Chromium: what they see, do and are told."""

import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from playwright.sync_api import Browser, Page, expect
from support.receiver import answers, receiver
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
        """Return what the player shows once it is so."""
        shown: dict = {}

        def look() -> bool:
            shown.update(self.page.eval_on_selector("#playback", PLAYBACK))
            return is_so(shown)

        until(self.page, look)
        return shown

    def width(self) -> int:
        return self.page.evaluate("document.documentElement.scrollWidth")


@pytest.fixture
def person(browser: Browser) -> Iterator[Person]:
    context = browser.new_context(accept_downloads=True)
    context.set_default_timeout(ANSWER_MS)
    expect.set_options(timeout=ANSWER_MS)
    person = Person(context.new_page())
    person.page.on("pageerror", lambda error: person.complaints.append(str(error)))
    person.page.on("console", lambda m: m.type == "error" and person.complaints.append(f"{m.text} {m.location}"))
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
    length = re.search(r"MP4 · 0:(\d\d) · 640 . 360", jobs.inner_text())
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


def test_a_job_may_only_forward_and_shows_where_its_server_stands_but_not_its_key(
    person: Person, server: Server, room: str
) -> None:
    page = person.page
    person.sign_in(server.url)

    page.get_by_role("button", name="New job").click()
    page.locator("#job-room").fill(room)
    page.locator("#job-user").fill("carol")
    page.locator("#job-rule").select_option("")
    page.locator("#job-forward").fill("rtmp://127.0.0.1:9/live/s3cret")
    page.locator("#start-submit").click()

    job = page.locator("#jobs > li", has_text=room)
    expect(job).to_contain_text("kept nowhere")
    expect(job.locator(".targets")).to_contain_text("rtmp://127.0.0.1:9/live/***", timeout=ANSWER_MS)
    expect(job.locator(".targets .chip")).to_have_text("connecting")
    assert "s3cret" not in page.content()
    job.get_by_role("button", name="Stop").click()
    expect(job.locator(".row > .chip").first).to_have_text("Stopped")
    assert person.complaints == []


def test_hls_of_another_app_is_watched_while_it_is_recorded(person: Person, server: Server, room: str) -> None:
    page = person.page
    app_id = ask(server, "POST", "/v2/apps", {"app_name": room})["app_id"]
    place = {"location": "cn-north-4", "project_id": "dev", "bucket": "recordings"}
    cutting = {"record_cycle": 0, "record_slice_duration": 2}
    rule = {"obs_addr": place, "record_formats": ["HLS"], "hls_config": cutting}
    ask(server, "POST", f"/v2/apps/{app_id}/record-rules", rule)
    person.sign_in(server.url)
    page.get_by_label("App").select_option(room)
    person.join(room)
    page.locator("#rooms").get_by_role("button", name="Record").click()
    page.get_by_role("button", name="Start recording").click()
    job = page.locator("#jobs > li", has_text=room)
    expect(job).to_contain_text("HLS · being written")
    until(page, lambda: any(server.bucket.rglob(f"*{room}*.m3u8")))

    job.get_by_role("button", name="Watch").click()

    assert person.playback(lambda video: video["now"] > 0.5)["width"] == 640
    job.get_by_role("button", name="Stop").click()
    expect(job.get_by_role("button", name="Play")).to_be_visible()
    assert person.complaints == []


def test_the_screen_is_a_stream_of_its_own_and_a_dismissed_room_is_told(
    person: Person, server: Server, room: str
) -> None:
    person.sign_in(server.url)
    for name in ("Camera", "Microphone", "Screen"):
        person.page.get_by_role("checkbox", name=name).click()
    person.join(room)

    expect(person.page.locator("#rooms > li", has_text=room)).to_contain_text("screen · h264")
    ask(server, "POST", f"/v2/apps/demo/rooms/{room}/dismiss")
    expect(person.page.locator("#message")).to_have_text(re.compile("no longer in the room: the screen"))
    expect(person.page.get_by_role("button", name="Join")).to_be_visible()


def test_an_event_that_was_given_up_is_seen_and_sent_again(person: Person, server: Server, sdk: Sdk, room: str) -> None:
    page = person.page
    with receiver() as customer:
        customer.answer = answers(500)
        tell(server, customer.url)
        sdk.stop(sdk.create(room_id=room, user_id="alice").job_id)
        person.sign_in(server.url)
        event = page.locator("#events > li", has_text="cloud record server over").first
        expect(event).to_contain_text("attempt")

        wait_no_longer(server)
        expect(event.locator(".chip")).to_have_text("dead")
        customer.answer = answers(200)
        event.get_by_role("button", name="Replay").click()

        expect(event.locator(".chip")).to_have_text("delivered")
        tell(server, "")
    assert person.complaints == []


def until(page: Page, is_so: Callable[[], bool]) -> None:
    """Let the page go on until something is so. (Its policy forbids Playwright's own way of waiting.)"""
    for _ in range(ANSWER_MS // 100):
        if is_so():
            return
        page.wait_for_timeout(100)
    raise AssertionError("it did not become so")


def tell(server: Server, url: str) -> None:
    """Set where the dev app's events are told."""
    ask(server, "PUT", "/v2/apps/demo/record-callback", {"url": url})


def ask(server: Server, method: str, path: str, body: dict | None = None) -> dict:
    headers = {"X-Auth-Token": TOKEN, "Content-Type": "application/json"}
    request = urllib.request.Request(server.url + path, json.dumps(body or {}).encode(), headers, method=method)  # noqa: S310 - our own
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own
        return json.loads(answer.read() or b"{}")


def wait_no_longer(server: Server) -> None:
    """Let what is waiting have waited for two days, so that the next attempt is the last."""
    with psycopg.connect(server.database_url) as database:
        database.execute("UPDATE record_callbacks SET updated_at = updated_at - interval '2 days'")
        database.execute("UPDATE deliveries SET created_at = created_at - interval '2 days', next_at = now()")


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
