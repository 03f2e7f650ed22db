"""What docs/publishers.md tells publishers to do about their codec does what it says."""

import re
import shlex
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import pytest
from playwright.sync_api import Browser
from support.media import video_format, video_samples
from support.recorded import wait_for_files
from support.sdk import Sdk
from support.server import Server

from soloist.model.media import Codec
from soloist.sinks.webm import WebmSink

PUBLISHERS = (Path(__file__).parents[2] / "docs" / "publishers.md").read_text()


def snippet(language: str, holding: str) -> str:
    """Return the code of a language that holds something."""
    (found,) = [code for code in re.findall(rf"```{language}\n(.*?)```", PUBLISHERS, re.DOTALL) if holding in code]
    return str(found)


@pytest.mark.parametrize("codec", ["video/H264", "video/VP8", "video/VP9", "video/AV1"])
def test_the_browsers_function_sends_the_codec_it_is_told_to(
    browser: Browser, server: Server, pages: str, codec: str
) -> None:
    page = browser.new_page()
    page.goto(f"{pages}/publisher.html")
    page.add_script_tag(content=snippet("js", "setCodecPreferences"))
    sent = page.evaluate(
        """async ([url, codec]) => {
          const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
          const peer = await publish(url, "devtoken", stream, codec);
          for (let turn = 0; turn < 600; turn++) {
            const stats = [...(await peer.getStats()).values()];
            const video = stats.find(({ type, kind }) => type === "outbound-rtp" && kind === "video");
            if (video?.framesEncoded > 5) return stats.find(({ id }) => id === video.codecId).mimeType;
            await new Promise((done) => setTimeout(done, 50));
          }
        }""",
        [server.whip_url("documented", codec.replace("/", "-")), codec],
    )
    page.close()

    assert sent == codec


def test_the_command_line_sends_h264_whatever_the_file_holds(
    server: Server, sdk: Sdk, room: str, tmp_path: Path
) -> None:
    pictures = video_samples(Codec.VP8, 4)
    write_webm(tmp_path / "clip.webm", pictures)
    job = sdk.create(room_id=room, user_id="alice").job_id
    command = shlex.split(snippet("sh", "soloist publish"))
    soloist = shutil.which("soloist", path=str(Path(sys.executable).parent))
    command = [str(soloist), *command[1:], "--server", server.url]
    command[command.index("r")] = room
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    sdk.stop(job)

    assert done.returncode == 0, done.stderr
    (path,) = wait_for_files(server.bucket, job, extension=".mp4")
    with av.open(str(path)) as file:
        assert file.streams.video[0].codec_context.name == "h264"


def write_webm(path: Path, pictures: tuple) -> None:
    sink = WebmSink(path, video=video_format(Codec.VP8, pictures), audio=None, start=Fraction(0))
    for picture in pictures:
        sink.push(picture)
    sink.finish()
