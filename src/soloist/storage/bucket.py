"""Finished objects: put once under a key of their own, verified, never overwritten.

A `Bucket` stands on an obstore store. Where that is a folder on the spool's own file system, a file gets there as a
second link to the same bytes: no copy of gigabytes, create-only by nature (ADR 0005 has the figures). Everywhere else
it is streamed. Knows nothing of media, jobs or databases. Rules R25, R34, R56.
"""

import asyncio
import contextlib
import hashlib
import os
import re
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, ObjectStore

from soloist.model.errors import InternalError, InvalidValueError
from soloist.storage.errors import KeyTakenError, ObjectDamagedError, destination_error

BUCKET_PATTERN = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
KEY_BYTES_MAX = 1024
WHOLE_BYTES_MAX = 8 * 1024 * 1024
"""Up to this size an object is sent in one request, which can be create-only; larger ones go in parts."""
READ_BYTES = 1024 * 1024
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


class Bucket:
    """One bucket of one location."""

    def __init__(self, store: ObjectStore, *, folder: Path | None = None) -> None:
        """`folder` is where a `LocalStore` keeps its objects; None for stores that are no folder."""
        self._store = store
        self._folder = folder

    @classmethod
    def in_folder(cls, location: Path, name: str) -> "Bucket":
        """Return the bucket `name` of a `file` location, making its folder if it is not there.

        Raises:
            InvalidValueError: `name` is not a bucket name.
            DestinationError: the folder cannot be made.
        """
        folder = location / check_bucket_name(name)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return cls(LocalStore(prefix=folder), folder=folder)
        except (OSError, BaseError) as error:
            raise destination_error(error) from error

    async def commit(self, local: Path, key: str) -> Committed:
        """Put a finished file under `key` and read it back; the local file stays for the caller to remove.

        Doing it again with the same file is harmless: an object that already holds the same bytes counts as put.

        Raises:
            KeyTakenError: something else stands under the key; choose another.
            DestinationError: the store refused the object, or gave other bytes back (then it is taken out again).
            InternalError: the local file cannot be read.
        """
        check_key(key)
        try:
            size, sha256 = await asyncio.to_thread(_digest, local)
        except OSError as error:
            raise InternalError(f"{local.name} cannot be read from the spool ({error.strerror}).") from error
        try:
            is_ours = await self._put_file(local, key, size)
            found = await self._read_back(key, local, sha256)
            if (found.size, found.sha256) == (size, sha256):
                return found
            if is_ours:
                await obstore.delete_async(self._store, key)
        except (OSError, BaseError) as error:
            raise destination_error(error) from error
        raise ObjectDamagedError if is_ours else KeyTakenError

    async def exists(self, key: str) -> bool:
        """Return whether an object stands under `key`.

        Raises:
            DestinationError: the store cannot be asked.
        """
        try:
            await obstore.head_async(self._store, check_key(key))
        except FileNotFoundError:
            return False
        except (OSError, BaseError) as error:
            raise destination_error(error) from error
        return True

    async def replace(self, key: str, data: bytes) -> None:
        """Put a small object (a manifest) under `key`, whole or not at all, in place of what may stand there.

        Raises:
            DestinationError: the store refused it.
        """
        try:
            await obstore.put_async(self._store, check_key(key), data)
            if self._folder is not None:
                await asyncio.to_thread(_sync, self._folder / key, self._folder)
        except (OSError, BaseError) as error:
            raise destination_error(error) from error

    async def _put_file(self, local: Path, key: str, size: int) -> bool:
        """Put a file under a key and return True, or False if something stands there already."""
        try:
            if self._folder is not None:
                await asyncio.to_thread(_link, local, self._folder / key, self._folder)
            elif size <= WHOLE_BYTES_MAX:
                data = await asyncio.to_thread(local.read_bytes)
                await obstore.put_async(self._store, key, data, mode="create")
            elif await self.exists(key):
                return False
            else:
                await obstore.put_async(self._store, key, local, chunk_size=WHOLE_BYTES_MAX)
        except (FileExistsError, AlreadyExistsError):
            return False
        return True

    async def _read_back(self, key: str, local: Path, sha256: str) -> Committed:
        """Return what stands under `key`, its checksum taken from the bytes the store gives back.

        A second link to the local file is the very bytes whose checksum is known; they are not read again.
        """
        if self._folder is not None:
            meta = await obstore.head_async(self._store, key)
            target = self._folder / key
            if target.samefile(local):
                return Committed(key, meta["size"], sha256, meta["e_tag"])
            size, found = await asyncio.to_thread(_digest, target)
            return Committed(key, size, found, meta["e_tag"])
        answer = await obstore.get_async(self._store, key)
        digest, size = hashlib.sha256(), 0
        async for chunk in answer.stream(min_chunk_size=READ_BYTES):
            data = memoryview(chunk)
            await asyncio.to_thread(digest.update, data)
            size += len(data)
        return Committed(key, size, digest.hexdigest(), answer.meta["e_tag"])


def _digest(path: Path) -> tuple[int, str]:
    """Return size and SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), sha256


def _link(local: Path, target: Path, root: Path) -> None:
    """Let a file appear under a new name, whole or not at all, never over another; copy where links do not reach."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _open_to_umask(local)
    try:
        os.link(local, target)
    except FileExistsError:
        raise
    except OSError:
        _copy(local, target)
    _sync(target, root)


def _open_to_umask(local: Path) -> None:
    """Give a finished file the mode of any new one, 0644 under the usual umask: its link would keep the spool's 0600.

    In the spool nobody else reaches it: that is closed by its folders.
    """
    with contextlib.suppress(PermissionError):
        local.chmod(0o666 & ~_UMASK)


def _read_umask() -> int:
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


_UMASK = _read_umask()
"""Of this process, read once at import: it can only be read by setting it, which other threads would see."""


def _copy(local: Path, target: Path) -> None:
    """Copy a file beside its target, sync it and link it into place."""
    draft = target.with_name(f".part-{os.getpid()}-{threading.get_ident()}")
    try:
        with local.open("rb") as source, draft.open("xb") as copy:
            shutil.copyfileobj(source, copy, READ_BYTES)
            copy.flush()
            os.fsync(copy.fileno())
        try:
            os.link(draft, target)
        except FileExistsError:
            raise
        except OSError:
            _claim(draft, target)
    finally:
        draft.unlink(missing_ok=True)


def _claim(draft: Path, target: Path) -> None:
    """Move a draft onto a name reserved by an empty file, for file systems without links."""
    target.open("xb").close()
    draft.replace(target)


def _sync(target: Path, root: Path) -> None:
    """Make a new name last: sync the file and every folder from it up to the bucket's."""
    for path in (target, *target.parents):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        if path == root:
            return
