"""Chromium sends three layers in each codec; a job records the one its level asks for, as long as it is there.

Rules R19 and R20. Participants, one for each codec, publish side by side in one page.
"""

import json
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from support.browser import Tab, publisher_tab
from support.burnt_in import Picture
from support.recorded import Recorded, ffmpeg_complaints, wait_for_files
from support.sdk import Sdk
from support.server import Server

FPS = 10
SIZES = {"q": (256, 144), "h": (512, 288), "f": (1024, 576)}
"""Below 960 x 540 Chromium sends two of three layers."""
RIDS = {"LD": "q", "HD": "h", "FHD": "f"}
"""By level; where all layers are above it, the lowest is recorded."""
EXTENSIONS = {"H264": ".mp4", "VP8": ".webm", "VP9": ".mp4", "AV1": ".mp4"}
SOON_S = 10.0
"""How long a sender may take, on a path without a limit, until it sends its highest layer in full: 1 s as a rule. A
probe of the path that it hears nothing of costs it 15 s."""
COMES_S = 40.0
"""How long is waited for that."""
OFF_S = 5.0
"""How long the highest layer is switched off."""


@dataclass
class Show:
    """What each participant sent and what was recorded of it, by codec."""

    bucket: Path
    created_ms: int
    came_s: dict[str, float] = field(default_factory=dict)
    """How long after joining all layers were sent in full."""
    seen: dict[str, list[dict]] = field(default_factory=dict)
    """What was sent of the layers since, every now and then."""
    jobs: dict[tuple[str, str], str] = field(default_factory=dict)
    """By codec and level."""

    def files(self, codec: str, tier: str) -> list[Recorded]:
        """Return a job's files, in order."""
        paths = wait_for_files(self.bucket, self.jobs[codec, tier], extension=EXTENSIONS[codec])
        return sorted((Recorded(path, self.created_ms) for path in paths), key=lambda one: manifest(one)["start_ns"])


def manifest(recorded: Recorded) -> dict:
    """Return what is told of a file: its own entry and its picture's track in one, and what is missing."""
    told = json.loads(recorded.path.with_suffix(".json").read_text())
    (track,) = (track for track in told["tracks"] if track["kind"] == "video")
    return told["files"][0] | track | {"missing": told["missing"]}


def await_layers(tab: Tab, show: Show, since_s: dict[str, float]) -> None:
    """Return once all of them send every layer in full."""
    while waiting := since_s.keys() - show.came_s.keys():
        for codec in waiting:
            if sent_heights(tab, codec) == [size[1] for size in SIZES.values()]:
                show.came_s[codec] = time.monotonic() - since_s[codec]
        assert time.monotonic() - min(since_s.values()) < COMES_S, {codec: tab.layers(codec) for codec in waiting}
        tab.wait(0.2)


def sent_heights(tab: Tab, codec: str) -> list[int]:
    layers = tab.layers(codec)
    return [layers.get(rid, {"height": 0})["height"] for rid in SIZES]


