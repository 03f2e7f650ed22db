"""Ctrl-C of `soloist serve` in the middle of a recording leaves no process, no socket and no half file."""

import signal
import time
from pathlib import Path

from playwright.sync_api import Browser
from support.browser import publisher_tab
from support.recorded import ffmpeg_complaints
from support.sdk import Sdk
from support.server import private_server


def descendants(pid: int) -> set[int]:
    """Return the processes that `pid` started, and theirs."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def test_ctrl_c_while_recording_leaves_nothing_but_whole_files(browser: Browser, pages: str) -> None:
    with private_server() as server, publisher_tab(browser, pages) as tab:
        tab.join("alice", server.whip_url("r", "alice"), token="devtoken")
        job = Sdk(server.url).create(room_id="r", user_id="alice")
        tab.wait(4)
        children = descendants(server.process.pid)

        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(20) == 0
        stopped_at = time.monotonic()

        while alive := {child for child in children if Path(f"/proc/{child}").exists()}:
            assert time.monotonic() < stopped_at + 10, (
                f"still running: {[Path(f'/proc/{p}/cmdline').read_bytes() for p in alive]}"
            )
        sockets = [path for root in (server.runtime, server.data) for path in root.rglob("*") if path.is_socket()]
        assert sockets == []
        media = [path for path in server.data.rglob("*") if path.suffix in (".mp4", ".webm")]
        assert any(job.job_id in str(path) for path in media)
        assert {path.name: ffmpeg_complaints(path) for path in media} == {path.name: "" for path in media}
        tab.vanish("alice")
