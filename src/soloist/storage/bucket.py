"""Finished objects: put once under a key of their own, verified, never overwritten.

A `Bucket` stands on an obstore store. Where that is a folder on the spool's own file system, a file gets there as a
second link to the same bytes (`links.py`). Everywhere else it is sent, and verified by size and e-tag, which is the MD5
of the bytes or of their parts' MD5s; a store that forms its e-tags otherwise is read back whole.
Knows nothing of media, jobs or databases. Rules R25, R28, R34, R56.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, ObjectStore, S3Store

from soloist.model.errors import InternalError, InvalidValueError
from soloist.storage.conditions import Conditions
from soloist.storage.errors import BucketMissingError, KeyTakenError, ObjectDamagedError, destination_error
from soloist.storage.links import link
from soloist.storage.location import Location, S3Location
from soloist.storage.owned import IsOurs, OwnedObjects, is_nobodys
from soloist.storage.s3 import S3Api
from soloist.wire.keys import content_type

if TYPE_CHECKING:
    from obstore.store import S3Credential  # Only there: it is no name at run time.

BUCKET_PATTERN = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
KEY_BYTES_MAX = 1024
WHOLE_BYTES_MAX = 8 * 1024 * 1024
"""Up to this size an object is sent in one request, which can be create-only; larger ones go in parts."""
PARTS_AT_ONCE = 2
"""Of one file; each is held in memory."""
RETRIES_MAX = 500
"""More than fit into a location's patience, which is to rule: obstore's own ten are used up within seconds."""
READ_BYTES = 4 * 1024 * 1024
"""Of one request: a time limit then holds for so much, and not for gigabytes."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Committed:
    """An object that stands in the bucket and was read back."""

    key: str
    size: int
    """In bytes."""
    sha256: str
    """64 lower-case hex digits."""
    e_tag: str | None
    """The store's own mark of this version, if it has one."""


def check_bucket_name(name: str) -> str:
    """Return `name` unchanged if it is a bucket name: 3 to 63 of a-z 0-9 . -, no dot beside a dot or dash.

    Raises:
        InvalidValueError: anything else (the caller's fault).
    """
    if not BUCKET_PATTERN.fullmatch(name) or any(pair in name for pair in ("..", ".-", "-.")):
        raise InvalidValueError("bucket must be 3 to 63 characters of a-z 0-9 . - and begin and end with a-z 0-9")
    return name


def check_key(key: str) -> str:
    """Return `key` unchanged if it names an object inside its bucket.

    Raises:
        InvalidValueError: empty, too long, a leading or trailing slash, an empty, `.` or `..` segment, a control
            character or a backslash.
    """
    segments = key.split("/")
    if len(key.encode()) > KEY_BYTES_MAX or _CONTROL.search(key) or "\\" in key:
        raise InvalidValueError("object key: at most 1024 bytes, no control characters or backslashes")
    if any(segment in ("", ".", "..") for segment in segments):
        raise InvalidValueError("object key: no empty, . or .. segments")
    return key


@dataclass(frozen=True, slots=True)
class _Digest:
    """What a file is known by."""

    size: int
    sha256: str
    e_tag: str
    """What S3 calls an object of these bytes, without quotes."""


