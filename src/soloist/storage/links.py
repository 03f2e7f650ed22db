"""Finished files that appear in a folder under a second name: no copy of gigabytes, create-only by nature (ADR 0005).

Blocking calls: threads, not the event loop.
"""

import contextlib
import os
import shutil
import threading
from pathlib import Path

COPY_BYTES = 1024 * 1024


def link(local: Path, target: Path, root: Path) -> None:
    """Let a file appear under a new name, whole or not at all, never over another; copy where links do not reach."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _open_to_umask(local)
    try:
        os.link(local, target)
    except FileExistsError:
        raise
    except OSError:
        _copy(local, target)
    sync(target, root)


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
            shutil.copyfileobj(source, copy, COPY_BYTES)
            copy.flush()
            os.fsync(copy.fileno())
        try:
            os.link(draft, target)
        except FileExistsError:
            raise
        except OSError:
            claim(draft, target)
    finally:
        draft.unlink(missing_ok=True)


def claim(draft: Path, target: Path) -> None:
    """Move a draft onto a name reserved by an empty file, for file systems without links."""
    target.open("xb").close()
    draft.replace(target)


def sync(target: Path, root: Path) -> None:
    """Make a new name last: sync the file and every folder from it up to the bucket's."""
    for path in (target, *target.parents):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        if path == root:
            return
