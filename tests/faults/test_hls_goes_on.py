"""A recorder of HLS is killed, then restarted in order: one playlist goes on through both and says what is missing."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from huaweicloudsdkcloudrtc.v2 import HLSRecordConfig, RecordObsFileAddr, RecordParam, RecordRuleReq
from support.hls_rules import Playlist, changes, parse
from support.instance import Instance, instance, until
from support.recorded import ffmpeg_complaints
from support.sdk import Sdk
from support.steady import SteadyPublisher, steady_publisher, write_clip

LOST_S_MAX = {"killed": 1.0, "restarted": 0.3}
"""What a blow may cost beside the publisher's absence: the open fragment, or the moment in which sessions end."""


@dataclass
class Take:
    """One job recorded as HLS, and what was done to its recorder."""

    service: Instance
    sdk: Sdk
    app: str
    job: str
    publisher: SteadyPublisher
    blows: dict[str, float] = field(default_factory=dict)
    """When each fell, Unix seconds."""
    texts: list[str] = field(default_factory=list)

    @property
    def path(self) -> Path:
        (path,) = self.service.bucket.rglob(f"*{self.job}*.m3u8")
        return path

    def look(self) -> Playlist:
        """Read the playlist, if it is there."""
        found = list(self.service.bucket.rglob(f"*{self.job}*.m3u8"))
        if found and (text := found[0].read_text()) not in self.texts[-1:]:
            self.texts.append(text)
        return parse(self.texts[-1] if self.texts else "#EXTM3U\n")

    def grow(self, epoch: int, segments: int = 2) -> None:
        """Wait until so many segments of an epoch are listed."""
        marks = [f"_e{epoch}_"] if epoch > 1 else ["_0000"]
        until(
            lambda: sum(any(mark in segment.uri for mark in marks) for segment in self.look().segments) >= segments,
            60,
            f"epoch {epoch} lists nothing: {self.texts[-1:]} {self.service.log.read_text()[-3000:]}",
        )

    def strike(self, name: str, blow: Callable[[], object]) -> None:
        """Harm the service and wait until the participant is back."""
        self.blows[name] = time.time()
        blow()
        until(lambda: self.publisher.connected_after(self.blows[name]), 60, f"nobody publishes after {name}")


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Take]:
    """A job that was killed, restarted and stopped."""
    folder = tmp_path_factory.mktemp("hls")
    clip = write_clip(folder / "clip.mkv")
    with instance() as service:
        sdk = Sdk(service.url)
        app = sdk.call("create_app", body={"app_name": "hls"}).app_id
        rule = RecordRuleReq(
            obs_addr=RecordObsFileAddr(location="cn-north-4", project_id="dev", bucket="recordings"),
            record_formats=["HLS"],
            hls_config=HLSRecordConfig(
                record_cycle=0, record_slice_duration=2, record_max_duration_to_merge_file=0, record_prefix="{stream}"
            ),
        )
        param = RecordParam(record_rule_id=sdk.call("create_record_rule", app_id=app, body=rule).rule_id)
        job = sdk.create(app, room_id="r", user_id="alice", max_idle_time=60, record_param=param).job_id
        with steady_publisher(clip, f"{service.url}/whip/{app}/r/alice", folder / "notes") as publisher:
            done = Take(service, sdk, app, job, publisher)
            done.grow(1)
            done.strike("killed", lambda: service.signal("recorder", signal.SIGKILL))
            done.grow(2)
            done.strike("restarted", lambda: (service.stop(), service.start()))
            done.grow(3)
            sdk.stop(job, app)
            until(lambda: "JobEnded" in service.events(job), 40, f"the end is not told: {service.events(job)}")
            done.look()
            yield done


def test_one_playlist_goes_on_through_a_kill_and_a_restart_and_ends_with_the_job(take: Take) -> None:
    playlist = take.look()

    assert [complaint for text in take.texts for complaint in parse(text).complaints] == []
    assert [change for before, after in pairwise(take.texts) for change in changes(before, after)] == []
    assert playlist.is_ended
    assert sum(segment.is_discontinuous for segment in playlist.segments) == 2
    # By default ffmpeg takes out what it finds a jump, of one track, and then finds that the other one goes back.
    assert ffmpeg_complaints(take.path, "-copyts") == ""


def test_its_beginning_and_its_end_are_told_once_and_nothing_stays_in_the_spool(take: Take) -> None:
    events = take.service.events(take.job)

    assert [event for event in events if event.startswith("File")] == ["FileStarted", "FileCompleted"]
    assert [path.name for path in take.service.spool.rglob("*") if path.is_file()] == []


def test_no_blow_costs_more_than_the_open_fragment_and_each_is_declared_as_fault(take: Take) -> None:
    segments = take.look().segments
    manifest = json.loads(take.path.with_suffix(".json").read_text())
    faults = [hole for hole in manifest["missing"] if hole["cause"] == "fault"]
    holes = {
        name: (before.starts_at.timestamp() + before.duration_s, after.starts_at.timestamp())
        for (before, after), name in zip(
            [(before, after) for before, after in pairwise(segments) if after.is_discontinuous], take.blows, strict=True
        )
        if before.starts_at and after.starts_at
    }

    for name, (began_s, ended_s) in holes.items():
        back_s = take.publisher.connected_after(take.blows[name])
        assert back_s is not None
        lost_s = (ended_s - began_s) - (back_s - take.blows[name])
        assert lost_s <= LOST_S_MAX[name], f"{name}: {lost_s:.2f} s"
        origin_s = int(manifest["origin"]["unix_ns"]) / 1e9
        declared = [hole for hole in faults if abs(origin_s + hole["end_ns"] / 1e9 - ended_s) < 0.2]
        assert {hole["kind"] for hole in declared} == {"audio", "video"}
        assert all(abs(origin_s + hole["start_ns"] / 1e9 - began_s) < 0.2 for hole in declared)
