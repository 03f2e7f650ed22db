"""Finished objects read back, whole or in part, from a folder or an S3 store, in pieces. For the api's object route."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import obstore
from obstore.exceptions import BaseError

from soloist.storage.bucket import check_bucket_name, check_key, open_s3, read_pieces
from soloist.storage.errors import destination_error
from soloist.storage.location import Location

PIECE_BYTES = 256 * 1024


class ObjectMissingError(Exception):
    """There is no such object."""


@dataclass(frozen=True, slots=True)
class Reading:
    """An object that can be read."""

    size: int
    """In bytes."""
    e_tag: str
    """With its quotes, as in HTTP."""
    modified_at: datetime
    pieces: Callable[[int, int], AsyncIterator[bytes]]
    """Yields the bytes from the first index up to, but without, the second."""


async def open_object(location: Location, bucket: str, key: str) -> Reading:
    """Return an object of a location.

    Raises:
        InvalidValueError: the bucket or the key cannot be one.
        ObjectMissingError: there is no such object, or it is none of ours: a link that leads out of its bucket.
        DestinationError: the store cannot be asked.
    """
    check_bucket_name(bucket)
    check_key(key)
    if isinstance(location, Path):
        return await asyncio.to_thread(_open_file, location / bucket, key)
    store = open_s3(location, bucket)
    try:
        meta = await obstore.head_async(store, key)
    except FileNotFoundError as error:
        raise ObjectMissingError from error
    except BaseError as error:
        raise destination_error(error) from error
    return Reading(meta["size"], meta["e_tag"] or "", meta["last_modified"], partial(read_pieces, store, key))


def _open_file(bucket: Path, key: str) -> Reading:
    path = bucket / key
    try:
        real = path.resolve(strict=True)
        if not real.is_relative_to(bucket.resolve()) or not real.is_file():
            raise ObjectMissingError
        stat = real.stat()
    except (FileNotFoundError, NotADirectoryError, RuntimeError) as error:
        raise ObjectMissingError from error
    except OSError as error:
        raise destination_error(error) from error
    e_tag = f'"{stat.st_ino:x}-{stat.st_mtime_ns:x}-{stat.st_size:x}"'
    return Reading(stat.st_size, e_tag, datetime.fromtimestamp(stat.st_mtime, UTC), _pieces_of_file(real))


def _pieces_of_file(path: Path) -> Callable[[int, int], AsyncIterator[bytes]]:
    async def pieces(start: int, end: int) -> AsyncIterator[bytes]:
        file = await asyncio.to_thread(path.open, "rb")
        try:
            await asyncio.to_thread(file.seek, start)
            while start < end and (data := await asyncio.to_thread(file.read, min(PIECE_BYTES, end - start))):
                start += len(data)
                yield data
        finally:
            await asyncio.to_thread(file.close)

    return pieces
