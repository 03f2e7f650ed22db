"""Jobs with something to tell: their events, appended as a recorder does, and what became of the telling."""

from datetime import timedelta

from soloist.clock import utc_now
from soloist.jobs import store
from soloist.jobs.callbacks import Callbacks
from soloist.jobs.events import EventFilter, Events
from soloist.model.event import FileCompleted, FileStarted, JobEnded
from soloist.model.ids import RoomId
from soloist.model.job import StopReason
from soloist.model.rule import RecordFormat
from soloist.wire.addresses import LOOPBACK, OutgoingGuard
from support.engine import APP, PROJECT

KEY = "0123456789abcdef0123456789abcdef"


def callbacks_of(office):
    return Callbacks(office.database, OutgoingGuard(LOOPBACK))


async def set_callback(office, url, *, auth_key=KEY, app=APP):
    return await callbacks_of(office).set(PROJECT, app, url=url, auth_key=auth_key)


async def tell_files(office, job, *, count=1, first=0):
    """Append the events of `count` whole files to a job."""
    at = utc_now()
    for number in range(first, first + count):
        key = f"file{number}.mp4"
        await append(office, job, FileStarted(key, RecordFormat.MP4, at))
        await append(office, job, a_completed_file(key, at))


def a_completed_file(key="file.mp4", at=None, **changes):
    at = at or utc_now()
    values = {
        "key": key,
        "record_format": RecordFormat.MP4,
        "size_bytes": 1234,
        "sha256": "ab" * 32,
        "started_at": at,
        "ended_at": at + timedelta(seconds=65),
        "duration": timedelta(seconds=65.3),
        "width": 1280,
        "height": 720,
        "location": "cn-north-4",
        "bucket": "recordings",
    }
    return FileCompleted(**(values | changes))


async def end(office, job, reason=StopReason.TENANT_STOP):
    """Append the event of a job's end."""
    await append(office, job, JobEnded(reason))


async def append(office, job, event):
    async with office.database.begin() as connection:
        await store.append_event(connection, store.Claim(job.job_id, job.epoch), event, utc_now())


async def start_jobs(office, count):
    """Start jobs in rooms of their own."""
    return [await office.start(room_id=RoomId(f"room{number}")) for number in range(count)]


async def deliveries(office, **wanted):
    """Return all deliveries, oldest first."""
    found = await Events(office.database).list_events(EventFilter(**wanted), limit=1000)
    return list(reversed(found))


async def states(office, job):
    """Return the states of a job's told events, in order."""
    return [each.state.value for each in await deliveries(office, job_id=job.job_id)]
