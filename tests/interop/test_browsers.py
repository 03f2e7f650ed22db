"""Chromium and Firefox publish what a person would, in each codec they can encode, and every picture they sent is kept.

A browser's participants publish side by side in one page. The pages note every encoded picture on its way out.
"""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from interop.browser_pages import Page, join, opened
from interop.judge import judge_offset, offset_text
from interop.network import network
from interop.production import production
from interop.recorded_clip import Stage
from interop.table import Row, Table
from support.recorded import Recorded, ffmpeg_complaints, wait_for_files

WARM_UP_S = 2.0
RECORD_S = 6.5


@dataclass(frozen=True)
class Scenario:
    """One participant of a browser."""

    browser: str
    codec: str
    special: str = ""
    options: dict = field(default_factory=dict, hash=False)
    fields: dict = field(default_factory=dict, hash=False)
    size: tuple[int, int] = (320, 180)

    @property
    def name(self) -> str:
        return ", ".join(filter(None, [self.browser, self.special]))

    @property
    def sound(self) -> str:
        """How it sends sound: our answers prefer RED where it is offered, and Firefox does not offer it."""
        return "red" if self.browser == "Chromium" and "without RED" not in self.special else "opus"

    @property
    def extension(self) -> str:
        return ".webm" if self.codec == "VP8" else ".mp4"


@dataclass(frozen=True)
class Outcome:
    """What a participant sent and what was recorded."""

    version: str
    recorded: Recorded
    report: dict
    sound_codec: str
    ice_names: tuple[str, str]
    """The ICE name under which media was sent soon after the job began, and at the end."""


ICE_RESTART = "ICE restart"
SIMULCAST = {"simulcast": True, "width": 640, "height": 360}
CHROMIUM = [
    *(Scenario("Chromium", codec) for codec in ("H264", "VP8", "VP9", "AV1")),
    Scenario("Chromium", "VP8", "without RED"),
    Scenario("Chromium", "H264", ICE_RESTART),
    Scenario("Chromium", "H264", "simulcast by RID, SD", SIMULCAST, {"select_stream_type": "SD"}),
]
FIREFOX = [
    *(Scenario("Firefox", codec) for codec in ("VP8", "VP9", "AV1")),
    Scenario("Firefox", "VP8", ICE_RESTART),
    Scenario("Firefox", "VP8", "simulcast by RID, SD", SIMULCAST, {"select_stream_type": "SD"}),
]


class Sessions:
    """Runs a browser when one of its scenarios is first asked for, all its selected ones side by side."""

    def __init__(self, stages: dict[str, Callable[[], Stage]], folder: Path, chosen: list[Scenario]) -> None:
        self._stages = stages
        self._folder = folder
        self._chosen = chosen
        self._found: dict[str, dict[Scenario, Outcome | Exception]] = {}

    def outcome(self, scenario: Scenario) -> Outcome:
        """Return what became of a scenario, or raise what its browser raised."""
        if scenario.browser not in self._found:
            self._found[scenario.browser] = self._run(scenario.browser)
        found = self._found[scenario.browser][scenario]
        if isinstance(found, Exception):
            raise found
        return found

    def _run(self, browser: str) -> dict[Scenario, Outcome | Exception]:
        folder = self._folder / browser
        folder.mkdir()
        mine = [scenario for scenario in self._chosen if scenario.browser == browser]
        try:
            stage = self._stages[browser]()
            with opened(browser, folder) as page:
                return _record([Participant(page, stage, scenario) for scenario in mine])
        except Exception as error:  # noqa: BLE001 - raised again for each scenario that asks
            return dict.fromkeys(mine, error)


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sessions]:
    mine = [item for item in request.session.items if getattr(item, "module", None) is request.module]
    chosen = [item.callspec.params["scenario"] for item in mine]
    with ExitStack() as stack:
        stages = {
            "Chromium": lambda: request.getfixturevalue("stage"),
            "Firefox": lambda: stack.enter_context(_off_loopback()),
        }
        yield Sessions(stages, tmp_path_factory.mktemp("browsers"), chosen)


@contextmanager
def _off_loopback() -> Iterator[Stage]:
    with network() as net, production(net.ours[0], reached_at=net.ours[0]) as stage:
        yield stage