def go_on(tab: Tab, show: Show, seconds: float) -> None:
    """Let the page go on, and look now and then what it sends."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        tab.wait(0.5)
        for codec in EXTENSIONS:
            show.seen.setdefault(codec, []).append(tab.layers(codec))


@pytest.fixture(scope="module")
def show(server: Server, sdk: Sdk, browser: Browser, pages: str) -> Show:
    """The files of a job for each codec and level; in the last ones the highest layer goes and comes back."""
    show, since_s = Show(server.bucket, round(time.time() * 1000)), {}
    with publisher_tab(browser, pages) as tab:
        options = {"simulcast": True, "width": 1024, "height": 576, "fps": FPS, "audio": False}
        for codec in EXTENSIONS:
            tab.join(codec, server.whip_url("layers", codec), token="devtoken", codec=codec, **options)
            since_s[codec] = time.monotonic()
        await_layers(tab, show, since_s)
        for tier in RIDS:
            for codec in EXTENSIONS:
                job = sdk.create(room_id="layers", user_id=codec, select_stream_type=tier)
                show.jobs[codec, tier] = str(job.job_id)
            go_on(tab, show, 2.5)
            if tier == "FHD":
                switch_off_and_on(tab)
            for codec in EXTENSIONS:
                sdk.stop(show.jobs[codec, tier])
        for codec in EXTENSIONS:
            assert tab.leave(codec) == 200
    return show


def switch_off_and_on(tab: Tab) -> None:
    """Have everybody stop sending their highest layer for a while."""
    for codec in EXTENSIONS:
        tab.change(codec, layers={"f": False})
    tab.wait(OFF_S)
    for codec in EXTENSIONS:
        tab.change(codec, layers={"f": True})
    deadline = time.monotonic() + 15
    while any(sent_heights(tab, codec)[-1] != SIZES["f"][1] for codec in EXTENSIONS):
        assert time.monotonic() < deadline, {codec: tab.layers(codec) for codec in EXTENSIONS}
        tab.wait(0.2)
    tab.wait(2.5)


@pytest.mark.parametrize("codec", EXTENSIONS)
def test_the_highest_layer_comes_up_in_full_and_stays(show: Show, codec: str, tell) -> None:
    limits = Counter(layers["f"]["limit"] for layers in show.seen[codec])
    tell(f"{codec}: all layers in full {show.came_s[codec]:.1f} s after joining; limited by {dict(limits)}")

    assert show.came_s[codec] <= SOON_S
    assert {layers["f"]["height"] for layers in show.seen[codec]} == {SIZES["f"][1]}


@pytest.mark.parametrize("tier", ["LD", "HD"])
@pytest.mark.parametrize("codec", EXTENSIONS)
def test_the_recorded_layer_is_the_highest_within_the_level_asked_for(show: Show, codec: str, tier: str) -> None:
    (recorded,) = show.files(codec, tier)
    told = manifest(recorded)

    assert ffmpeg_complaints(recorded.path) == ""
    assert {picture.size for picture in recorded.pictures} == {SIZES[RIDS[tier]]}
    assert [layer["rid"] for layer in told["layers"]] == [RIDS[tier]]
    assert told["layer_seconds"].keys() == {RIDS[tier]}
    assert told["layer_seconds"][RIDS[tier]] == shown_s(recorded.pictures)
    assert recorded.captured_span_s > 1.5


@pytest.mark.parametrize("codec", EXTENSIONS)
def test_another_layer_is_recorded_while_the_one_asked_for_is_off(show: Show, codec: str) -> None:
    files = show.files(codec, "FHD")
    runs = [list(run) for one in files for _, run in groupby(one.pictures, lambda picture: picture.size)]
    told = [manifest(one) for one in files]
    holes = [hole for one in told for hole in one["missing"]]
    seconds = sum((Counter(one["layer_seconds"]) for one in told), Counter())

    # ffmpeg scales what changes its size for its own output, and says so.
    said = [line for one in files for line in ffmpeg_complaints(one.path).splitlines() if "swscaler" not in line]
    assert said == []
    assert [run[0].size for run in runs] == [SIZES["f"], SIZES["h"], SIZES["f"]]
    # AV1 in MP4 begins a new file with each size.
    assert len(files) == (3 if codec == "AV1" else 1)
    assert [layer["rid"] for one in told for layer in one["layers"]] == ["f", "h", "f"]
    assert seconds["f"] == shown_s(runs[0], runs[2])
    assert seconds["h"] == shown_s(runs[1])
    assert seconds["h"] > OFF_S - 2.5
    assert {(hole["cause"], hole["detail"]) for hole in holes} == {("gap", "layer_silent")}
    # Each file tells of what is missing between it and its neighbour.
    ((start_ns, end_ns),) = {(hole["start_ns"], hole["end_ns"]) for hole in holes}
    # It is left after 1.5 s, for one whose sender is busy with all the others.
    assert end_ns - start_ns < 3_000_000_000
    assert all(len(one.readable) == len(one.pictures) for one in files), "a picture cannot be read"
    # How late pictures stand by the moment burnt into them: a switch moves none against those before it.
    late_ms = [
        statistics.median(
            one.captured_ms(picture) - picture.pts_s * 1000 - of_file["start_ns"] / 1e6 for picture in run
        )
        for one, of_file in zip(files, told, strict=True)
        for _, run in groupby(one.pictures, lambda picture: picture.size)
    ]
    assert max(late_ms) - min(late_ms) < 1000 / FPS, late_ms


def shown_s(*runs: list[Picture]) -> float:
    """Return how long runs of pictures are shown; how long the last of each is, only the file knows: a gap or so."""
    gaps_s = [after.pts_s - before.pts_s for run in runs for before, after in pairwise(run)]
    return pytest.approx(sum(gaps_s) + len(runs) / FPS, abs=len(runs) * (max(gaps_s) + 1 / FPS))
