"""What a recorder measures of itself: its threads' CPU, how far the media thread is behind, and when that is told."""

import threading
import time
from concurrent.futures import Future

import pytest
from structlog.testing import capture_logs

from soloist.model.admission import LoadLimits, LoadState
from soloist.service.load import LoadMeter, ThreadCpu, limits_of

LIMITS = LoadLimits(queue_bytes=1 << 20, memory_bytes=1 << 40, descriptors=1 << 20)


class Outputs:
    """Counts what is asked of it."""

    def __init__(self):
        self.shed_count = 0

    def shed_newest(self):
        self.shed_count += 1
        return True

    def restore_one(self):
        return False


class Media:
    """A media thread that answers when the test lets it."""

    thread_id = None

    def __init__(self):
        self.asked = []
        self.counters = {}

    def call(self, work):
        self.asked.append((Future(), work))
        return self.asked[-1][0]

    def stats(self):
        return self.counters

    def answer(self):
        future, work = self.asked[-1]
        future.set_result(work())


def test_the_share_of_a_busy_thread_approaches_one_and_that_of_an_idle_one_nothing():
    shares = {}

    def run(name, work):
        meter = ThreadCpu(threading.get_native_id)
        for _ in range(12):
            work()
            shares[name] = meter.share()

    def spin():
        until_s = time.thread_time() + 0.05
        while time.thread_time() < until_s:
            pass

    for name, work in (("busy", spin), ("idle", lambda: time.sleep(0.05))):
        thread = threading.Thread(target=run, args=(name, work))
        thread.start()
        thread.join()
    # How much of a core a thread gets is the machine's business; that it is seen at all is ours.
    assert 0.2 < shares["busy"] <= 1.1
    assert shares["idle"] < 0.1


def test_a_media_thread_that_answers_no_more_is_seen_while_it_is_stuck_and_forgiven_soon_after(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("soloist.service.load.time.monotonic", lambda: now[0])
    media = Media()
    meter = LoadMeter(media, LIMITS, Outputs())
    states = []
    with capture_logs() as logs:
        for _ in range(8):
            now[0] += 1.0
            meter.measure()
            states.append(meter.condition.state)
        assert len(media.asked) == 1
        for _ in range(5):
            media.answer()
            now[0] += 1.0
            meter.measure()
            states.append(meter.condition.state)

    assert states[:2] == [LoadState.OK, LoadState.OK]
    assert LoadState.SHEDDING in states
    assert states[7] is LoadState.FULL
    assert states[-1] is LoadState.OK
    told = [line["state"] for line in logs if line["event"] == "recorder_load"]
    assert told == ["shedding", "full", "shedding", "ok"]
    assert meter.health()["became_full"] == 1
    assert meter.health()["outputs_shed"] == sum(state is not LoadState.OK for state in states)


def test_the_health_answer_names_every_measure_its_limit_and_the_state():
    media = Media()
    media.counters = {"queue_bytes": (1 << 20) - 1}
    meter = LoadMeter(media, LIMITS, Outputs())

    meter.measure()

    health = meter.health()
    assert health["limits"] == {"queue_bytes": 1 << 20, "memory_bytes": 1 << 40, "descriptors": 1 << 20}
    assert (health["state"], health["full"], health["shedding"]) == ("full", 1, 1)
    assert health["memory_bytes"] > 1 << 20
    assert health["descriptors"] > 3


@pytest.mark.parametrize("recorders", [1, 4])
def test_recorders_divide_what_the_machine_has_unless_the_operator_says(recorders):
    whole = limits_of(0, 1).memory_bytes

    assert limits_of(0, recorders).memory_bytes == pytest.approx(whole / recorders, abs=2)
    assert limits_of(512 << 20, recorders).memory_bytes == 512 << 20
