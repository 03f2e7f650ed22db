"""What the journal keeps of files, on a real PostgreSQL: where each was recorded to, and who has which name."""

import asyncio
from dataclasses import dataclass, replace

import pytest
from sqlalchemy import select
from support.engine import APP, PROJECT, SLOT, an_office
from support.filed import Desk
from support.jobs import a_rule
from support.telling import a_completed_file

from soloist.api.schema import view_job
from soloist.clock import utc_now
from soloist.jobs import schema, store
from soloist.jobs.accounts import Accounts
from soloist.jobs.codec import parse_event
from soloist.jobs.journal import DatabaseJournal
from soloist.jobs.listing import JobFilter
from soloist.jobs.outage import Reachability
from soloist.jobs.queue import open_engine
from soloist.jobs.service import JobService
from soloist.keeping.port import EpochLostError
from soloist.keeping.shelf import Shelf
from soloist.model.event import FileStarted, RecordingTroubled, Trouble
from soloist.model.forward import ForwardState, TargetStatus
from soloist.model.ids import RoomId
from soloist.model.job import UpdateJob
from soloist.model.media import Kind
from soloist.model.rule import HlsConfig, RecordFormat
from soloist.storage.errors import KeyTakenError
from soloist.storage.spool import Spool
from soloist.wire.granted import Grant

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
    reachability = Reachability()
    reachability.answered()
    return DatabaseJournal(office.database, store.Claim(job.job_id, job.epoch), reachability, utc_now)


def a_started_file(key="rec.mp4", record_format=RecordFormat.MP4):
    return FileStarted(key, record_format, utc_now(), "cn-north-4", "recordings")


async def test_a_file_is_read_where_it_was_recorded_to_although_its_job_has_another_rule_by_now(database_url):
    async with an_office(database_url) as office:
        jobs = JobService(office.database, open_engine(database_url), [SLOT], urls=PlainUrls())
        await Accounts(office.database).grant(PROJECT, [Grant("cn-north-4", "recordings")])
        job = await office.start()
        journal = await taken(office, job)
        await journal.file_started(a_started_file())
        await journal.file_completed(a_completed_file("rec.mp4"))

        await jobs.update(PROJECT, APP, job.job_id, UpdateJob("rule2"))

        (shown,) = (await jobs.page(PROJECT, JobFilter(), number=0, size=10)).entries
        assert shown.job.rule.address.location == "elsewhere"
        assert [file.download_url for file in shown.files] == ["cn-north-4/recordings/rec.mp4"]


async def test_a_name_is_given_once_also_when_its_first_file_is_complete_or_its_recorder_started_anew(database_url):
    async with an_office(database_url) as office:
        first, second = [await office.start(room_id=RoomId(f"room{number}")) for number in range(2)]
        journal, other = await taken(office, first), await taken(office, second)
        started = a_started_file()
        await journal.file_started(started)
        await journal.file_started(started)
        journal = await taken(office, first)
        await journal.file_started(started)

        with pytest.raises(KeyTakenError):
            await other.file_started(a_started_file("rec.m3u8", RecordFormat.HLS))
        await journal.file_completed(a_completed_file("rec.mp4"))
        anew = await taken(office, first)
        for late, fact in ((other, started), (anew, a_started_file())):
            with pytest.raises(KeyTakenError):
                await late.file_started(fact)

        told = ["JobAccepted", "JobTaken", "FileStarted", "JobTaken", "FileCompleted", "JobTaken"]
        assert [kind for kind, _ in await office.events(first)] == told
        assert [kind for kind, _ in await office.events(second)] == told[:2]


async def test_what_troubles_a_recording_is_among_its_jobs_events_once(database_url):
    async with an_office(database_url) as office:
        job = await office.start()
        journal = await taken(office, job)
        stuck = RecordingTroubled(Trouble.WRITER_RESTARTED, utc_now())
        await journal.troubled(stuck)
        await journal.troubled(stuck)
        await journal.troubled(replace(stuck, trouble=Trouble.WAITING_KEYFRAME))

        async with office.database.connect() as connection:
            rows = await connection.execute(select(schema.job_events).order_by(schema.job_events.c.seq))
            events = [parse_event(row.type, row.body) for row in rows if row.type == "RecordingTroubled"]
        assert events == [stuck, replace(stuck, trouble=Trouble.WAITING_KEYFRAME)]


async def test_where_a_target_stands_is_among_its_jobs_events_once(database_url):
    async with an_office(database_url) as office:
        job = await office.start()
        journal = await taken(office, job)
        live = TargetStatus("1" * 16, "rtmp://h/live/***", ForwardState.LIVE, since_ms=1000)
        other, later = replace(live, target_id="2" * 16), replace(live, since_ms=9000)
        await journal.forwarded([live], [live])
        await journal.forwarded([live], [live])
        await journal.forwarded([live, other], [live, other])
        journal = await taken(office, job)
        await journal.forwarded([live], [live])
        await journal.forwarded([later], [later])

        told = [kind for kind, _ in await office.events(job)]
        assert told == ["JobAccepted", "JobTaken", "ForwardChanged", "ForwardChanged", "JobTaken", "ForwardChanged"]


async def test_of_two_that_announce_a_name_at_once_one_gets_it(database_url):
    async with an_office(database_url) as office:
        jobs = [await office.start(room_id=RoomId(f"room{number}")) for number in range(5)]
        journals = [await taken(office, job) for job in jobs]

        done = await asyncio.gather(
            *(journal.file_started(a_started_file()) for journal in journals), return_exceptions=True
        )

        assert sorted(str(type(outcome).__name__) for outcome in done) == ["KeyTakenError"] * 4 + ["NoneType"]


async def test_two_jobs_whose_rules_make_one_name_have_a_playlist_each(database_url, tmp_path):
    rule = a_rule(formats=(RecordFormat.HLS,), mp4=None, hls=HlsConfig(0, prefix="rec"))
    shelf = Shelf(Spool(tmp_path / "spool"), {"cn-north-4": tmp_path / "storage"})
    async with an_office(database_url) as office:
        desks = []
        for number in range(2):
            job = await office.start(room_id=RoomId(f"room{number}"))
            journal = await taken(office, job)
            desks.append(Desk(tmp_path, replace(job, rule=rule, epoch=1), shelf=shelf, journal=journal))
        for desk in desks:
            desk.play(2)
        await asyncio.gather(*(desk.finish() for desk in desks))

        assert [desk.failures for desk in desks] == [[], []]
        assert {"rec.m3u8", "rec.json", "rec_1.m3u8", "rec_1.json"} <= set(desks[0].objects)


async def test_a_job_says_which_tracks_of_its_last_file_are_transcoded(database_url):
    async with an_office(database_url) as office:
        jobs = JobService(office.database, open_engine(database_url), [SLOT])
        job = await office.start()
        assert view_job(job).ext.transcoded is None
        journal = await taken(office, job)
        for transcoded in ({Kind.AUDIO: True, Kind.VIDEO: False}, {Kind.VIDEO: True}):
            await journal.coded(transcoded)
            shown = view_job(await jobs.show(PROJECT, APP, job.job_id)).ext.transcoded
            assert (shown.audio, shown.video) == (transcoded.get(Kind.AUDIO), transcoded[Kind.VIDEO])

        await taken(office, job)
        with pytest.raises(EpochLostError):
            await journal.coded({})
