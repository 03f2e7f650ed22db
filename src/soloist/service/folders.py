"""The data folder and the folder of sockets: made with the right modes, and held by one `serve` at a time.

The folder of sockets is ours alone, below one that may be the operator's; what we did not make is never removed.
"""

import contextlib
import fcntl
import os
import stat
from pathlib import Path
from typing import IO

from soloist.service.errors import StartError
from soloist.service.settings import SOCKET_PATH_BYTES_MAX, Settings

LONGEST_SOCKET = "pg/.s.PGSQL.5432.lock"
OUR_FILES = ("recorder-*.sock", "recorder-*.lock", "pg/.s.PGSQL.*")
"""What Soloist and its PostgreSQL put into the folder of sockets."""


def prepare_folders(settings: Settings) -> None:
    """Make the data and the runtime folder; what lies in them is open to their owner and PostgreSQL only.

    Raises:
        StartError: a folder cannot be made, is somebody else's, or is too long a path for a socket.
    """
    # Passing through is open to all, listing is not: PostgreSQL's user must reach its own folder below.
    mode = 0o711 if os.geteuid() == 0 else 0o700
    for folder in (settings.data, settings.runtime_dir):
        try:
            folder.mkdir(mode=mode, parents=True, exist_ok=True)
        except OSError as error:
            raise StartError(f"{folder} cannot be made: {error.strerror}. Choose another with --data.") from error
    _check_runtime(settings.runtime_dir, mode)


def _check_runtime(folder: Path, mode: int) -> None:
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise StartError(f"{folder} is not a folder of ours; remove it or name another in SOLOIST_RUNTIME.")
    folder.chmod(mode)
    if len(os.fsencode(folder / LONGEST_SOCKET)) > SOCKET_PATH_BYTES_MAX:
        raise StartError(f"{folder} is too long a path for sockets; name a shorter one in SOLOIST_RUNTIME.")


def remove_runtime(folder: Path) -> None:
    """Remove the sockets and locks of an instance that has stopped, and their folders if nothing else lies there."""
    ours = [path for pattern in OUR_FILES for path in folder.glob(pattern)]
    for path in ours:
        path.unlink(missing_ok=True)
    for emptied in (folder / "pg", folder):
        with contextlib.suppress(OSError):
            emptied.rmdir()


def hold_data(data: Path) -> IO[str]:
    """Lock the data folder for this process; the lock ends with the returned file or the process.

    Raises:
        StartError: another process holds it.
    """
    lock = (data / "serve.lock").open("a+", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise StartError(
            f"Another soloist serve (process {holder}) uses {data}. "
            "Stop it, or give this one its own folder with --data."
        ) from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock
