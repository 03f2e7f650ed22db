"""A recording port that records nothing: tests decide when a room is idle and what a recording says."""

import asyncio
import hashlib
from datetime import timedelta

from soloist.model.event import FileCompleted, FileStarted
from soloist.model.rule import RecordFormat
from support.jobs import NOW


class ScriptedRecording:
    """One opened recording and what was asked of it."""

    def __init__(self, job, journal, *, files_count):
        self.job, self.journal = job, journal
        self.went_idle = asyncio.Event()
        self.failure = asyncio.get_running_loop().create_future()
        self.rules = []
        self.suspensions = []
        self.finished_with = []
        self.is_abandoned = False
        self._files_count = files_count

    async def idle(self):
        await self.went_idle.wait()

    async def failed(self):
        return await asyncio.shield(self.failure)

    def update(self, rule):
        self.rules.append(rule)

    def suspend(self, *, suspended):
        self.suspensions.append(suspended)

    async def finish(self, reason):
        for index in range(self._files_count):
            key = f"{self.job.job_id}/{self.job.epoch}_{index}.mp4"
            await self.journal.permit()
            await self.journal.file_started(FileStarted(key, RecordFormat.MP4, NOW))
            await self.journal.file_completed(a_file(key))
        self.finished_with.append(reason)

    async def abandon(self):
        self.is_abandoned = True


class ScriptedRecordings:
    """Opens scripted recordings; `opened` holds them in order."""

    def __init__(self, *, files_count=1, refusal=None):
        self.opened = []
        self._files_count = files_count
        self._refusal = refusal

    async def open(self, job, journal):
        if self._refusal is not None:
            raise self._refusal
        self.opened.append(ScriptedRecording(job, journal, files_count=self._files_count))
        return self.opened[-1]


def a_file(key):
    """Return a completed ten-second file."""
    return FileCompleted(
        key=key,
        record_format=RecordFormat.MP4,
        size_bytes=1000,
        sha256=hashlib.sha256(key.encode()).hexdigest(),
        started_at=NOW,
        ended_at=NOW + timedelta(seconds=10),
        duration=timedelta(seconds=10),
        width=640,
        height=360,
    )
