"""The end of a school day: 200 jobs stop within a second, into a real S3 server that now and then refuses. Rule R29."""

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.faulty_store import faulty_store
from support.filed import Desk
from support.jobs import a_job
from support.s3 import versitygw

from soloist.keeping.shelf import Shelf
from soloist.model.event import FileCompleted
from soloist.storage.pool import UPLOADS_AT_ONCE
from soloist.storage.spool import Spool

pytestmark = pytest.mark.anyio

JOBS = 200


async def test_every_object_of_200_jobs_that_stop_within_a_second_arrives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tell: Callable[[str], None]
) -> None:
    monkeypatch.setattr("soloist.keeping.publishing.DELAY_S", 0.05)
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    with versitygw(tmp_path / "s3") as server, faulty_store(server) as store:
        store.fault, store.fails = "unavailable", lambda _method, _path: chance.random() < 0.1
        shelf = Shelf(Spool(tmp_path / "spool"), {"cn-north-4": store.server.location})
        desks = [Desk(tmp_path, a_job(job_id=f"job{number}"), shelf=shelf) for number in range(JOBS)]
        for desk in desks:
            desk.play(1)
        began = time.monotonic()
        for desk in desks:
            desk.stage.recording.stop()
        stopped_s = time.monotonic() - began
        await asyncio.gather(*(desk.filing.drain() for desk in desks))
        took_s = time.monotonic() - began
        objects = server.objects()

    told = {fact.key for desk in desks for fact in desk.journal.facts if isinstance(fact, FileCompleted)}
    tell(
        f"{JOBS} jobs stopped in {stopped_s:.2f} s, {len(objects)} objects stood after {took_s:.1f} s; "
        f"{store.refused['unavailable']} requests were refused, {store.most} uploads at once at most; seed {seed}"
    )
    assert stopped_s < 1
    assert len(told) == JOBS
    assert set(objects) == told | {key.replace(".mp4", ".json") for key in told}
    assert store.refused["unavailable"] > 10
    assert 2 <= store.most <= UPLOADS_AT_ONCE
    assert shelf.usage()["objects_pending"] == 0
    assert [path for path in (tmp_path / "spool").rglob("*") if path.is_file()] == []
