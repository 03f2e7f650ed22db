"""A recording and its forwarding: neither is lost because the media thread does not keep up for a moment."""

import asyncio
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta

import pytest

from soloist.forwarding.tap import Tap
from soloist.jobs import recorder
from soloist.jobs.recorder import RunningRecording
from soloist.keeping.shelf import Shelf
from soloist.model.job import Job, JobState, StopReason
from soloist.model.media import Tier, TrackSource
from soloist.sources.receiver import MediaBusyError
from soloist.storage.spool import Spool

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
JOB = Job(
    job_id="7" * 32,
    project_id="dev",
    app_id="demo",
    room_id="room",
    participant_id="user",
    with_audio=True,
    video=TrackSource.CAMERA,
    tier=Tier.HD,
    idle_timeout=timedelta(seconds=45),
    rule=None,
    state=JobState.INIT,
    created_at=NOW,
    updated_at=NOW,
    started_at=NOW,
    forward_urls=("rtmp://live.example.test/app/key",),
)


class Media:
    """A media thread that is this one, and does not keep up some times."""

    def __init__(self):
        self.busy_times = 0

    def post(self, work):
        if self.busy_times > 0:
            self.busy_times -= 1
            raise MediaBusyError
        work()

    def call(self, work):
        future = Future()
        self.post(lambda: future.set_result(work()))
        return future


class Rooms:
    """Rooms nobody is in."""

    def __init__(self, media):
        self._media = media

    async def subscribe(self, *_place, **_listeners):
        return self

    async def close(self):
        await asyncio.wrap_future(self._media.call(lambda: None))


class Forwarding:
    """Notes what it is asked for."""

    def __init__(self):
        self.tap = Tap()
        self.is_tapped = asyncio.Event()
        self.tap.expect = lambda _kinds: self.is_tapped.set()
        self.begun, self.aimed, self.ended = [], [], []

    def start(self, urls):
        self.begun.append(urls)

    def aim(self, urls):
        self.aimed.append(urls)

    async def finish(self, *, goes_on):
        self.ended.append(goes_on)


@pytest.fixture
async def running(tmp_path):
    media = Media()
    forwarding = Forwarding()
    recording = RunningRecording(
        JOB,
        None,
        rooms=Rooms(media),
        media=media,
        shelf=Shelf(Spool(tmp_path), {}),
        new_forwarding=lambda: forwarding,
    )
    return recording, media, forwarding


async def test_a_busy_media_thread_delays_forwarding_and_ends_nothing(running, monkeypatch):
    monkeypatch.setattr(recorder, "TAP_INTERVAL_S", 0.01)
    recording, media, forwarding = running
    media.busy_times = 3

    await recording.begin()
    assert not forwarding.is_tapped.is_set()
    await asyncio.wait_for(forwarding.is_tapped.wait(), 5)

    assert forwarding.begun == [JOB.forward_urls]


@pytest.mark.parametrize(("reason", "goes_on"), [(StopReason.TENANT_STOP, False), (None, True)])
async def test_streams_are_ended_although_the_recording_cannot_be(running, reason, goes_on):
    recording, media, forwarding = running
    await recording.begin()
    media.busy_times = 1

    with pytest.raises(MediaBusyError):
        await recording.finish(reason)

    assert forwarding.ended == [goes_on]


async def test_where_a_crashed_recorder_forwarded_to_is_told_to_have_ended(running):
    recording, _media, forwarding = running

    await recording.finish(StopReason.TENANT_STOP)

    assert forwarding.begun == []
    assert forwarding.aimed == [JOB.forward_urls]
    assert forwarding.ended == [False]


async def test_a_recording_that_cannot_begin_leaves_nothing_behind(tmp_path):
    class Closed(Rooms):
        async def subscribe(self, *_place, **_listeners):
            raise MediaBusyError

    class Journal:
        permit = forwarded = None

    media = Media()
    all_of_them = recorder.Recorder(Closed(media), media, Shelf(Spool(tmp_path), {}))
    for _ in range(3):
        with pytest.raises(MediaBusyError):
            await all_of_them.open(JOB, Journal())

    assert all_of_them._sheddable == []
