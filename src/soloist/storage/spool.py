"""Local files while they are written and until they stand in a bucket: `<data>/spool/<job_id>/<epoch>/<name>`.

Every path is built from checked parts and files are made so that no link can lead elsewhere. A file is removed only
against the proof that its bytes are committed (rule R25). Blocking calls: threads, not the event loop.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from soloist.model.errors import InternalError, InvalidValueError
from soloist.model.ids import JobId, parse_id
from soloist.storage.bucket import Committed

MEDIA_SUFFIXES = frozenset({".mp4", ".webm", ".ts", ".m4s"})
NAME_PATTERN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}")


@dataclass(frozen=True, slots=True)
class SpooledFile:
    """A file found in the spool."""

    job_id: JobId
    epoch: int
    path: Path
    size_bytes: int


class Spool:
    """The spool of one data directory."""

    def __init__(self, root: Path) -> None:
        """`root` is `<data>/spool`; it is made, for this user alone, when first needed."""
        self._root = root

    def folder(self, job_id: str, epoch: int) -> Path:
        """Return the folder of one epoch of a job, making it if it is not there.

        Raises:
            InvalidValueError: `job_id` is not an id, or `epoch` is negative.
            InternalError: the disk refused the folder.
        """
        if epoch < 0:
            raise InvalidValueError("epoch must not be negative")
        folder = self._root / parse_id(job_id, "job_id") / str(epoch)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in (folder, folder.parent, self._root):
                sync_folder(path)
        except OSError as error:
            raise _refused(error) from error
        return folder

    def create(self, job_id: str, epoch: int, name: str) -> Path:
        """Make a new, empty file and return its path; a muxer may then open it by that path.

        Raises:
            InvalidValueError: `name` is not one plain file name, or an id is not one.
            InternalError: a file of that name exists, or the disk refused it.
        """
        if not NAME_PATTERN.fullmatch(name):
            raise InvalidValueError("spool file: 1 to 200 characters of A-Z a-z 0-9 _ . - and no leading dot")
        path = self.folder(job_id, epoch) / name
        try:
            _create(path)
        except FileNotFoundError:
            # `remove` took the folder away between the two steps, because it had become empty.
            path = self.folder(job_id, epoch) / name
            _create(path)
        return path

    def files(self) -> Iterator[SpooledFile]:
        """Yield every regular file in the spool by job, epoch and name; anything that is not ours is passed over."""
        for path in sorted(self._root.glob("*/*/*")):
            job_id, epoch = path.parts[-3:-1]
            with suppress(InvalidValueError, OSError):
                if epoch.isdecimal() and not path.is_symlink() and path.is_file():
                    yield SpooledFile(JobId(parse_id(job_id, "job_id")), int(epoch), path, path.stat().st_size)

    def paths_of(self, job_id: str, epoch: int) -> list[Path]:
        """Return what lies in the folder of one epoch of a job."""
        return list((self._root / parse_id(job_id, "job_id") / str(epoch)).glob("*"))

    def earlier_epochs(self, job_id: str, epoch: int | None = None) -> list[Path]:
        """Return the folders that epochs before `epoch` of a job left behind, oldest first; without it, all.

        Raises:
            InvalidValueError: `job_id` is not an id.
        """
        found = (path for path in (self._root / parse_id(job_id, "job_id")).glob("*") if path.name.isdecimal())
        earlier = (path for path in found if epoch is None or int(path.name) < epoch)
        return sorted(earlier, key=lambda path: int(path.name))

    def remove(self, path: Path, committed: Committed) -> None:
        """Remove a file whose bytes stand in a bucket, and its folders once they are empty.

        Harmless if the file is gone already.

        Raises:
            InternalError: the file is not in this spool, or not as large as what was committed.
        """
        if self._root not in path.parents or ".." in path.parts:
            raise InternalError(f"{path.name} is not in the spool and was not removed.")
        try:
            if path.lstat().st_size != committed.size:
                raise InternalError(f"{path.name} differs from its committed object and was not removed.")
            path.unlink()
        except FileNotFoundError:
            pass
        except OSError as error:
            raise _refused(error) from error
        self.remove_folder(path.parent)

    @staticmethod
    def remove_folder(folder: Path) -> None:
        """Remove an epoch's folder, and its job's, if they are empty."""
        for empty in (folder, folder.parent):
            with suppress(OSError):
                empty.rmdir()

    def usage(self) -> dict[str, int]:
        """Return how many media files are in the spool and how many bytes its disk still takes, by name."""
        epochs = (epoch for job in _entries(self._root) for epoch in _entries(job))
        count = sum(1 for epoch in epochs for path in _entries(epoch) if path.suffix in MEDIA_SUFFIXES)
        return {"spool_files": count, "spool_free_bytes": self.free_bytes()}

    def free_bytes(self) -> int:
        """Return how many bytes this user may still write to the spool's disk."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        return shutil.disk_usage(self._root).free


def _create(path: Path) -> None:
    """Make a new, empty file.

    Raises:
        FileNotFoundError: its folder is not there.
        InternalError: it exists, or the disk refused it.
    """
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
        sync_folder(path.parent)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _refused(error) from error


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last through a power failure."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _refused(error: OSError) -> InternalError:
    """Return what to raise when the spool's own disk fails."""
    return InternalError(f"The spool refused a file ({error.strerror}); check the data directory's disk.")


def _entries(folder: Path) -> list[Path]:
    """Return what a folder holds; nothing if it was removed, as epochs of jobs that end are, or is none."""
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
