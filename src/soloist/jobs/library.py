"""What the API can ask of storage: buckets and objects listed, a bucket's authority, and an object read by its ticket.

Every location is the operator's, and a project is shown only what was granted to it (`grants.py`). Of that it may
revoke buckets for itself. Spec: API section 2.6.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import structlog
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from soloist.clock import utc_now
from soloist.jobs import schema
from soloist.jobs.accounts import Accounts
from soloist.jobs.grants import is_granted, reach_of, refuse_ungranted
from soloist.model.errors import DestinationError, InvalidValueError, LocationUnknownError, NotFoundError
from soloist.model.ids import ProjectId
from soloist.model.rule import RecordRule
from soloist.model.stored import FoundBucket, FoundObject
from soloist.storage.bucket import check_bucket_name
from soloist.storage.errors import BucketMissingError
from soloist.storage.listing import OBJECTS_MAX, has_bucket, list_buckets, list_objects
from soloist.storage.location import Location
from soloist.storage.reading import ObjectMissingError, Reading, open_object
from soloist.wire.granted import is_within, reached_by
from soloist.wire.object_path import check_ticket

log = structlog.get_logger("soloist.library")

revoked = schema.revoked_buckets


@dataclass(frozen=True, slots=True)
class ShownBucket:
    """A bucket as a project sees it."""

    location: str
    bucket: FoundBucket
    is_authorized: bool
    """Whether the project lets recordings go there."""


class Library:
    """Answers questions about storage; safe to share between requests."""

    def __init__(
        self,
        database: AsyncEngine,
        locations: Mapping[str, Location],
        secret: str,
        *,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """`secret` is what tickets are signed with."""
        self._database = database
        self._accounts = Accounts(database)
        self._locations = locations
        self._secret = secret
        self._clock = clock

    async def buckets(self, project_id: ProjectId) -> list[ShownBucket]:
        """Return the granted buckets of every location that answers, by location and name.

        Raises:
            DestinationError: no store can be asked.
        """
        async with self._database.connect() as connection:
            reach = await reach_of(connection, project_id)
            mine = select(revoked.c.location, revoked.c.bucket).where(revoked.c.project_id == project_id)
            refused = {(row.location, row.bucket) for row in await connection.execute(mine)}
        return [
            ShownBucket(name, bucket, (name, bucket.name) not in refused)
            for name, found in await self._found()
            for bucket in found
            if reach.folders(name, bucket.name)
        ]

    async def _found(self) -> list[tuple[str, list[FoundBucket]]]:
        """Ask every location at once; one that does not answer is told to the operator and left out."""
        names = sorted(self._locations)
        asked = (list_buckets(self._locations[name], clock=self._clock) for name in names)
        answers = list(zip(names, await asyncio.gather(*asked, return_exceptions=True), strict=True))
        failures = [(name, answer) for name, answer in answers if isinstance(answer, BaseException)]
        for name, error in failures:
            if not isinstance(error, DestinationError) or len(failures) == len(names):
                raise error
            log.warning("location_left_out", location=name, error=str(error))
        return [(name, answer) for name, answer in answers if not isinstance(answer, BaseException)]

    async def objects(
        self, project_id: ProjectId, location: str, bucket: str, *, prefix: str, only_folders: bool
    ) -> list[FoundObject]:
        """Return objects of a bucket by the beginning of their keys, or folders; see `storage/listing.py`.

        Of a bucket of which folders are granted, only what is in those, and the folders on the way to them.

        Raises:
            LocationUnknownError: the location is not configured here.
            InvalidValueError: `bucket` is no bucket name.
            NotFoundError: there is no such bucket, or nothing of it is granted.
            DestinationError: the store cannot be asked.
        """
        place = self._place(location)
        async with self._database.connect() as connection:
            folders = (await reach_of(connection, project_id)).folders(location, bucket)
        if not folders:
            check_bucket_name(bucket)
            raise NotFoundError(f"bucket {bucket} does not exist")
        list_by = partial(list_objects, place, bucket, clock=self._clock)
        try:
            if is_within(prefix, folders):
                return await list_by(prefix, only_folders=only_folders)
            granted = {folder: await list_by(folder) for folder in reached_by(prefix, folders)}
        except BucketMissingError as error:
            raise NotFoundError(f"bucket {bucket} does not exist") from error
        if only_folders:  # Those on the way to what is granted.
            begun = {folder[: folder.index("/", len(prefix)) + 1] for folder, found in granted.items() if found}
            return [FoundObject(key) for key in sorted(begun)]
        return sorted((item for found in granted.values() for item in found), key=lambda item: item.key)[:OBJECTS_MAX]

    async def authorize(self, project_id: ProjectId, location: str, bucket: str, *, granted: bool) -> None:
        """Let a project's recordings go to a bucket, or revoke that; jobs that run go on.

        Raises:
            LocationUnknownError: the location is not configured here.
            InvalidValueError: there is no such bucket, or nothing of it is granted.
            DestinationError: the store cannot be asked.
        """
        is_there = await has_bucket(self._place(location), bucket, clock=self._clock)
        values = {"project_id": project_id, "location": location, "bucket": bucket}
        await self._accounts.create_project(project_id)
        async with self._database.begin() as connection:
            if not is_there or not (await reach_of(connection, project_id)).folders(location, bucket):
                raise InvalidValueError(f"bucket {bucket} does not exist")
            if granted:
                await connection.execute(delete(revoked).filter_by(**values))
            else:
                await connection.execute(insert(revoked).values(values).on_conflict_do_nothing())

    async def read(self, ticket: str, location: str, bucket: str, key: str) -> Reading:
        """Return the object that an address of ours leads to.

        Raises:
            TicketError: the address is none we gave out, or its time is over.
            NotFoundError: there is no such object any more, or it is granted to nobody any more.
            DestinationError: the store cannot be asked.
        """
        check_ticket(self._secret, ticket, location=location, bucket=bucket, key=key, now=self._clock())
        place = self._locations.get(location)
        if place is None:
            raise NotFoundError("the object's location is not configured here any more")
        async with self._database.connect() as connection:
            if not await is_granted(connection, location, bucket, key):
                raise NotFoundError("the object does not exist")
        try:
            return await open_object(place, bucket, key)
        except ObjectMissingError as error:
            raise NotFoundError("the object does not exist") from error

    def _place(self, location: str) -> Location:
        place = self._locations.get(location)
        if place is None:
            raise LocationUnknownError(f"location {location} is not configured here")
        return place


async def refuse_closed(connection: AsyncConnection, project_id: ProjectId, rule: RecordRule) -> None:
    """Return if the project may let recordings go where `rule` puts them, and does.

    Raises:
        InvalidValueError: the place is not granted to it, or it has revoked the bucket.
    """
    await refuse_ungranted(connection, project_id, rule)
    there = {"project_id": project_id, "location": rule.address.location, "bucket": rule.address.bucket}
    if (await connection.execute(select(revoked).filter_by(**there))).first() is not None:
        raise InvalidValueError(
            f"bucket {rule.address.bucket} of rule {rule.rule_id} is not authorized; grant it first"
        )
