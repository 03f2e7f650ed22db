"""What the journal keeps of files, on a real PostgreSQL: where each was recorded to, and who has which name."""

from dataclasses import dataclass

import pytest
from support.engine import APP, PROJECT, SLOT, an_office
from support.telling import a_completed_file

from soloist.jobs import store
from soloist.jobs.clock import utc_now
from soloist.jobs.journal import DatabaseJournal
from soloist.jobs.listing import JobFilter
from soloist.jobs.outage import Reachability
from soloist.jobs.queue import open_engine
from soloist.jobs.service import JobService
from soloist.model.event import FileStarted
from soloist.model.ids import RuleId
from soloist.model.rule import RecordFormat

pytestmark = pytest.mark.anyio


@dataclass
class PlainUrls:
    """Says where an object is said to be."""

    def download_url(self, location, bucket, key, now):
        del now
        return f"{location}/{bucket}/{key}"


async def taken(office, job):
    """Take a job, as a recorder that starts does; return its journal."""
    async with office.database.begin() as connection:
        job = await store.take(connection, job.job_id, f"{SLOT}#boot", utc_now())
    return DatabaseJournal(office.database, store.Claim(job.job_id, job.epoch), Reachability(), utc_now)


def a_started_file(key="rec.mp4", record_format=RecordFormat.MP4):
    return FileStarted(key, record_format, utc_now(), "cn-north-4", "recordings")


async def test_a_file_is_read_where_it_was_recorded_to_although_its_job_has_another_rule_by_now(database_url):
    async with an_office(database_url) as office:
        jobs = JobService(office.database, open_engine(database_url), [SLOT], urls=PlainUrls())
        job = await office.start()
        journal = await taken(office, job)
        await journal.file_started(a_started_file())
        await journal.file_completed(a_completed_file("rec.mp4"))

        await jobs.update(PROJECT, APP, job.job_id, RuleId("rule2"))

        (shown,) = (await jobs.page(PROJECT, JobFilter(), number=0, size=10)).entries
        assert shown.job.rule.address.location == "elsewhere"
        assert [file.download_url for file in shown.files] == ["cn-north-4/recordings/rec.mp4"]
