"""kill -9 of the process that tells customers: everything is told, in order, and little of it twice.

Each kill falls while a notice is with its receiver, which has got it and not answered: the worst moment there is.
"""

import contextlib
import multiprocessing
import os
import sys
import threading
import time
from collections import Counter
from itertools import count
from multiprocessing import forkserver

import pytest
from support.delivering import deliver_until_killed
from support.engine import an_office, until
from support.receiver import answers, receiver
from support.telling import deliveries, set_callback, start_jobs, tell_files

pytestmark = pytest.mark.anyio

SPAWN = multiprocessing.get_context("forkserver")
"""Its processes are forked from one that has imported everything: a start takes milliseconds."""


class Deliverers:
    """Processes that deliver, one after another: a killed one is replaced, as its supervisor would."""

    def __init__(self, url):
        self._url = url
        self.killed = 0
        self._start()

    @property
    def pid(self):
        return self._process.pid

    def replace(self):
        self.stop()
        self.killed += 1
        self._start()

    def stop(self):
        self._process.kill()
        self._process.join()

    def _start(self):
        self._process = SPAWN.Process(target=deliver_until_killed, args=(self._url,))
        self._process.start()


@pytest.fixture(scope="module", autouse=True)
def quick_starts():
    with pytest.MonkeyPatch.context() as patch:
        # Python 3.11's fork server does not take over our path, and says nothing of what it could not import.
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        SPAWN.set_forkserver_preload(["support.delivering"])
        forkserver.ensure_running()
        yield
        forkserver._forkserver._stop()


@contextlib.contextmanager
def deliverers(url):
    running = Deliverers(url)
    try:
        yield running
    finally:
        running.stop()


def killing(processes, *, times, each):
    """Return an answer that kills who sends each `each`-th notice, `times` times, before it is answered."""
    lock, received_count = threading.Lock(), count(1)

    def answer(handler, received):
        is_due = next(received_count) % each == 0
        with lock:
            if is_due and processes.killed < times and received.headers["x-sender"] == str(processes.pid):
                processes.replace()
        answers(200)(handler, received)

    return answer


@pytest.mark.parametrize(("jobs_count", "kills"), [(1, 20), (10, 5)], ids=["1 job", "10 jobs"])
async def test_every_notice_arrives_in_order_though_its_sender_is_killed(database_url, tell, jobs_count, kills):
    events_each = 200 // jobs_count
    began = time.monotonic()
    with receiver() as customer:
        async with an_office(database_url) as office:
            await set_callback(office, customer.url)
            jobs = await start_jobs(office, jobs_count)
            for job in jobs:
                await tell_files(office, job, count=events_each // 2 - 1)
                await tell_files(office, job, count=1, first=events_each)
            with deliverers(database_url) as processes:
                customer.answer = killing(processes, times=kills, each=200 // kills - 1)
                await until(lambda: len({each.event_id for each in customer.received}) == 200, seconds=120)
                await until(lambda: _all_delivered(office))

    told = [customer.of(job) for job in jobs]
    extra = [len(each) - events_each for each in told]
    tell(
        f"{jobs_count} jobs: 200 notices, {processes.killed} kills, {len(customer.received)} requests, "
        f"{sum(extra)} of them repetitions, {time.monotonic() - began:.1f} s"
    )
    assert processes.killed == kills
    for received in told:
        seqs = [each.seq for each in received]
        assert sorted(set(seqs)) == list(range(2, events_each + 2))
        assert seqs == sorted(seqs)
    assert max(extra) <= kills
    if jobs_count == 1:
        assert max(Counter(each.seq for each in told[0]).values()) == 2


async def _all_delivered(office):
    return {each.state.value for each in await deliveries(office)} == {"DELIVERED"}
