"""FFmpeg's whip muxer publishes H.264 and Opus, as DTLS client and as server, with each certificate."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from interop.certificates import write_certificate
from interop.child import run_publisher
from interop.clips import Clips
from interop.crowd import Crowd, crowd
from interop.judge import judge
from interop.recorded_clip import RecordedClip, Stage, record_clip
from interop.table import Row, Table


@dataclass(frozen=True)
class Scenario:
    """One way to call the muxer; certificate `own` is the one it makes itself, on P-224."""

    certificate: str
    setup: str


CERTIFICATES = ("rsa2048", "p256", "p384")
REFUSED_S = 10.0
SCENARIOS = [
    Scenario("own", "passive"),
    *(Scenario(certificate, setup) for certificate in CERTIFICATES for setup in ("passive", "active")),
]


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, stage: Stage, clips: Clips, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Crowd[Scenario, RecordedClip]]:
    folder: Path = tmp_path_factory.mktemp("certificates")
    files = {kind: write_certificate(folder, kind) for kind in CERTIFICATES}

    def run(scenario: Scenario) -> RecordedClip:
        plan: dict = {"file": str(clips.matroska()), "is_active": scenario.setup == "active"}
        if scenario.certificate in files:
            plan["cert_file"], plan["key_file"] = map(str, files[scenario.certificate])
        return record_clip(stage, lambda url, token: run_publisher("ffmpeg", {**plan, "url": url, "token": token}))

    with crowd(request, "scenario", run) as running:
        yield running


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: f"{s.certificate} {s.setup}")
def test_every_frame_sent_is_in_the_file(
    outcomes: Crowd[Scenario, RecordedClip], table: Table, scenario: Scenario
) -> None:
    row = table.add(Row("FFmpeg whip (PyAV)", codec="H264", dtls=f"{scenario.certificate} {scenario.setup}"))
    recorded = outcomes.outcome(scenario)
    row.version = f"lavf {recorded.sent['version']}"
    judge(row, recorded, frames=recorded.sent["video"], packets=recorded.sent["audio"])


def test_a_dtls_client_with_a_p224_certificate_is_told_at_once_that_it_is_refused(
    stage: Stage, clips: Clips, table: Table
) -> None:
    """docs/publishers.md says why it is refused. Without an alert FFmpeg would wait for ever."""
    row = table.add(Row("FFmpeg whip (PyAV)", codec="H264", dtls="own active"))
    url, token = stage.endpoint("r-p224", "alice")
    plan = {"file": str(clips.matroska()), "is_active": True, "url": url, "token": token}
    began = time.monotonic()

    with pytest.raises(AssertionError, match="Input/output error"):
        run_publisher("ffmpeg", plan)

    assert time.monotonic() - began < REFUSED_S
    row.verdict = "refused, as documented"
