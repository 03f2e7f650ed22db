"""pion publishes the clip in every form publishers differ in, and every frame it sent is in the file."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from interop import pion
from interop.clips import LAYERS, Clips
from interop.crowd import Crowd, crowd
from interop.judge import judge
from interop.recorded_clip import RecordedClip, Stage, record_clip
from interop.table import Row, Table

from soloist.model.media import Codec

CERTIFICATES = ("rsa2048", "p256", "p384")
SETUPS = ("actpass", "active", "passive")


@dataclass(frozen=True)
class Scenario:
    """One way to publish."""

    codec: str = "H264"
    certificate: str = "p256"
    setup: str = "actpass"
    rtx: bool = True
    red: bool = False
    bundle_only: bool = False
    drop_video: int = 0
    drop_audio: int = 0
    simulcast: str = ""
    tier: str | None = None

    @property
    def name(self) -> str:
        """What is special about it."""
        special = [
            f"simulcast by {self.simulcast.upper()}, {self.tier}" if self.simulcast else "",
            f"{'RTX' if self.rtx else 'no RTX'}, 1 in {self.drop_video} lost" if self.drop_video else "",
            "RED" if self.red else "",
            f"1 in {self.drop_audio} lost" if self.drop_audio else "",
            "BUNDLE only" if self.bundle_only else "",
        ]
        return ", ".join(filter(None, ["pion", *special]))


DTLS = [Scenario(certificate=certificate, setup=setup) for certificate in CERTIFICATES for setup in SETUPS]
CODECS = [Scenario(codec=codec) for codec in ("VP8", "VP9", "AV1")]
# No picture's or sound's last packet is among the lost: nothing after it would tell.
LOSSES = [
    Scenario(drop_video=19),
    Scenario(drop_video=19, rtx=False),
    Scenario(codec="VP8", drop_video=19),
    Scenario(red=True, drop_audio=17),
]
FORMS = [Scenario(bundle_only=True), Scenario(red=True)]
SIMULCAST = [
    Scenario(codec=codec, simulcast=how, tier=tier)
    for codec in ("VP8", "H264")
    for how in ("rid", "ssrc")
    for tier in ("LD", "HD")
]


def plan_of(scenario: Scenario, clips: Clips) -> dict:
    """Return the publisher's plan."""
    codec = Codec[scenario.codec]
    layers = [clips.pictures(codec, size) for size in LAYERS] if scenario.simulcast else [clips.pictures(codec)]
    return {
        **{name: getattr(scenario, name) for name in ("codec", "certificate", "setup", "rtx", "red", "simulcast")},
        **{name: getattr(scenario, name) for name in ("bundle_only", "drop_video", "drop_audio")},
        "layers": [str(path) for path in layers],
        "audio": str(clips.sound()),
        "transport": "udp",
    }


def record(stage: Stage, plan: dict, **fields: object) -> RecordedClip:
    """Record pion publishing as planned."""
    extension = ".webm" if plan["codec"] == "VP8" else ".mp4"
    publish = lambda url, token: pion.run({**plan, "url": url, "token": token})  # noqa: E731 - one expression
    return record_clip(stage, publish, extension=extension, **fields)


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, stage: Stage, clips: Clips, pion_publisher: str
) -> Iterator[Crowd[Scenario, RecordedClip]]:
    del pion_publisher

    def run(scenario: Scenario) -> RecordedClip:
        fields = {"select_stream_type": scenario.tier} if scenario.tier else {}
        return record(stage, plan_of(scenario, clips), **fields)

    with crowd(request, "scenario", run) as running:
        yield running


@pytest.fixture
def row(table: Table, scenario: Scenario, pion_publisher: str) -> Row:
    dtls = f"{scenario.certificate} {scenario.setup}"
    return table.add(Row(scenario.name, pion_publisher, scenario.codec, dtls))


def scenarios(*groups: list[Scenario]) -> pytest.MarkDecorator:
    """Parametrise by scenario."""
    flat = [scenario for group in groups for scenario in group]
    return pytest.mark.parametrize("scenario", flat, ids=lambda s: f"{s.codec} {s.certificate} {s.setup} {s.name}")


@scenarios(DTLS, CODECS, FORMS)
def test_every_frame_sent_is_in_the_file(outcomes: Crowd[Scenario, RecordedClip], scenario: Scenario, row: Row) -> None:
    recorded = outcomes.outcome(scenario)
    judge(row, recorded, frames=recorded.sent["video_frames"][0], packets=recorded.sent["audio_frames"])


@scenarios(LOSSES)
def test_frames_lost_on_the_way_are_asked_for_again_and_are_in_the_file(
    outcomes: Crowd[Scenario, RecordedClip], scenario: Scenario, row: Row
) -> None:
    recorded = outcomes.outcome(scenario)
    assert recorded.sent["dropped"] >= 5
    judge(row, recorded, frames=recorded.sent["video_frames"][0], packets=recorded.sent["audio_frames"])
    assert recorded.manifest["missing"] == []


@scenarios(SIMULCAST)
def test_the_layer_asked_for_is_recorded_whole(
    outcomes: Crowd[Scenario, RecordedClip], scenario: Scenario, row: Row
) -> None:
    recorded = outcomes.outcome(scenario)
    layer = {"LD": 0, "HD": 2}[scenario.tier or ""]
    (track,) = (track for track in recorded.manifest["tracks"] if track["kind"] == "video")
    last = track["layers"][-1]
    assert (last["width"], last["height"]) == LAYERS[layer]
    judge(row, recorded, frames=recorded.sent["video_frames"][layer], packets=recorded.sent["audio_frames"])
