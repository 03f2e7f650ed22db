"""The recorder's two shelves, tied together: the spool for open files, the customer's buckets for finished ones.

Knows which location is where, how objects are named, and that a spool file goes only once its object stands.
Spec: API sections 3 (obs_addr), 6.2 (keys); rules R25, R34.
"""

from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

from soloist.clock import utc_now
from soloist.keeping.notes import FileNote, remove_note
from soloist.model.errors import DestinationError
from soloist.model.event import Trouble
from soloist.model.job import Job
from soloist.model.rule import DEFAULT_PREFIX, RecordFormat, RecordRule
from soloist.storage.bucket import Bucket, Committed
from soloist.storage.location import Location
from soloist.storage.owned import IsOurs
from soloist.storage.pool import UploadPool
from soloist.storage.spool import Spool
from soloist.wire.keys import EXTENSIONS, object_key, render_prefix
from soloist.wire.manifest import is_of_same_file

MANIFEST_EXTENSION = ".json"
FILES_PER_JOB_MAX = 10_000
FIRST_SEGMENTS = ("_00000.ts", "_00000.m4s")


class UnknownLocationError(DestinationError):
    """The rule's location is not configured here; add it to SOLOIST_STORAGE or change the rule."""

    retryable = False


class Shelf:
    """Spool and buckets of one recorder."""

    def __init__(
        self, spool: Spool, locations: Mapping[str, Location], *, files_per_job_max: int = FILES_PER_JOB_MAX
    ) -> None:
        """`locations` maps a storage region id to where its buckets are."""
        self.files_per_job_max = files_per_job_max
        self.spool = spool
        self._locations = locations
        self._buckets: dict[tuple[str, str], Bucket] = {}
        self._pools: dict[str, UploadPool] = {}
        self.waiting: set[Path] = set()
        """Spool files that are closed and do not stand in their bucket yet (rule R26)."""
        self.troubles = dict.fromkeys(Trouble, 0)
        self._skews = {"clocks_measured": 0, "clock_skew_ppm": 0.0}

    @staticmethod
    def wanted_key(
        job: Job, rule: RecordRule, record_format: RecordFormat, started_at: datetime, *, wanted: RecordFormat
    ) -> str:
        """Return the object key of a file whose first sample was at `started_at`, if nothing else has it.

        `wanted` is the format of the rule whose prefix it gets; `record_format` is what is written.

        Raises:
            InvalidValueError: the rule makes keys that are too long.
        """
        config = rule.hls if wanted is RecordFormat.HLS else rule.mp4
        template = config.prefix if config else DEFAULT_PREFIX
        stem = object_key(rule.address.object, render_prefix(template, job, record_format, started_at))
        return stem + EXTENSIONS[record_format]

    async def freed(self, note: FileNote, taken: Collection[str] = ()) -> FileNote:
        """Return the note under its key or the next one (`_1`, `_2`…) that is free, with the names that go with it.

        Free is what neither the bucket has nor `taken`, the keys this job has announced, without their extensions.

        Raises:
            DestinationError: the bucket cannot be asked.
        """
        bucket = self.bucket(note.location, note.bucket)
        extension = EXTENSIONS[note.record_format]
        stem, attempt = self.stem(note), 0
        while True:
            free = object_key("", stem, attempt)
            names = [extension, MANIFEST_EXTENSION, *(FIRST_SEGMENTS if note.playlist else ())]
            if free not in taken and not any([await bucket.exists(free + name) for name in names]):
                return replace(note, key=free + extension)
            attempt += 1

    @staticmethod
    def stem(note: FileNote) -> str:
        """Return a note's key without its extension: what its manifest and its segments are named after."""
        return note.key.removesuffix(EXTENSIONS[note.record_format])

    async def commit(self, note: FileNote) -> Committed:
        """Put a finished spool file into its bucket; doing it again is harmless.

        Raises:
            DestinationError: the store refused it; the spool file stays.
        """
        bucket = self.bucket(note.location, note.bucket)
        async with self.turn(note):
            return await bucket.commit(note.path, note.key)

    async def put_manifest(self, note: FileNote, text: str) -> None:
        """Put a file's manifest beside it, in place of an earlier one of the same file and nothing else.

        Raises:
            KeyTakenError: somebody else's object stands there.
            DestinationError: the store refused it.
        """
        bucket, data = self.bucket(note.location, note.bucket), text.encode()
        async with self.turn(note):
            await bucket.put_own(self.stem(note) + MANIFEST_EXTENSION, data, is_ours=partial(is_of_same_file, data))

    async def put_playlist(self, note: FileNote, text: bytes, version: str, is_ours: IsOurs) -> str:
        """Put a playlist under its key, in place of an earlier one of ours and nothing else; return its version.

        Raises:
            KeyTakenError: somebody else's object stands there.
            DestinationError: the store refused it.
        """
        bucket = self.bucket(note.location, note.bucket)
        async with self.turn(note):
            return await bucket.put_own(note.key, text, version, is_ours)

    async def withdraw(self, note: FileNote) -> None:
        """Take out of its bucket what was put under a note's key and not told of yet.

        Raises:
            DestinationError: the store refused that.
        """
        await self.bucket(note.location, note.bucket).withdraw(note.key)

    def turn(self, note: FileNote) -> AbstractAsyncContextManager[None]:
        """Return a turn at the location a note names; hold it while something is sent there, and no longer."""
        return self._pools.setdefault(note.location, UploadPool()).turn(note.job_id)

    def forget(self, note: FileNote, committed: Committed) -> None:
        """Remove what stands in the bucket from the spool. Blocks on the disk."""
        remove_note(note)
        self.spool.remove(note.path, committed)
        self.waiting.discard(note.path)

    def measured(self, skews_ppm: Iterable[float]) -> None:
        """Count the clocks of a file that has ended (rule R6); one without reports enough to tell has no skew."""
        for ppm in filter(None, skews_ppm):
            self._skews["clocks_measured"] += 1
            self._skews["clock_skew_ppm"] += abs(ppm)

    def usage(self) -> dict[str, float]:
        """Return how much is in the spool and waits for a bucket, what troubles there were, and skews, by name."""
        troubles = {f"troubles_{trouble}": count for trouble, count in self.troubles.items()}
        return {**self.spool.usage(), "objects_pending": len(self.waiting), **troubles, **self._skews}

    def bucket(self, location: str, name: str) -> Bucket:
        """Return a bucket of a configured location.

        Raises:
            UnknownLocationError: the location is not configured here.
            DestinationError: its folder cannot be made.
        """
        place = self._locations.get(location)
        if place is None:
            raise UnknownLocationError
        key = (location, name)
        if key not in self._buckets:
            self._buckets[key] = Bucket.at(place, name, clock=utc_now)
        return self._buckets[key]
