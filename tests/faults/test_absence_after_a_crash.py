"""A recorder dies, and the participant it recorded takes longer than `max_idle_time` to come back, or never does."""

import signal
import time
from pathlib import Path

from support.instance import Instance, until
from support.takes import take

IDLE_S = 5


def test_who_published_before_a_recorder_died_counts_as_present_for_45_s(service: Instance, clip: Path) -> None:
    with take(service, clip, "r", idle_s=IDLE_S) as taken:
        taken.await_recording()
        taken.publisher.process.terminate()
        taken.publisher.process.wait(10)
        service.signal("recorder", signal.SIGKILL)
        until(lambda: taken.state == ("RUNNING", 2), 30, "the job is not taken again")
        taken_at = time.monotonic()

        time.sleep(40)
        assert taken.state == ("RUNNING", 2)

        until(lambda: taken.state[0] == "STOPPED", 20, "nobody is there, and the job goes on")
        assert 44 < time.monotonic() - taken_at < 45 + IDLE_S + 5
        assert service.job(taken.job_id)[2] == "EXCEED_MAX_IDLE_TIME"
        (file,) = taken.finished()
        assert file.complaints == ()


def test_soloist_publish_is_back_a_few_seconds_after_its_recorder_is(service: Instance, clip: Path) -> None:
    with take(service, clip, "r2", idle_s=60) as taken:
        taken.await_recording()
        time.sleep(5)  # The session has been asked after, and was there.
        service.signal("recorder", signal.SIGKILL)
        until(lambda: taken.state == ("RUNNING", 2), 30, "the job is not taken again")
        taken_at = time.time()

        back_at = until(lambda: taken.publisher.connected_after(taken_at - 1), 40, "it does not come back")

        assert back_at - taken_at < 8
        taken.stop()
        assert all(file.complaints == () for file in taken.finished())
