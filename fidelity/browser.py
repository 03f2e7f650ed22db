"""Chromium as a publisher by the plan: the test page paints, beeps, mutes, replaces, leaves and rejoins for real.

Its pictures carry the moment they were painted; which of them left it knows by RTP time. One runs at a time.
"""

import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from support.browser import Tab, chromium, publisher_tab, served_pages
from support.burnt_in import read_pictures

from fidelity.checker import SentPicture, Truth
from fidelity.evidence import Reader, Shown
from fidelity.plan import Act, Plan
from fidelity.publisher import Sending
from soloist.model.media import Codec

CHROMIUM_S = 12.0
"""How long a browser takes to start and to connect, at most."""
JOIN_S = 1.6
"""How long a page that is open takes to join: its sound warms up for a second."""
NAME = "alice"
WRAP = 1 << 32
FLASH_MS = 100


def run_chromium(plan: Plan, sending: Sending, epoch_ns: int, endpoint: str, *, via: str = "") -> Truth:
    """Publish from a page as planned; return which of its pictures left."""
    reports = []
    with chromium() as browser, served_pages() as pages, publisher_tab(browser, pages) as tab:
        options = _options(sending, endpoint, via)
        tab.join(NAME, **options)
        for at_ms, act, is_start, scale in _orders(plan):
            tab.wait(max(0.0, (epoch_ns - time.time_ns()) / 1e9 + at_ms / 1000))
            if act is Act.LEAVE and is_start:
                tab.leave(NAME)
                reports.append(tab.report(NAME))
            elif act is Act.LEAVE:
                tab.join(NAME, **options)
            else:
                _swap(tab, act, is_start=is_start, options=options, scale=scale)
        tab.wait(max(0.0, (epoch_ns - time.time_ns()) / 1e9 + plan.seconds))
        tab.leave(NAME)
        reports.append(tab.report(NAME))
    layers = len(sending.sizes)
    return Truth(tuple(p for report in reports for p in _pictures(report, layers, epoch_ns)))


def _options(sending: Sending, endpoint: str, via: str) -> dict[str, Any]:
    width, height = sending.sizes[-1]
    fields = {"url": endpoint, "token": "devtoken", "via": via, "simulcast": len(sending.sizes) > 1}
    return {**fields, "codec": sending.codec.name, "width": width, "height": height, "fps": sending.fps}


def _orders(plan: Plan) -> list[tuple[float, Act, bool, int]]:
    """Return what is to be done when, in order; who is to be back by the end of a leave joins before."""
    orders = []
    for phase in plan.among(Act.MUTE_AUDIO, Act.MUTE_VIDEO, Act.REPLACE, Act.LEAVE):
        end_ms = phase.end_ms - (JOIN_S * 1000 if phase.act is Act.LEAVE else 0)
        orders += [(phase.start_ms, phase.act, True, phase.scale), (end_ms, phase.act, False, phase.scale)]
    return sorted(orders)


def _swap(tab: Tab, act: Act, *, is_start: bool, options: dict[str, Any], scale: int) -> None:
    if act is Act.REPLACE:
        divisor = scale if is_start else 1
        tab.swap(NAME, "video", {"width": options["width"] // divisor, "height": options["height"] // divisor})
    else:
        tab.swap(NAME, "audio" if act is Act.MUTE_AUDIO else "video", "off" if is_start else "on")


def _pictures(report: dict[str, Any], layers: int, epoch_ns: int) -> Iterator[SentPicture]:
    """Yield the pictures that left a session in all its layers, by when they were painted."""
    painted = np.array(sorted(report["times"]), float)
    by_stream = defaultdict(list)
    for sent in report["sent"]:
        by_stream[sent["ssrc"]].append(sent["rtp"])
    left: dict[float, int] = defaultdict(int)
    for ticks in by_stream.values():
        for captured in set(painted_times(ticks, painted)):
            left[captured] += 1
    for captured, count in sorted(left.items()):
        # What left in some layers only may be recorded, but need not be.
        yield SentPicture(round(captured) - epoch_ns / 1e6, is_lost=count < layers)


def painted_times(ticks: list[int], painted: "np.ndarray") -> list[float]:
    """Return when each picture of an RTP stream was painted: RTP times are those of painting, from somewhere on."""
    unwrapped = [0]
    for before, after in pairwise(ticks):
        unwrapped.append(unwrapped[-1] + (after - before + WRAP // 2) % WRAP - WRAP // 2)
    sent = np.array(unwrapped) / 90
    best = min(painted, key=lambda first: _misfit(sent + first, painted), default=0.0)
    return [float(painted[np.abs(painted - at).argmin()]) for at in sent + best]


def _misfit(times: "np.ndarray", painted: "np.ndarray") -> float:
    """Return how unevenly times lie beside the nearest ones of painting: RTP times are exact to a millisecond."""
    places = np.clip(np.searchsorted(painted, times), 1, len(painted) - 1)
    before, after = times - painted[places - 1], times - painted[places]
    return float(np.where(np.abs(before) < np.abs(after), before, after).var())


def page_reader(codec: Codec, epoch_ns: int) -> Reader:
    """Return how the page's pictures are read."""
    near_ms = epoch_ns // 1_000_000

    def read(path: Path) -> Iterator[Shown]:
        for picture in read_pictures(path):
            if picture.time_ms is None:
                yield Shown(picture.pts_s * 1000, None, 1, is_damaged=True, size=picture.size)
                continue
            captured_ms = near_ms + (picture.time_ms - near_ms + WRAP // 2) % WRAP - WRAP // 2
            is_damaged = picture.is_flash != (captured_ms % 1000 < FLASH_MS)
            yield Shown(picture.pts_s * 1000, captured_ms - epoch_ns / 1e6, 1, is_damaged=is_damaged, size=picture.size)

    return Reader(codec, read)