class Participant:
    """One scenario while it runs. Its steps in order: join, start, restart_ice, stop, leave."""

    def __init__(self, page: Page, stage: Stage, scenario: Scenario) -> None:
        self.scenario = scenario
        self.outcome: Outcome | Exception | None = None
        self._page = page
        self._stage = stage
        self._sdk = stage.sdk()
        self._room = f"r-{uuid4().hex[:12]}"
        self._name = f"{scenario.codec} {scenario.special}"

    def attempt(self, step: "Callable[[Participant], None]") -> None:
        """Take a step, unless an earlier one failed."""
        if self.outcome is None:
            try:
                step(self)
            except Exception as error:  # noqa: BLE001 - it is this participant's outcome; the others go on
                self.outcome = error

    def join(self) -> None:
        url, token = self._stage.endpoint(self._room, "alice")
        options = {"width": 320, "height": 180, "fps": 20, "codec": self.scenario.codec} | self.scenario.options
        join(self._page, self._name, url=url, token=token, **options)

    def start(self) -> None:
        self._job = self._sdk.create(room_id=self._room, user_id="alice", **self.scenario.fields).job_id
        self._created_ms = round(time.time() * 1000)

    def restart_ice(self) -> None:
        self._ice_name = self._ask("iceName")
        if self.scenario.special == ICE_RESTART:
            assert self._ask("restartIce") == 200

    def stop(self) -> None:
        self._sdk.stop(self._job)

    def leave(self) -> None:
        sound_codec, report, ice_name = (self._ask(what) for what in ("soundCodec", "report", "iceName"))
        assert self._ask("leave") == 200
        (path,) = wait_for_files(self._stage.bucket, self._job, extension=self.scenario.extension)
        recorded = Recorded(path, self._created_ms)
        self.outcome = Outcome(self._page.version, recorded, report, sound_codec, (self._ice_name, ice_name))

    def _ask(self, what: str) -> Any:
        return self._page.evaluate(f"{what}({json.dumps(self._name)})")


def _record(participants: list[Participant]) -> dict[Scenario, Outcome | Exception]:
    """Take all participants through their steps side by side."""
    half_s = RECORD_S / 2
    pauses = {Participant.join: WARM_UP_S, Participant.start: half_s, Participant.restart_ice: half_s}
    for step in (*pauses, Participant.stop, Participant.leave):
        for participant in participants:
            participant.attempt(step)
        time.sleep(pauses.get(step, 0.5))
    return {participant.scenario: participant.outcome for participant in participants}


@pytest.mark.parametrize("scenario", [*CHROMIUM, *FIREFOX], ids=lambda s: f"{s.name} {s.codec}")
def test_every_picture_sent_is_in_the_file(outcomes: Sessions, table: Table, scenario: Scenario) -> None:
    row = table.add(Row(scenario.name, codec=scenario.codec, dtls="own p256 actpass"))
    outcome = outcomes.outcome(scenario)
    recorded, row.version = outcome.recorded, outcome.version
    holes, sent = _best_stream(recorded, outcome.report["sent"])
    row.sent, row.in_file, row.offset = str(sent), str(len(recorded.pictures)), offset_text(recorded.av_offsets_ms)

    assert ffmpeg_complaints(recorded.path) == ""
    assert holes == []
    assert sent == len(recorded.pictures)
    assert len(recorded.readable) == len(recorded.pictures), "a picture cannot be read"
    assert recorded.captured_span_s > RECORD_S - 1.5
    assert {picture.size for picture in recorded.pictures} == {scenario.size}
    assert outcome.sound_codec == scenario.sound
    judge_offset(recorded.av_offsets_ms)
    before, after = outcome.ice_names
    assert (before != after) is (scenario.special == ICE_RESTART), "media was sent by the wrong ICE session"
    row.verdict = "ok"


def _best_stream(recorded: Recorded, sent: list[dict]) -> tuple[list[int], int]:
    """Return what is missing of the sent RTP stream that was recorded, and how many pictures it had meanwhile."""
    streams = defaultdict(list)
    for picture in sent:
        streams[picture["ssrc"]].append(picture)
    found = []
    for stream in streams.values():
        first, ticks = recorded._sent_index(stream)
        span = round((recorded.pictures[-1].pts_s - recorded.pictures[0].pts_s) * 90_000)
        within = [tick for tick in ticks[first:] if tick - ticks[first] <= span + 45]
        found.append((recorded.holes(stream), len(within)))
    return min(found, key=lambda item: (len(item[0]), abs(item[1] - len(recorded.pictures))))
