"""A participant who never sends a keyframe, freezes, leaves and comes back, or vanishes without a word."""

import json
import os
import signal
import time
from pathlib import Path

from support.instance import Instance, descendants, until
from support.steady import steady_publisher, write_clip
from support.takes import Take, take


def missing_in(taken: Take) -> list[tuple[str, str, str, float]]:
    """Return what the job's only manifest declares missing: kind, cause, detail, seconds."""
    (path,) = taken.service.bucket.rglob(f"*{taken.job_id}*.json")
    holes = json.loads(path.read_text())["missing"]
    return [(m["kind"], m["cause"], m["detail"], (m["end_ns"] - m["start_ns"]) / 1e9) for m in holes]


def publishing(taken: Take) -> list[int]:
    """Return the processes that publish."""
    return [taken.publisher.process.pid, *descendants(taken.publisher.process.pid)]


def test_a_participant_who_never_sends_a_keyframe_is_recorded_as_sound_after_10_s(
    service: Instance, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "clip.mkv", with_keyframes=False)
    with take(service, clip, "keyless") as taken:
        until(lambda: taken.publisher.spans, 30, "it does not connect")
        began = time.monotonic()
        until(taken.spooled, 20, "no file opens")
        assert time.monotonic() - began > 7
        time.sleep(2)
        taken.stop()
        (file,) = taken.finished()
    assert file.complaints == ()
    assert set(file.begins_s) == {"audio"}
    assert file.ends_s["audio"] - file.begins_s["audio"] > 11


def test_a_participant_who_freezes_for_4_s_comes_back_into_the_same_file_with_a_declared_hole(
    service: Instance, clip: Path
) -> None:
    with take(service, clip, "frozen") as taken:
        taken.await_recording()
        stopped = publishing(taken)
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(4)
        thawed_s = time.time()
        os.kill(stopped[0], signal.SIGCONT)  # It finds its session silent, gives that up, and begins another.
        until(lambda: taken.publisher.connected_after(thawed_s), 40, "it does not come back")
        time.sleep(2)
        taken.stop()
        (file,) = taken.finished()
    assert file.complaints == ()
    assert taken.state == ("STOPPED", 1)
    holes = missing_in(taken)
    assert {cause for _, cause, _, _ in holes} <= {"idle", "pause", "gap"}
    for kind in ("audio", "video"):
        lacks_s = sum(seconds for whose, _, _, seconds in holes if whose == kind)
        assert 3.5 < lacks_s < file.ends_s[kind] - file.begins_s[kind]


def test_a_participant_who_leaves_and_comes_back_continues_the_file_with_an_idle_hole(
    service: Instance, clip: Path, tmp_path: Path
) -> None:
    with take(service, clip, "back") as taken:
        taken.await_recording()
        left_s = time.time()
        taken.publisher.process.terminate()
        until(lambda: "reason=left" in _log_of(service, "back"), 10, "it did not leave")
        with steady_publisher(clip, service.whip_url("back", "alice"), tmp_path / "notes") as publisher:
            until(lambda: publisher.connected_after(left_s), 20, "it does not come back")
            time.sleep(2)
            taken.stop()
            (file,) = taken.finished()
    assert file.complaints == ()
    assert {(kind, cause, detail) for kind, cause, detail, _ in missing_in(taken)} == {
        ("audio", "idle", "participant_left"),
        ("video", "idle", "participant_left"),
    }


def test_a_participant_who_vanishes_is_gone_after_15_s_and_the_file_ends_whole(service: Instance, clip: Path) -> None:
    with take(service, clip, "gone", idle_s=10) as taken:
        taken.await_recording()
        for pid in reversed(publishing(taken)):
            os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        until(lambda: "reason=timeout" in _log_of(service, "gone"), 25, "it still counts as present")
        assert 13 < time.monotonic() - began < 18
        (file,) = taken.finished()
    assert time.monotonic() - began > 24
    assert service.job(taken.job_id)[2] == "EXCEED_MAX_IDLE_TIME"
    assert file.complaints == ()


def _log_of(service: Instance, room: str) -> str:
    """Return the lines about leaving this room."""
    lines = service.log.read_text(errors="replace").splitlines()
    return "\n".join(line for line in lines if "publisher_left" in line and f"room_id={room}" in line)
