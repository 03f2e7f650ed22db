"""Publishers on another machine, which is a network namespace: GStreamer and aiortc, and paths loopback does not have.

The instance runs in production mode on the wildcard address and tells publishers two public addresses, one of each
family; the IPv4 one is not the one its kernel would send from by itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from interop import pion
from interop.aiortc_environment import aiortc_python
from interop.child import run_publisher
from interop.clips import Clips
from interop.crowd import Crowd, crowd
from interop.judge import OFFSET_MEDIAN_MS_MAX, judge
from interop.network import Network, network
from interop.production import Production, production
from interop.recorded_clip import RecordedClip, record_clip
from interop.table import Row, Table

from soloist.model.media import Codec

SYSTEM_PYTHON = "/usr/bin/python3"
"""The one with GStreamer's bindings."""
ICE_SERVERS = """[{"url": "stun:198.18.0.1:3478"},
 {"url": "turn:198.18.0.1:3478?transport=tcp", "username": "u", "credential": "p\\"w"}]"""


@dataclass(frozen=True)
class Program:
    """A publisher that is a program of its own."""

    name: str
    script: str
    dtls: str
    offset_ms_max: float = OFFSET_MEDIAN_MS_MAX


# docs/publishers.md says how far off its sender reports were seen.
GSTREAMER = Program("GStreamer webrtcbin", "gstreamer", "own RSA actpass", 40.0)
AIORTC = Program("aiortc", "aiortc_peer", "own p256 actpass")


@pytest.fixture(scope="module")
def net() -> Iterator[Network]:
    with network() as laid_out:
        yield laid_out


@pytest.fixture(scope="module")
def elsewhere(net: Network) -> Iterator[Production]:
    public = ["--public-address", net.ours[1], "--public-address", net.ours_v6]
    environment = {"SOLOIST_ICE_SERVERS": ICE_SERVERS}
    with production("::", *public, reached_at=net.ours[0], environment=environment) as running:
        yield running


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, elsewhere: Production, net: Network, clips: Clips
) -> Iterator[Crowd[tuple[Program, str], RecordedClip]]:
    pythons = {GSTREAMER: SYSTEM_PYTHON, AIORTC: aiortc_python()}

    def run(scenario: tuple[Program, str]) -> RecordedClip:
        program, codec = scenario
        plan = {"codec": codec, "pictures": str(clips.pictures(Codec[codec])), "sound": str(clips.sound())}
        return record_clip(
            elsewhere,
            lambda url, token: run_publisher(
                program.script, {**plan, "url": url, "token": token}, python=pythons[program], prefix=net.prefix
            ),
            extension=".webm" if codec == "VP8" else ".mp4",
        )

    with crowd(request, "scenario", run) as running:
        yield running


@pytest.mark.parametrize(
    "scenario",
    [(program, codec) for program in (GSTREAMER, AIORTC) for codec in ("H264", "VP8")],
    ids=lambda scenario: f"{scenario[0].name} {scenario[1]}",
)
def test_every_frame_sent_is_in_the_file(
    outcomes: Crowd[tuple[Program, str], RecordedClip], table: Table, scenario: tuple[Program, str]
) -> None:
    program, codec = scenario
    row = table.add(Row(program.name, codec=codec, dtls=program.dtls))
    recorded = outcomes.outcome(scenario)
    row.version = recorded.sent["version"]
    sent = {"frames": recorded.sent["pictures"], "packets": recorded.sent["sound"]}
    judge(row, recorded, **sent, offset_ms_max=program.offset_ms_max)


@pytest.fixture(scope="module")
def paths(request: pytest.FixtureRequest, elsewhere: Production, net: Network) -> Iterator[Crowd[str, RecordedClip]]:
    """pion in the namespace, by each transport."""
    pion.build()
    clips = request.getfixturevalue("clips")
    with crowd(request, "transport", lambda transport: record_pion(elsewhere, net, clips, transport)) as running:
        yield running


def record_pion(stage: Production, net: Network, clips: Clips, transport: str) -> RecordedClip:
    """Record pion publishing from the namespace."""
    plan = {"codec": "H264", "certificate": "p256", "setup": "actpass", "rtx": True, "transport": transport}
    plan |= {"layers": [str(clips.pictures(Codec.H264))], "audio": str(clips.sound())}
    return record_clip(stage, lambda url, token: pion.run({**plan, "url": url, "token": token}, prefix=net.prefix))


@pytest.mark.parametrize("transport", ["udp4", "udp6"])
def test_the_answer_comes_from_the_public_address_the_publisher_sent_to(
    paths: Crowd[str, RecordedClip], net: Network, table: Table, transport: str
) -> None:
    row = table.add(Row(f"pion, public address, {transport}", pion.version(), "H264", "p256 actpass"))
    recorded = paths.outcome(transport)

    told = [line.split()[4] for line in recorded.sent["candidates"] if " udp " in line]
    assert told == [net.ours[1], net.ours_v6]
    # pion takes no response from another address than the one it asked.
    assert recorded.sent["pair"].split()[2] == (net.ours[1] if transport == "udp4" else net.ours_v6)
    judge(row, recorded, frames=recorded.sent["video_frames"][0], packets=recorded.sent["audio_frames"])


@pytest.mark.parametrize("transport", ["udp4"])
def test_ice_servers_are_told_to_publishers_as_links(paths: Crowd[str, RecordedClip], transport: str) -> None:
    assert paths.outcome(transport).sent["ice_servers"] == [
        '<stun:198.18.0.1:3478>; rel="ice-server"',
        '<turn:198.18.0.1:3478?transport=tcp>; rel="ice-server"; username="u"; credential="p\\"w"; '
        'credential-type="password"',
    ]


def test_where_udp_is_blocked_media_flows_over_tcp(clips: Clips, table: Table) -> None:
    pion.build()
    row = table.add(Row("pion, ICE-TCP, UDP blocked", pion.version(), "H264", "p256 actpass"))
    with network() as office, production(office.ours[0], reached_at=office.ours[0]) as stage:
        office.drop_udp()
        recorded = record_pion(stage, office, clips, "tcp")
        assert recorded.sent["pair"].startswith("tcp ")
        judge(row, recorded, frames=recorded.sent["video_frames"][0], packets=recorded.sent["audio_frames"])
