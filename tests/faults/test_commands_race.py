"""Commands that cross each other: two starts, two stops, a stop before anything runs, and two recorders."""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from support.crash_verdict import lost_pictures
from support.instance import Instance, instance, until
from support.sdk import Sdk
from support.takes import take

from soloist.model.ids import AppId, RoomId
from soloist.service.settings import node_id_of
from soloist.wire.placement import slot_of_room


@pytest.fixture(scope="module")
def service() -> Iterator[Instance]:
    with instance("--recorders", "2") as running:
        yield running


def test_of_ten_starts_at_once_one_makes_a_job_and_nine_name_it_running(service: Instance) -> None:
    def start(_number: int) -> str:
        try:
            return Sdk(service.url).create(room_id="starts", user_id="alice").job_id
        except ClientRequestException as error:
            return error.error_msg

    with ThreadPoolExecutor(10) as callers:
        answers = list(callers.map(start, range(10)))
    assert sum("JobRunning" in answer for answer in answers) == 9
    (job_id,) = (answer for answer in answers if "JobRunning" not in answer)
    Sdk(service.url).stop(job_id)
    until(lambda: service.events(job_id)[-1] == "JobEnded", 40, "it does not end")


def test_of_ten_stops_at_once_all_succeed_and_one_end_is_told(service: Instance, clip: Path) -> None:
    with take(service, clip, "stops") as taken:
        taken.await_recording()
        with ThreadPoolExecutor(10) as callers:
            list(callers.map(lambda _: taken.stop(), range(10)))
        (file,) = taken.finished()
        assert file.complaints == ()
        assert taken.events == ["JobAccepted", "JobTaken", "FileStarted", "FileCompleted", "JobEnded"]


def test_a_job_stopped_at_once_ends_without_a_file_however_far_it_had_come(service: Instance) -> None:
    jobs = []
    for number in range(20):
        jobs.append(Sdk(service.url).create(room_id=f"early{number}", user_id="alice").job_id)
        Sdk(service.url).stop(jobs[-1])
    for job_id in jobs:
        until(lambda job_id=job_id: service.events(job_id)[-1] == "JobEnded", 40, "it does not end")
        assert service.job(job_id)[0] == "STOPPED"
        assert "FileStarted" not in service.events(job_id)


def test_a_recorder_that_dies_takes_no_job_of_the_other_along(service: Instance, clip: Path) -> None:
    node = node_id_of(service.data)
    slots = [f"{node}/0", f"{node}/1"]
    rooms = {slot_of_room(AppId("demo"), RoomId(f"room{n}"), slots): f"room{n}" for n in range(20)}
    with take(service, clip, rooms[slots[0]]) as dying, take(service, clip, rooms[slots[1]]) as living:
        for taken in (dying, living):
            taken.await_recording()
        service.signal("recorder 0", signal.SIGKILL)
        dying.await_recording(2)
        assert living.state == ("RUNNING", 1)
        assert dying.state == ("RUNNING", 2)
        for taken in (dying, living):
            taken.stop()
        assert len(dying.finished()) == 2
        (file,) = living.finished()
        assert file.complaints == ()
        assert lost_pictures(file) == []
