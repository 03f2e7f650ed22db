"""What obstore does not offer of S3: buckets listed, keys listed by an exact prefix, broken-off uploads removed.

Each call is one presigned request to the operator's own endpoint, with a time limit, without redirects. Answers are
read up to a limit. Spec: Amazon S3 API ListBuckets, ListObjectsV2, HeadBucket, ListMultipartUploads,
AbortMultipartUpload.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import aiohttp
import structlog
from yarl import URL

from soloist.model.errors import DestinationError
from soloist.model.stored import FoundBucket, FoundObject
from soloist.storage.errors import BucketMissingError, StoreDeniedError
from soloist.storage.location import S3Location
from soloist.wire.sigv4 import presign

log = structlog.get_logger("soloist.storage")

ANSWER_BYTES_MAX = 8 * 1024 * 1024
"""A page of 1000 keys of 1024 bytes, with everything around them, is 1.5 MB."""
TOTAL_S_MAX = 10.0
"""The API's callers wait for these answers."""


class S3Api:
    """Speaks to one location, or to one bucket of it."""

    def __init__(self, location: S3Location, bucket: str = "", *, clock: Callable[[], datetime]) -> None:
        self._location = location
        self._clock = clock
        self.bucket = bucket
        """Name of the bucket that calls are about; empty for the whole location."""

    async def exists(self) -> bool:
        """Return whether the bucket is there.

        Raises:
            DestinationError: the store cannot be asked.
        """
        try:
            await self._ask("HEAD")
        except BucketMissingError:
            return False
        return True

    async def buckets(self) -> list[FoundBucket]:
        """Return every bucket the credential sees.

        Raises:
            DestinationError: the store cannot be asked.
        """
        answer = _parse(await self._ask("GET"))
        return [FoundBucket(_text(item, "Name"), _time(item, "CreationDate")) for item in _all(answer, "Bucket")]

    async def page(self, prefix: str, delimiter: str, token: str) -> tuple[list[FoundObject], str]:
        """Return up to 1000 objects and folders whose keys begin with `prefix`, and the token of the next page.

        With a delimiter, keys that have one after the prefix are told once, as a folder.

        Raises:
            DestinationError: the store cannot be asked, or has no such bucket.
        """
        query = {"list-type": "2", "prefix": prefix, "delimiter": delimiter, "continuation-token": token}
        answer = _parse(await self._ask("GET", query={name: value for name, value in query.items() if value}))
        objects = [
            FoundObject(_text(item, "Key"), int(_text(item, "Size") or 0), _time(item, "LastModified"))
            for item in _all(answer, "Contents")
        ]
        folders = [FoundObject(_text(item, "Prefix")) for item in _all(answer, "CommonPrefixes")]
        return objects + folders, _text(answer, "NextContinuationToken")

    async def abort_uploads(self, key: str) -> None:
        """Remove the parts of every upload of `key` that was never completed.

        Raises:
            DestinationError: the store cannot be asked.
        """
        answer = _parse(await self._ask("GET", query={"uploads": "", "prefix": key}))
        for upload in _all(answer, "Upload"):
            if _text(upload, "Key") == key:
                await self._ask("DELETE", key, {"uploadId": _text(upload, "UploadId")})

    async def _ask(self, method: str, key: str = "", query: Mapping[str, str] | None = None) -> bytes:
        path = self._location.path(self.bucket, key) if self.bucket else "/"
        url = presign(
            method,
            self._location.base_url(self.bucket),
            path,
            credential=self._location.credential,
            now=self._clock(),
            lifetime=timedelta(minutes=5),
            query=query,
        )
        total_s = min(TOTAL_S_MAX, self._location.request_timeout.total_seconds())
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=total_s)) as session,
                session.request(method, URL(url, encoded=True), allow_redirects=False) as answer,
            ):
                body = bytearray()
                async for data in answer.content.iter_any():
                    body += data
                    if len(body) > ANSWER_BYTES_MAX:
                        raise DestinationError("The storage location's answer has no end; ask its operator.")
                _check(answer.status, bytes(body))
                return bytes(body)
        except (TimeoutError, aiohttp.ClientError) as error:
            raise DestinationError("The storage location does not answer; ask its operator.") from error


def _check(status: int, body: bytes) -> None:
    if status == 404:
        raise BucketMissingError
    if status in (401, 403):
        raise StoreDeniedError
    if status >= 300:
        log.error("storage_failed", status=status, detail=body[:1000].decode("utf-8", "replace"))
        raise DestinationError("The storage location failed; ask its operator, whose log says why.")


def _parse(body: bytes) -> ET.Element:
    try:
        return ET.fromstring(body)  # noqa: S314 - from the operator's own store; expat bounds entity expansion
    except ET.ParseError as error:
        raise DestinationError("The storage location's answer is not XML; is its endpoint an S3 server?") from error


def _all(parent: ET.Element, name: str) -> list[ET.Element]:
    """Return the elements of a name at any depth, whichever namespace a server puts them in."""
    return parent.findall(f".//{{*}}{name}")


def _text(parent: ET.Element, name: str) -> str:
    return parent.findtext(f"{{*}}{name}") or ""


def _time(parent: ET.Element, name: str) -> datetime:
    try:
        return datetime.fromisoformat(_text(parent, name)).astimezone(UTC)
    except ValueError as error:
        raise DestinationError(f"The storage location's answer has no {name}; is its endpoint an S3 server?") from error
