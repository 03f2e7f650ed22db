"""RTMP forwarding against a real nginx-rtmp, which records what it gets: publish_param, targets, their states."""

import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
from interop.certificates import write_certificate
from support.flv import AUDIO, VIDEO, read_flv, sounds
from support.forwarded import ForwardJob, clip_pictures, flv_pictures, is_unbroken, mp4_pictures, mp4_times_s
from support.instance import descendants, until
from support.nginx_rtmp import nginx_rtmp
from support.recorded import wait_for_files
from support.sdk import Sdk
from support.server import private_server
from support.steady import steady_publisher, write_clip

WAIT_S = 40.0
STALLED_S = 3


@pytest.fixture(scope="module")
def nginx(tmp_path_factory):
    """A real nginx-rtmp that also takes rtmps, with a certificate for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("nginx")
    certificate, key = write_certificate(folder, "p256")
    with nginx_rtmp(folder, certificate, key) as running:
        yield running


@pytest.fixture(scope="module")
def service(nginx):
    """A service that trusts the certificate of `nginx`."""
    environment = {
        "SSL_CERT_FILE": str(nginx.folder / "p256-cert.pem"),
        "SOLOIST_FORWARD_STALLED_S": str(STALLED_S),
    }
    with private_server(environment=environment) as running:
        yield running


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mkv")


@pytest.fixture(scope="module")
def publisher(service, clip, tmp_path_factory):
    """alice, who publishes the clip over and over in room `f`."""
    notes = tmp_path_factory.mktemp("notes") / "notes"
    with steady_publisher(clip, service.whip_url("f", "alice"), notes) as running:
        until(lambda: running.frames_count > 0, WAIT_S, "nothing is published")
        yield running


@pytest.fixture
def forwarding(service, publisher):
    """Start jobs that forward alice's stream; each is stopped afterwards."""
    made = []

    def start(*targets, **fields):
        made.append(ForwardJob(service.url, "f", "alice", targets, **fields))
        return made[-1]

    yield start
    for job in made:
        job.stop()
        until(lambda job=job: all(state == "ended" for state in job.states), WAIT_S, "forwarding does not end")


def live(job):
    """Wait until every target of a job is live, and has got some pictures more."""
    until(lambda: job.states and set(job.states) == {"live"}, WAIT_S, "it does not come to life")
    time.sleep(1.5)


def ended(job):
    """Stop a job and return where its targets stand at the end."""
    job.stop()
    until(lambda: set(job.states) == {"ended"}, WAIT_S, f"it does not end: {job.targets}")
    return job.targets


def test_what_nginx_rtmp_records_is_what_was_forwarded(service, nginx, forwarding, clip):
    job = forwarding(nginx.url("same"))
    assert job.created["publish_param"] == {"rtmp_urls": [nginx.url("same")]}
    live(job)
    (target,) = ended(job)

    (flv,) = nginx.finished("same")
    (mp4,) = wait_for_files(service.bucket, job.job_id, extension=".mp4")
    got, recorded = flv_pictures(flv), mp4_pictures(mp4)
    assert len(got) == target["pictures_sent"]
    assert len(sounds(flv)) == target["sounds_sent"]
    assert got == recorded[recorded.index(got[0]) :]
    assert is_unbroken(recorded, clip_pictures(clip))
    assert target["retries"] == 0
    times = [tag.at_ms for tag in read_flv(flv) if tag.kind == VIDEO and not tag.is_header]
    in_file = mp4_times_s(mp4)[recorded.index(got[0]) :][: len(got)]
    assert (
        max(abs((at_ms - times[0]) / 1000 - (at_s - in_file[0])) for at_ms, at_s in zip(times, in_file, strict=True))
        < 0.002
    )
    first = {kind: next(tag.at_ms for tag in read_flv(flv) if tag.kind == kind) for kind in (AUDIO, VIDEO)}
    assert first[VIDEO] == 0
    assert first[AUDIO] < 100
    shown = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(flv), "-f", "null", "-"], capture_output=True, text=True, check=True
    )
    assert shown.stderr == ""


def test_without_a_rule_nothing_is_kept(service, nginx, forwarding):
    job = forwarding(nginx.url("only"), rule=None)
    assert "record_param" not in job.created
    live(job)
    ended(job)

    assert len(nginx.recordings("only")) == 1
    assert not any(job.job_id in str(path) for path in service.data.rglob("*"))
    assert {kind for kind, _ in job.events()} <= {"FORWARD_STATE_CHANGED", "CLOUD_RECORD_SERVER_OVER"}


def test_targets_change_while_the_job_runs(service, nginx, forwarding, clip):
    job = forwarding(nginx.url("stays"), nginx.url("goes"))
    live(job)

    view = job.aim(nginx.url("comes"), nginx.url("stays"))
    assert view["publish_param"] == {"rtmp_urls": [nginx.url("comes"), nginx.url("stays")]}
    until(lambda: nginx.streams() >= {"comes", "stays"} and "goes" not in nginx.streams(), WAIT_S, "no change")
    until(lambda: len(job.targets) == 2 and job.states == ["live", "live"], WAIT_S, "the new one is not live")
    comes, stays = ended(job)

    assert stays["retries"] == comes["retries"] == 0
    assert len(nginx.recordings("stays")) == len(nginx.recordings("goes")) == len(nginx.recordings("comes")) == 1
    pictures = flv_pictures(nginx.finished("stays")[0])
    assert len(pictures) == stays["pictures_sent"]
    assert is_unbroken(pictures, clip_pictures(clip))
    (mp4,) = wait_for_files(service.bucket, job.job_id, extension=".mp4")
    assert is_unbroken(mp4_pictures(mp4), clip_pictures(clip))


