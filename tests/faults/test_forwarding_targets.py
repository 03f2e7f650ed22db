"""RTMP servers at their worst, and the forwarder killed: the recording has every frame (rules R37, R39)."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.forwarded import ForwardJob, clip_pictures, flv_pictures, forwarders, is_unbroken, mp4_pictures
from support.instance import Instance, instance, is_running, until
from support.nginx_rtmp import NginxRtmp, nginx_rtmp
from support.recorded import wait_for_files
from support.scripted_rtmp import scripted_rtmp, silent_target, swallowing_target
from support.server import free_port
from support.steady import steady_publisher

WAIT_S = 60.0


@pytest.fixture(scope="module")
def forwarder_service() -> Iterator[Instance]:
    with instance(environment={"SOLOIST_FORWARD_STALLED_S": "2"}) as running:
        yield running


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NginxRtmp]:
    with nginx_rtmp(tmp_path_factory.mktemp("nginx")) as running:
        yield running


def test_five_targets_of_which_four_are_broken_cost_the_recording_and_the_good_one_nothing(
    forwarder_service: Instance, nginx: NginxRtmp, clip: Path, tmp_path: Path
) -> None:
    service = forwarder_service
    closed = f"rtmp://127.0.0.1:{free_port()}/live/closed"
    with silent_target() as silent, swallowing_target() as swallowed, scripted_rtmp(stops_after=60) as stopping:
        targets = (nginx.url("good"), silent, swallowed, stopping.url, closed)
        job = ForwardJob(service.url, "five", "alice", targets, max_idle_time=120)
        control = ForwardJob(service.url, "five", "bob", (nginx.url("control"),), max_idle_time=120)
        with (
            steady_publisher(clip, service.whip_url("five", "alice"), tmp_path / "alice") as alice,
            steady_publisher(clip, service.whip_url("five", "bob"), tmp_path / "bob") as bob,
        ):
            until(lambda: job.states[1:3] == ["failed", "failed"] and stopping.connections > 1, WAIT_S, "not yet")
            until(lambda: job.targets[0]["pictures_sent"] > 300, WAIT_S, "the good one gets nothing")
            # While it is tried again it is "connecting" for a moment.
            seen = until(lambda: (now := job.targets)[4]["state"] == "failed" and now, WAIT_S, "the closed one is open")
            assert (seen[0]["state"], seen[0]["retries"]) == ("live", 0)
            told = [body for kind, body in job.events() if kind == "FORWARD_STATE_CHANGED"]
            assert "stalled" in {body["forward_state"] for body in told}
            for one in (alice, bob):
                one.process.terminate()
                one.process.wait(10)
        job.stop()
        control.stop()
        until(lambda: set(job.states + control.states) == {"ended"}, WAIT_S, "they do not end")

    shown = clip_pictures(clip)
    for done, sent in ((job, alice), (control, bob)):
        (mp4,) = wait_for_files(service.bucket, done.job_id, extension=".mp4")
        pictures = mp4_pictures(mp4)
        assert is_unbroken(pictures, shown)
        # What it sent last it may not have noted; what it noted last may not have left it.
        assert len(pictures) >= sent.frames_count - 2
    got = flv_pictures(nginx.finished("good")[0])
    assert len(nginx.recordings("good")) == 1
    assert len(got) == job.targets[0]["pictures_sent"]
    assert is_unbroken(got, shown)


def test_a_killed_forwarder_is_started_again_and_the_recording_does_not_notice(
    forwarder_service: Instance, nginx: NginxRtmp, clip: Path, tmp_path: Path
) -> None:
    service = forwarder_service
    job = ForwardJob(service.url, "killed", "alice", (nginx.url("killed"),))
    with steady_publisher(clip, service.whip_url("killed", "alice"), tmp_path / "notes"):
        until(lambda: job.states == ["live"], WAIT_S, "it is not live")
        (child,) = forwarders(service)
        os.kill(child, signal.SIGKILL)
        until(lambda: len(nginx.recordings("killed")) == 2 and "killed" in nginx.streams(), WAIT_S, "it stays away")
        until(lambda: job.states == ["live"] and job.targets[0]["retries"] == 1, WAIT_S, f"{job.targets}")
        assert child not in forwarders(service)
    job.stop()
    until(lambda: job.states == ["ended"], WAIT_S, "it does not end")

    (mp4,) = wait_for_files(service.bucket, job.job_id, extension=".mp4")
    assert is_unbroken(mp4_pictures(mp4), clip_pictures(clip))
    sent = sum(len(flv_pictures(path)) for path in nginx.finished("killed"))
    assert 0 <= sent - job.targets[0]["pictures_sent"] < 60
    until(lambda: not forwarders(service), 10, "a forwarder is left")


def test_a_killed_recorder_takes_its_forwarders_along_and_the_next_epoch_forwards_again(
    forwarder_service: Instance, nginx: NginxRtmp, clip: Path, tmp_path: Path
) -> None:
    service = forwarder_service
    job = ForwardJob(service.url, "epoch", "alice", (nginx.url("epoch"),), max_idle_time=120)
    with steady_publisher(clip, service.whip_url("epoch", "alice"), tmp_path / "notes"):
        until(lambda: job.states == ["live"] and job.targets[0]["pictures_sent"] > 0, WAIT_S, "it is not live")
        (child,) = forwarders(service)
        service.signal("recorder", signal.SIGKILL)
        until(lambda: not is_running(child), 10, "the forwarder outlives its recorder")
        until(lambda: len(nginx.recordings("epoch")) == 2 and "epoch" in nginx.streams(), WAIT_S, "it stays away")
        assert service.job(job.job_id)[:2] == ("RUNNING", 2)
    job.stop()
    until(lambda: job.states == ["ended"], WAIT_S, "it does not end")
