"""What is in a location: its buckets, and a bucket's objects or folders by the beginning of their keys.

Lists are bounded: as many pages as it takes are read, up to a number of objects and no further. Links in folders are
not followed. Spec: API section 2.6 (OBS helpers).
"""

import asyncio
import errno
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from soloist.model.errors import InvalidValueError
from soloist.model.stored import FoundBucket, FoundObject
from soloist.storage.bucket import check_bucket_name
from soloist.storage.errors import BucketMissingError, destination_error
from soloist.storage.location import Location
from soloist.storage.s3 import S3Api

OBJECTS_MAX = 1000
"""As many as an S3 page; who wants more asks by a longer prefix."""
PAGES_MAX = 10
"""Requests for one list. Folders are found among all that lies beside them, of which there may be millions."""


async def list_buckets(location: Location, *, clock: Callable[[], datetime]) -> list[FoundBucket]:
    """Return a location's buckets by name.

    Raises:
        DestinationError: the store cannot be asked.
    """
    if isinstance(location, Path):
        found = await asyncio.to_thread(_folders_of, location)
    else:
        found = await S3Api(location, clock=clock).buckets()
    return sorted(found, key=lambda bucket: bucket.name)


async def has_bucket(location: Location, bucket: str, *, clock: Callable[[], datetime]) -> bool:
    """Return whether a location has a bucket of this name.

    Raises:
        InvalidValueError: it is no bucket name.
        DestinationError: the store cannot be asked.
    """
    check_bucket_name(bucket)
    if isinstance(location, Path):
        return await asyncio.to_thread((location / bucket).is_dir)
    return await S3Api(location, bucket, clock=clock).exists()


async def list_objects(
    location: Location, bucket: str, prefix: str, *, clock: Callable[[], datetime], only_folders: bool = False
) -> list[FoundObject]:
    """Return up to `OBJECTS_MAX` objects whose keys begin with `prefix`, or the folders right below it, by key.

    Raises:
        InvalidValueError: `bucket` is no bucket name.
        BucketMissingError: there is no such bucket.
        DestinationError: the store cannot be asked.
    """
    check_bucket_name(bucket)
    if not isinstance(location, Path):
        return await _pages(S3Api(location, bucket, clock=clock), prefix, only_folders=only_folders)
    try:
        return await asyncio.to_thread(_files_of, location / bucket, prefix, only_folders=only_folders)
    except FileNotFoundError as error:
        raise BucketMissingError from error
    except OSError as error:
        raise destination_error(error) from error


async def _pages(s3: S3Api, prefix: str, *, only_folders: bool) -> list[FoundObject]:
    found: list[FoundObject] = []
    token = ""
    for _ in range(PAGES_MAX):
        page, token = await s3.page(prefix, "/" if only_folders else "", token)
        found += [item for item in page if item.key.endswith("/") == only_folders]
        if not token or len(found) >= OBJECTS_MAX:
            break
    return sorted(found[:OBJECTS_MAX], key=lambda item: item.key)


def _folders_of(location: Path) -> list[FoundBucket]:
    """Return the folders of a location that are named like buckets; none before the first bucket was used."""
    try:
        with os.scandir(location) as entries:
            folders = [entry for entry in entries if entry.is_dir(follow_symlinks=False) and _is_bucket(entry.name)]
            return [FoundBucket(entry.name, _moment(entry.stat().st_ctime)) for entry in folders]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise destination_error(error) from error


def _is_bucket(name: str) -> bool:
    try:
        check_bucket_name(name)
    except InvalidValueError:
        return False
    return True


def _files_of(bucket: Path, prefix: str, *, only_folders: bool) -> list[FoundObject]:
    """Return what `list_objects` does, of a folder. Blocks on the disk.

    Raises:
        FileNotFoundError: the bucket is not there.
    """
    above = prefix.rpartition("/")[0]
    if any(part in ("", ".", "..") for part in above.split("/")) and above:
        return []
    bucket.stat()
    found = _walk(bucket, f"{above}/" if above else "", prefix, only_folders=only_folders)
    return list(islice(found, OBJECTS_MAX))


def _walk(bucket: Path, folder: str, prefix: str, *, only_folders: bool) -> Iterator[FoundObject]:
    """Yield by key what lies below `folder` (empty, or with a slash at its end) and begins with `prefix`."""
    try:
        with os.scandir(bucket / folder) as entries:
            named = sorted((_key(folder, entry), entry) for entry in entries if not entry.is_symlink())
    except (FileNotFoundError, NotADirectoryError, ValueError):  # a NUL is in no name
        return
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return
        raise
    for key, entry in named:
        if not key.startswith(prefix):
            continue
        if not key.endswith("/"):
            if not only_folders:
                stat = entry.stat()
                yield FoundObject(key, stat.st_size, _moment(stat.st_mtime))
        elif only_folders:
            yield FoundObject(key)
        else:
            yield from _walk(bucket, key, prefix, only_folders=False)


def _key(folder: str, entry: "os.DirEntry[str]") -> str:
    return f"{folder}{entry.name}{'/' if entry.is_dir(follow_symlinks=False) else ''}"


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