def test_a_rule_can_be_given_to_a_job_that_only_forwards(service, nginx, forwarding):
    job = forwarding(nginx.url("then-kept"), rule=None)
    live(job)

    assert Sdk(service.url).update(job.job_id, "demo").record_param.record_rule_id == "demo"
    until(lambda: list(service.data.rglob(f"*{job.job_id}*")), WAIT_S, "nothing is recorded")
    (target,) = ended(job)

    (mp4,) = wait_for_files(service.bucket, job.job_id, extension=".mp4")
    assert mp4_pictures(mp4)
    assert target["retries"] == 0


def test_a_connection_that_is_cut_is_made_again_and_begins_with_a_keyframe(nginx, forwarding):
    job = forwarding(nginx.url("cut"), rule=None)
    live(job)
    nginx.drop("cut")
    until(lambda: job.targets[0]["retries"] == 1 and job.states == ["live"], WAIT_S, "it does not come back")
    (target,) = ended(job)

    first, second = (read_flv(path) for path in nginx.finished("cut"))
    assert target["last_error"] == "the RTMP server closed the connection"
    for tags in (first, second):
        video = [tag for tag in tags if tag.kind == VIDEO]
        assert [video[0].is_header, video[1].is_keyframe, video[1].at_ms] == [True, True, 0]


def test_a_refused_stream_key_is_told_in_the_server_s_words_and_harms_no_other_target(service, nginx, forwarding):
    holder = forwarding(nginx.url("taken"), rule=None)
    live(holder)
    job = ForwardJob(service.url, "f", "alice", [nginx.url("taken"), nginx.url("free")], rule=None, video_type="")
    try:
        until(lambda: job.states == ["failed", "live"], WAIT_S, f"{job.targets}")
        until(lambda: job.targets[0]["retries"] >= 2, WAIT_S, "it is not tried again")
        assert "NetStream.Publish.BadName" in job.targets[0]["last_error"]
        assert "stream key" in job.targets[0]["last_error"]
        told = until(lambda: [body for kind, body in job.events() if kind == "FORWARD_STATE_CHANGED"], 10, "no event")
        assert {"failed", "live"} == {body["forward_state"] for body in told}
        assert len([body for body in told if body["forward_state"] == "failed"]) == 1
    finally:
        ended(job)


def test_rtmps_checks_the_certificate(nginx, forwarding):
    good, wrong = f"rtmps://127.0.0.1:{nginx.tls_port}/live/tls", f"rtmps://localhost:{nginx.tls_port}/live/other"
    job = forwarding(good, wrong, rule=None)

    until(lambda: job.states == ["live", "failed"], WAIT_S, f"{job.targets}")

    assert "certificate" in job.targets[1]["last_error"]
    assert nginx.streams() >= {"tls"}
    assert "other" not in nginx.streams()


def test_a_suspended_job_forwards_nothing_and_goes_on_by_the_same_connection(nginx, forwarding):
    job = forwarding(nginx.url("still"), rule=None)
    live(job)
    job.control("SUSPEND")
    (flv,) = nginx.recordings("still")
    before = settled(flv)
    time.sleep(STALLED_S + 1)
    assert len(flv_pictures(flv)) - before == 0
    assert job.states == ["live"]

    job.control("RESTART")
    until(lambda: len(flv_pictures(flv)) > before + 10, WAIT_S, "it does not go on")
    (target,) = ended(job)

    assert target["retries"] == 0
    assert len(nginx.recordings("still")) == 1


def settled(flv):
    """Return how many pictures there are once there have been no more for 4 s: what waits for sound goes after two."""
    count, since = -1, (began := time.monotonic())
    while time.monotonic() - since < 4:
        if (now := len(flv_pictures(flv))) != count:
            count, since = now, time.monotonic()
        assert time.monotonic() < began + 20, "a suspended job is forwarded on"
        time.sleep(0.1)
    return count


def test_stream_keys_are_seen_by_nobody_but_their_owner(service, nginx, forwarding):
    secret = "k3y-that-nobody-sees"
    job = forwarding(nginx.url(secret), "rtmp://127.0.0.1:9/live/0ther-secret")
    live_one = until(lambda: job.states == ["live", "failed"], WAIT_S, f"{job.targets}")
    assert live_one

    children = descendants(service.process.pid)
    seen = [Path(f"/proc/{pid}/{name}").read_bytes() for pid in children for name in ("cmdline", "environ")]
    seen.append(service.log.read_bytes())
    seen.append(read(service.url + "/metrics"))
    seen.append(repr(job.targets).encode() + repr(job.events()).encode())
    assert len(seen) > 10
    assert not [text for text in seen if secret.encode() in text or b"0ther-secret" in text]
    assert b"soloist_forward_live{slot=" in read(service.url + "/metrics")
    assert job.view["publish_param"]["rtmp_urls"][0].endswith(secret)


def read(url):
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own
        return answer.read()
