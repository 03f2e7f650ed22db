"""Objects of ours that change while they stand in a bucket: manifests and playlists, never put over anybody else's.

The first time one is created and not overwritten; afterwards only the version we put last is replaced. What stands
there instead, and is not ours by its content either, is left alone. Versions are e-tags, or, in a folder, a file's
number, time and size.
"""

import asyncio
import os
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import ObjectStore

from soloist.model.errors import DestinationError
from soloist.storage.conditions import Conditions
from soloist.storage.errors import KeyTakenError
from soloist.storage.links import claim, sync
from soloist.wire.keys import content_type

if TYPE_CHECKING:
    from obstore import PutMode  # Only there: it is no name at run time.

LONGER_BYTES_MAX = 256 * 1024
"""How much longer an earlier version of ours may be than what is put now; what is longer still is not read: whoever
may write to a bucket knows our keys, and would have us read and parse whatever they put there."""
TRIES_MAX = 5
"""Of a put that finds another version of ours each time: a second recorder that has not noticed yet that it lost."""

IsOurs = Callable[[bytes], bool]
"""Tells whether some version of an object was put by us, from its bytes."""


def is_nobodys(_data: bytes) -> bool:
    """Tell of an object that is put once that nothing found in its place is ours."""
    return False


@dataclass(frozen=True, slots=True)
class _Found:
    """What stands under a key."""

    data: bytes
    version: str


class OwnedObjects:
    """Puts small objects into one bucket."""

    def __init__(self, store: ObjectStore, conditions: Conditions, folder: Path | None = None) -> None:
        self._store = store
        self._conditions = conditions
        self._folder = folder

    async def put(self, key: str, data: bytes, version: str, is_ours: IsOurs) -> str:
        """Put an object in place of `version`, empty if it was never put; return its new version.

        Doing it again is harmless. A version of ours that was put in between, or by an earlier process, is replaced as
        well; if it is gone, the object is created again.

        Raises:
            KeyTakenError: somebody else's object stands there.
            OSError, BaseError: the store refused.
        """
        for _ in range(TRIES_MAX):
            try:
                return await self._write(key, data, version)
            except (FileExistsError, AlreadyExistsError, PreconditionError):
                found = await self._read(key, len(data) + LONGER_BYTES_MAX)
            if found is None:
                version = ""
            elif found.data == data:
                return found.version
            elif not is_ours(found.data):
                raise KeyTakenError
            else:
                version = found.version
        raise DestinationError("Another recorder puts the same object again and again; is this one cut off?")

    async def _write(self, key: str, data: bytes, version: str) -> str:
        if self._folder is not None:
            return await asyncio.to_thread(_write_file, self._folder / key, data, version, self._folder)
        await self._conditions.learn(key.rpartition("/")[0])
        mode: PutMode = {"e_tag": version} if version else "create"
        if not (self._conditions.replaces_only if version else self._conditions.creates_only):
            await self._look(key, version)
            mode = "overwrite"
        attributes = {"Content-Type": content_type(key)}
        put = await obstore.put_async(self._store, key, data, mode=mode, attributes=attributes, use_multipart=False)
        return put["e_tag"] or ""

    async def _look(self, key: str, version: str) -> None:
        """Return if a key stands as it is expected to, for stores that do not look themselves."""
        try:
            meta = await obstore.head_async(self._store, key)
        except FileNotFoundError:
            if version:
                raise PreconditionError(f"{key} is gone") from None
            return
        if meta["e_tag"] != version:
            raise AlreadyExistsError(f"{key} is another version")

    async def _read(self, key: str, bytes_max: int) -> _Found | None:
        """Return what stands under a key; None for nothing.

        Raises:
            KeyTakenError: it is too long to be ours.
        """
        if self._folder is not None:
            return await asyncio.to_thread(_read_file, self._folder / key, bytes_max)
        try:
            answer = await obstore.get_async(self._store, key)
        except FileNotFoundError:
            return None
        if answer.meta["size"] > bytes_max:
            raise KeyTakenError
        return _Found(bytes(await answer.bytes_async()), answer.meta["e_tag"] or "")


def _write_file(target: Path, data: bytes, version: str, root: Path) -> str:
    """Put a file whole or not at all: under a new name, or in place of one version. Blocks on the disk.

    Raises:
        FileExistsError: another version stands there, or a link.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".part-{os.getpid()}-{threading.get_ident()}")
    try:
        with draft.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if not version:
            _create(draft, target)
        elif _version_of(target.lstat() if target.exists() else None) == version:
            draft.replace(target)
        else:
            raise FileExistsError
    finally:
        draft.unlink(missing_ok=True)
    sync(target, root)
    return _version_of(target.lstat())


def _create(draft: Path, target: Path) -> None:
    try:
        os.link(draft, target)
    except FileExistsError:
        raise
    except OSError:
        claim(draft, target)


def _read_file(path: Path, bytes_max: int) -> _Found | None:
    """Return a file's bytes.

    Raises:
        KeyTakenError: it is a link, a folder or too long, and so not ours.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeyTakenError from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size > bytes_max:
        os.close(descriptor)
        raise KeyTakenError
    with os.fdopen(descriptor, "rb") as file:
        return _Found(file.read(), _version_of(status))


def _version_of(status: os.stat_result | None) -> str:
    return f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}" if status else ""
