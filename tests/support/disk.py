"""A small file system of a test's own below a service's data folder; mounting asks for root, or sudo."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from support.database import private_folder
from support.instance import Instance


class Disk:
    """A small file system of a test's own: it can be filled, emptied, and made read-only."""

    def __init__(self, folder: Path, size: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        _as_root("mount", "-t", "tmpfs", "-o", f"size={size},mode=0700,uid={os.geteuid()}", "tmpfs", folder)

    def fill(self) -> None:
        """Take all the room there is."""
        with (self.folder / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
            while True:
                filler.write(bytes(4096))

    def free(self) -> None:
        """Give the room back."""
        (self.folder / "filler").unlink()

    def remount(self, how: str) -> None:
        """Make it `ro` or `rw`."""
        _as_root("mount", "-o", f"remount,{how}", self.folder)

    def remove(self) -> None:
        _as_root("umount", "-l", self.folder)


def _as_root(*command: object) -> None:
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    subprocess.run([*prefix, *map(str, command)], check=True)


@contextlib.contextmanager
def service_with_disk(where: str, size: str) -> Iterator[tuple[Instance, Disk]]:
    """Run a service with a small disk of its own at a place below its data folder."""
    with private_folder() as folder:
        running = Instance(folder)
        running.data.mkdir(mode=0o711)
        disk = Disk(running.data / where, size)
        try:
            running.start()
            yield running, disk
        finally:
            if running.process is not None and running.process.poll() is None:
                running.stop()
            disk.remove()
