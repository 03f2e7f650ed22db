"""A recording whose files are really filed: spool, bucket and notes on the disk, its journal on paper."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from soloist.keeping.filing import Filing
from soloist.keeping.salvage import salvage
from soloist.keeping.shelf import Shelf
from soloist.model.event import FileStarted
from soloist.model.media import Codec
from soloist.storage.errors import KeyTakenError
from soloist.storage.spool import Spool
from support.media import opus_samples, video_samples
from support.stage import Stage, a_publisher, frames_of, merged


class PaperJournal:
    """Keeps facts in a list, each once, in the order they were told."""

    def __init__(self, before=None):
        """`before` is the journal of the same job's earlier epoch: what it was told is known."""
        self._known = before._known + before.facts if before else []
        self.facts = []
        self.texts = []
        self.transcoded = []
        self.ended_ns = None

    async def file_started(self, fact):
        told = [other for other in self._known + self.facts if isinstance(other, FileStarted)]
        if any(other.key == fact.key and other != fact for other in told):
            raise KeyTakenError
        if fact not in told:
            self.facts.append(fact)

    async def file_completed(self, fact):
        self.facts.append(fact)

    async def troubled(self, fact):
        if fact not in self._known + self.facts:
            self.facts.append(fact)

    async def permit(self):
        """Nobody else wants this job."""

    async def media_ended_ns(self):
        return self.ended_ns

    async def coded(self, transcoded):
        self.transcoded.append(transcoded)

    async def described(self, text):
        self.texts.append(text)


class Desk:
    """A recording whose files are really filed."""

    def __init__(self, folder, job, settle=None, *, shelf=None, journal=None):
        """`shelf` may be another than one of `folder`, such as one that many recordings share; `journal` a real one."""
        self.folder, self.job, self.journal, self.failures = folder, job, journal or PaperJournal(), []
        self.shelf = shelf or Shelf(Spool(folder / "spool"), {"cn-north-4": folder / "storage"})
        settle = settle or partial(salvage, job, self.journal, self.shelf)
        self.filing = Filing(
            job, self.journal, self.shelf, fail=self.failures.append, went_on=self._went_on, settle=settle
        )
        self.stage = Stage(folder, job)
        self.stage.make_path = self._path
        self.stage.recording._emit = self.filing.tell

    def _went_on(self, index, began_at_ns):
        self.stage.recording.count_from(index, began_at_ns)

    def _path(self, index, extension):
        return self.shelf.spool.create(self.job.job_id, self.job.epoch, f"{index:05d}.{extension}")

    def play(self, seconds, codec=Codec.H264, publisher=None, at_s=0.0):
        """Have a new publisher send sound and picture from a moment on; a `publisher` that is given goes on sending."""
        self.publisher = publisher or a_publisher(codec=codec)
        if publisher is None:
            self.stage.recording.on_attached(self.publisher)
        passed_s = at_s if publisher else 0
        rtp_zero = 7 + int(passed_s * 48_000)
        sound = frames_of(opus_samples(seconds), Codec.OPUS, rtp_zero=rtp_zero, at_s=at_s)
        rtp_zero = 1_000_000 + int(passed_s * 90_000)
        pictures = frames_of(video_samples(codec, seconds), codec, rtp_zero=rtp_zero, at_s=at_s)
        self.stage.play(self.publisher, merged(pictures, sound))

    async def told(self):
        await asyncio.sleep(0)
        await self.filing._facts.join()

    async def finish(self):
        self.stage.wind_up()
        self.stage.recording.stop()
        await self.filing.drain()

    @property
    def objects(self):
        bucket = self.folder / "storage" / "recordings"
        return {str(path.relative_to(bucket)): path for path in bucket.rglob("*") if path.is_file()}

    @property
    def spooled(self):
        return [path.name for path in (self.folder / "spool").rglob("*") if path.is_file()]

    async def die(self):
        """Leave everything as a killed recorder would."""
        await self.told()
        self.filing.abandon()
        self.stage.recording.abort()


def filed(folder, job, publisher, frames):
    """Return a recording of what a publisher sends, all of it filed."""

    async def file():
        desk = Desk(folder, job)
        desk.stage.recording.on_attached(publisher)
        desk.stage.play(publisher, frames)
        await desk.finish()
        assert desk.failures == []
        return desk

    # In a thread of its own: where a browser is driven, this one's event loop is the browser's.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, file()).result()
