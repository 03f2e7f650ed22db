"""`make screenshot`: the console in Chromium with a live job and a played-back recording, into docs/console.png.

Everything on it is real: a private service, two participants who publish from the browser, a callback receiver.
"""

import argparse
import json
import subprocess
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from playwright.sync_api import Browser, Page  # noqa: E402 - the path must be set first
from support.browser import chromium  # noqa: E402 - likewise
from support.database import private_folder  # noqa: E402 - likewise
from support.receiver import receiver  # noqa: E402 - likewise
from support.server import private_server  # noqa: E402 - likewise

ROOM = "interview"
SIZE = {"width": 1280, "height": 1000}
BYTES_MAX = 200_000
CAMERA = (
    "gradients=s=640x360:r=15:d=20:speed=0.02:n=2:c0=0x16233b:c1=0x3f6fb5,"
    "drawtext=text=alice:fontcolor=white:fontsize=84:x=(w-tw)/2:y=(h-th)/2-10,"
    "drawtext=text='%{pts\\:hms}':fontcolor=0xcfdcf5:fontsize=22:x=(w-tw)/2:y=h-70"
)


def main() -> None:
    """Draw the camera's picture, set the scene and photograph it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, nargs="?", default=ROOT / "docs" / "console.png")
    path: Path = parser.parse_args().path
    with private_folder("screenshot-") as folder:
        camera, photograph = folder / "camera.y4m", folder / "console.png"
        ffmpeg("-f", "lavfi", "-i", CAMERA, "-pix_fmt", "yuv420p", str(camera))
        with (
            receiver() as customer,
            private_server() as server,
            chromium(f"--use-file-for-fake-video-capture={camera}") as browser,
        ):
            tell(server.url, customer.url)
            scene(browser, server.url, photograph)
        # Few colours, so that the picture stays small enough for a repository.
        few = "split[a][b];[a]palettegen=max_colors=160[p];[b][p]paletteuse=dither=none"
        ffmpeg("-i", str(photograph), "-filter_complex", few, str(path))
    size = path.stat().st_size
    print(f"{path}: {size / 1000:.0f} kB")
    if size > BYTES_MAX:
        sys.exit(f"at most {BYTES_MAX / 1000:.0f} kB")


def tell(url: str, receiver_url: str) -> None:
    """Have the dev app's events told."""
    headers = {"X-Auth-Token": "devtoken", "Content-Type": "application/json"}
    body = json.dumps({"url": receiver_url}).encode()
    request = urllib.request.Request(f"{url}/v2/apps/demo/record-callback", body, headers, method="PUT")  # noqa: S310 - our own
    urllib.request.urlopen(request, timeout=10).close()  # noqa: S310 - our own


def scene(browser: Browser, url: str, photograph: Path) -> None:
    """Let alice be recorded for eight seconds, then bob, and play what alice said."""
    bob, alice = a_person(browser, url, "bob"), a_person(browser, url, "alice")
    record(alice, "alice")
    alice.wait_for_timeout(8000)
    alice.get_by_role("button", name="Stop the job of alice").click()
    record(alice, "bob")
    alice.get_by_role("button", name="Play").click()
    alice.wait_for_timeout(4500)
    alice.eval_on_selector("#playback", "video => video.pause()")
    alice.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    alice.wait_for_timeout(500)
    alice.screenshot(path=photograph, full_page=True)
    bob.close()


def a_person(browser: Browser, url: str, name: str) -> Page:
    """Open the console as somebody who publishes in the room."""
    page = browser.new_context(viewport=SIZE, color_scheme="light", locale="en-GB").new_page()
    page.goto(url)
    page.get_by_label("Token").fill("devtoken")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Room", exact=True).first.fill(ROOM)
    page.get_by_label("Your name").fill(name)
    page.get_by_label("Height").select_option("360")
    page.get_by_role("button", name="Join").click()
    page.get_by_text("On air").wait_for()
    return page


def record(page: Page, name: str) -> None:
    """Start a job for somebody in the room."""
    page.get_by_role("button", name=f"Record {name}'s camera").click()
    page.get_by_role("button", name="Start recording").click()
    page.locator("#jobs").get_by_text("Recording").first.wait_for()


def ffmpeg(*arguments: str) -> None:
    """Run ffmpeg; its complaints end the script."""
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *arguments], check=True)


if __name__ == "__main__":
    main()