class Bucket:
    """One bucket of one location."""

    def __init__(self, store: ObjectStore, *, folder: Path | None = None, s3: S3Api | None = None) -> None:
        """`folder` is where a `LocalStore` keeps its objects; `s3` speaks to an S3 store's bucket beside obstore."""
        self._store = store
        self._folder = folder
        self._s3 = s3
        self._conditions = Conditions(store, name=s3.bucket if s3 else "", is_known=s3 is None)
        self._owned = OwnedObjects(store, self._conditions, folder)
        self._is_known = False
        """Whether the bucket was there when it was last asked for an object."""

    @classmethod
    def at(cls, location: Location, name: str, *, clock: Callable[[], datetime]) -> "Bucket":
        """Return the bucket `name` of a location; a folder's is made if it is not there. `clock` dates S3 requests.

        Raises:
            InvalidValueError: `name` is not a bucket name.
            DestinationError: the folder cannot be made.
        """
        check_bucket_name(name)
        if isinstance(location, S3Location):
            return cls(open_s3(location, name), s3=S3Api(location, name, clock=clock))
        folder = location / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return cls(LocalStore(prefix=folder), folder=folder)
        except (OSError, BaseError) as error:
            raise destination_error(error) from error

    async def commit(self, local: Path, key: str) -> Committed:
        """Put a finished file under `key` and verify it; the local file stays for the caller to remove.

        Doing it again with the same file is harmless: an object that already holds the same bytes counts as put.

        Raises:
            KeyTakenError: something else stands under the key; choose another.
            DestinationError: the store refused the object, or holds other bytes (then it is taken out again).
            InternalError: the local file cannot be read.
        """
        check_key(key)
        try:
            digest = await asyncio.to_thread(_digest, local)
        except OSError as error:
            raise InternalError(f"{local.name} cannot be read from the spool ({error.strerror}).") from error
        try:
            is_ours = await self._put_file(local, key, digest.size)
            found = await self._verified(key, local, digest)
            if found is not None:
                return found
            if is_ours:
                await obstore.delete_async(self._store, key)
        except (OSError, BaseError) as error:
            raise await self._refusal(error) from error
        raise ObjectDamagedError if is_ours else KeyTakenError

    async def probe(self, folder: str) -> bool:
        """Return whether the bucket is create-only for one request's objects; tried once, by a probe in a folder of it.

        Raises:
            DestinationError: the store refused the probe, which it would objects as well.
        """
        try:
            return await self._creates_only(folder)
        except (OSError, BaseError) as error:
            raise await self._refusal(error) from error

    async def exists(self, key: str) -> bool:
        """Return whether an object stands under `key`.

        Raises:
            DestinationError: the store cannot be asked, or has no such bucket.
        """
        check_key(key)
        try:
            return await self._has(key)
        except (OSError, BaseError) as error:
            raise await self._refusal(error) from error

    async def put_own(self, key: str, data: bytes, version: str = "", is_ours: IsOurs = is_nobodys) -> str:
        """Put a small object of ours (a manifest, a playlist) whole or not at all; see `owned.py`. Return its version.

        Raises:
            KeyTakenError: somebody else's object stands there, and is left alone.
            DestinationError: the store refused it.
        """
        check_key(key)
        try:
            return await self._owned.put(key, data, version, is_ours)
        except (OSError, BaseError) as error:
            raise await self._refusal(error) from error

    async def withdraw(self, key: str) -> None:
        """Remove an object that was just put and not told of yet.

        Raises:
            DestinationError: the store refused that.
        """
        check_key(key)
        try:
            await obstore.delete_async(self._store, key)
        except FileNotFoundError:
            return
        except (OSError, BaseError) as error:
            raise await self._refusal(error) from error

    async def _has(self, key: str) -> bool:
        try:
            await obstore.head_async(self._store, key)
        except FileNotFoundError:
            # A store says this of objects and buckets alike; which of them is missing has to be asked once.
            if self._s3 is not None and not self._is_known and not await self._s3.exists():
                raise
            self._is_known = True
            return False
        self._is_known = True
        return True

    async def _put_file(self, local: Path, key: str, size: int) -> bool:
        """Put a file under a key and return True, or False if something stands there already."""
        try:
            if self._folder is not None:
                await asyncio.to_thread(link, local, self._folder / key, self._folder)
            elif size <= WHOLE_BYTES_MAX and await self._creates_only(key.rpartition("/")[0]):
                data = await asyncio.to_thread(local.read_bytes)
                await obstore.put_async(self._store, key, data, mode="create", attributes=self._attributes(key))
            elif await self._has(key):
                return False
            else:
                await self._send_parts(local, key)
        except (FileExistsError, AlreadyExistsError):
            return False
        return True

    async def _send_parts(self, local: Path, key: str) -> None:
        """Send a large file, after removing the parts that an upload of it left which was broken off."""
        if self._s3 is not None:
            await self._s3.abort_uploads(key)
        await obstore.put_async(
            self._store,
            key,
            local,
            chunk_size=WHOLE_BYTES_MAX,
            max_concurrency=PARTS_AT_ONCE,
            attributes=self._attributes(key),
        )

    async def _creates_only(self, folder: str) -> bool:
        """Return whether the store keeps its word when told to create and not to overwrite."""
        await self._conditions.learn(folder)
        return bool(self._conditions.creates_only)

    def _attributes(self, key: str) -> dict[str, str]:
        return {} if self._folder is not None else {"Content-Type": content_type(key)}

    async def _verified(self, key: str, local: Path, digest: _Digest) -> Committed | None:
        """Return what stands under `key` if it is the local file's bytes; None if it is something else.

        A second link to the local file is the very bytes whose checksum is known; they are not read again.
        """
        meta = await obstore.head_async(self._store, key)
        committed = Committed(key, digest.size, digest.sha256, meta["e_tag"])
        if self._folder is not None:
            target = self._folder / key
            is_same = target.samefile(local) or await asyncio.to_thread(_digest, target) == digest
            return committed if is_same else None
        if meta["size"] != digest.size:
            return None
        if (meta["e_tag"] or "").strip('"') == digest.e_tag:
            return committed
        return committed if await self._read_sha256(key, digest.size) == digest.sha256 else None

    async def _read_sha256(self, key: str, size: int) -> str:
        sha256 = hashlib.sha256()
        async for data in read_pieces(self._store, key, 0, size):
            await asyncio.to_thread(sha256.update, data)
        return sha256.hexdigest()

    async def _refusal(self, error: Exception) -> Exception:
        """Return what to raise; an S3 store says "not found" of objects and buckets alike."""
        if isinstance(error, FileNotFoundError) and self._s3 is not None:
            return BucketMissingError()
        return destination_error(error)


