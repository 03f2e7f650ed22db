"""Operations 23 to 25: list buckets, list a bucket's objects, grant or revoke a bucket.

Spec: API sections 1 (times of these operations), 2.6, 3 (ObsBucket, ObsObject).
"""

from datetime import UTC, datetime
from typing import Annotated, Literal, Protocol

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from soloist.api.body import parse_object
from soloist.api.fields import PLAIN_PATTERN, Body, PlainText, parse_body
from soloist.api.routing import answers, body_of, new_router, project_of
from soloist.jobs.library import ShownBucket
from soloist.model.ids import ProjectId
from soloist.model.stored import FoundObject

COLLECTION = "/v2/rtc-ops/buckets"
KIBIBYTE = 1024
LOCATION_LENGTH_MAX = 64
PREFIX_LENGTH_MAX = 1024
"""Of any object's key; the vendor's schema ends at 63, which its own default keys exceed."""


class BucketAuthorityBody(Body):
    """The body of update authority. Spec: API section 2.6."""

    bucket: PlainText = Field(min_length=1, max_length=63)
    operation: int = Field(ge=0, le=1, description="1 grants, 0 revokes")
    location: PlainText = Field(min_length=1, max_length=LOCATION_LENGTH_MAX)
    project_id: PlainText | None = Field(default=None, max_length=128)


class BucketView(BaseModel):
    """A bucket."""

    bucket: str
    location: str
    creation_date: str
    is_authorized: bool


class BucketsView(BaseModel):
    """All buckets."""

    count: int
    buckets: list[BucketView]


class ObjectView(BaseModel):
    """An object, or a folder, which has no time. `size` is in KB, begun ones counted whole."""

    file_name: str
    size: int
    last_modified: str | None = None


class ObjectsView(BaseModel):
    """Objects or folders."""

    count: int
    objects: list[ObjectView]


class BucketCommands(Protocol):
    """What the edge asks about buckets; every call is within one project."""

    async def buckets(self, project_id: ProjectId) -> list[ShownBucket]:
        """Return the buckets of every location."""

    async def objects(
        self, project_id: ProjectId, location: str, bucket: str, *, prefix: str, only_folders: bool
    ) -> list[FoundObject]:
        """Return objects or folders of a bucket by the beginning of their keys."""

    async def authorize(self, project_id: ProjectId, location: str, bucket: str, *, granted: bool) -> None:
        """Let recordings go to a bucket, or revoke that."""


def bucket_routes(buckets: BucketCommands) -> APIRouter:
    """Return the three operations over `buckets`."""
    router = new_router("buckets")

    @router.get(COLLECTION, responses=answers(400))
    async def list_obs_buckets(request: Request) -> BucketsView:
        """List the buckets of every location, by location and name."""
        found = [_view_bucket(bucket) for bucket in await buckets.buckets(project_of(request))]
        return BucketsView(count=len(found), buckets=found)

    @router.get(COLLECTION + "/objects", response_model_exclude_none=True, responses=answers(400, 404))
    async def list_obs_bucket_objects(  # noqa: PLR0917 - the operation's query
        request: Request,
        bucket: Annotated[str, Query(min_length=1, max_length=63, pattern=PLAIN_PATTERN)],
        type: Annotated[Literal["folders", "objects"], Query()],  # noqa: A002 - the vendor's name
        location: Annotated[str, Query(min_length=1, max_length=LOCATION_LENGTH_MAX, pattern=PLAIN_PATTERN)],
        prefix: Annotated[str, Query(max_length=PREFIX_LENGTH_MAX, pattern=PLAIN_PATTERN)] = "",
    ) -> ObjectsView:
        """List up to 1000 objects whose keys begin with `prefix`, or the folders right below it, by key."""
        found = await buckets.objects(
            project_of(request), location, bucket, prefix=prefix, only_folders=type == "folders"
        )
        return ObjectsView(count=len(found), objects=[_view_object(item) for item in found])

    @router.put(
        COLLECTION + "/authentication",
        status_code=200,
        responses=answers(400),
        openapi_extra=body_of(BucketAuthorityBody),
    )
    async def update_obs_bucket_authority(request: Request) -> None:
        """Grant a bucket to the project's recordings, or revoke it: jobs of its rules then do not start."""
        asked = parse_body(BucketAuthorityBody, parse_object(await request.body()))
        await buckets.authorize(project_of(request), asked.location, asked.bucket, granted=asked.operation == 1)

    return router


def render_bucket_time(moment: datetime) -> str:
    """Return an aware moment as these operations write it: `2020/07/16 15:11:55 GMT+08:00`; ours are in UTC."""
    return moment.astimezone(UTC).strftime("%Y/%m/%d %H:%M:%S GMT+00:00")


def _view_bucket(shown: ShownBucket) -> BucketView:
    return BucketView(
        bucket=shown.bucket.name,
        location=shown.location,
        creation_date=render_bucket_time(shown.bucket.created_at),
        is_authorized=shown.is_authorized,
    )


def _view_object(found: FoundObject) -> ObjectView:
    modified = render_bucket_time(found.modified_at) if found.modified_at else None
    return ObjectView(file_name=found.key, size=-(-found.size_bytes // KIBIBYTE), last_modified=modified)