def open_s3(location: S3Location, name: str) -> S3Store:
    """Return obstore's view of a bucket; nothing is asked yet."""
    keys = location.credential

    def credential() -> "S3Credential":
        """Leave no token of AWS_* variables in force, as plain arguments would."""
        return {
            "access_key_id": keys.access_key,
            "secret_access_key": keys.secret_key,
            "token": None,
            "expires_at": None,
        }

    return S3Store(
        name,
        endpoint=location.base_url(name),
        region=keys.region,
        credential_provider=credential,
        skip_signature=False,
        unsigned_payload=False,
        virtual_hosted_style_request=location.is_virtual_hosted,
        client_options={"allow_http": True, "timeout": location.request_timeout},
        retry_config={"max_retries": RETRIES_MAX, "retry_timeout": location.patience},
    )


async def read_pieces(store: ObjectStore, key: str, start: int, end: int) -> AsyncIterator[bytes]:
    """Yield an object's bytes from `start` up to, but without, `end`, as they come by requests of `READ_BYTES`."""
    while start < end:
        data = bytes(await obstore.get_range_async(store, key, start=start, end=min(start + READ_BYTES, end)))
        start += len(data)
        yield data


def _digest(path: Path) -> _Digest:
    """Return what a file is known by, read in the pieces it is sent in."""
    sha256, parts = hashlib.sha256(), []
    with path.open("rb") as file:
        while data := file.read(WHOLE_BYTES_MAX):
            sha256.update(data)
            parts.append(hashlib.md5(data, usedforsecurity=False))
        size = file.tell()
    return _Digest(size, sha256.hexdigest(), _e_tag([part.digest() for part in parts]))


def _e_tag(parts: list[bytes]) -> str:
    """Return what S3 calls an object whose parts, as they are sent, have these MD5s."""
    if len(parts) == 1:
        return parts[0].hex()
    whole = hashlib.md5(b"".join(parts), usedforsecurity=False).hexdigest()
    return f"{whole}-{len(parts)}" if parts else whole
