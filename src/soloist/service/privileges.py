"""Who the processes run as that strangers reach: the api and the recorders give root up before they read anything.

As root the supervisor stays root, for it has to start others again; it listens to signals only. Its children run as the
system user `soloist`, which PostgreSQL runs as too, or as `SOLOIST_RUN_AS` says, without a way back (no_new_privs).
Spec: setpriv(1), capabilities(7), prctl(2).
"""

import os
import pwd
import resource
import shutil
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import structlog

import soloist
from soloist.service.binaries import Account, postgres_account
from soloist.service.errors import StartError
from soloist.service.settings import Settings

log = structlog.get_logger("soloist.supervisor")

ROOT = "root"
PRIVILEGED_PORTS = range(1, 1024)
RMEM_MAX = Path("/proc/sys/net/core/rmem_max")
SOCKET_BUFFER_BYTES = 32 * 1024 * 1024
"""What a recorder wants its socket to hold; beyond the kernel's limit only CAP_NET_ADMIN may. Spec: socket(7)."""
FOLDERS_LOOKED_AT_MAX = 5000
CAPABILITIES = {
    "chown": 0,
    "dac_read_search": 2,
    "setgid": 6,
    "setuid": 7,
    "setpcap": 8,
    "net_bind_service": 10,
    "net_admin": 12,
}
"""Spec: linux/capability.h."""
NEEDED = ("chown", "setgid", "setuid", "setpcap")
"""To give folders away, and to become another user who keeps no more than is told."""
SETS = ("CapPrm", "CapBnd")


def leave_no_dumps() -> None:
    """Have no process of ours write its memory, and with it secrets, to the disk when it crashes."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def child_launcher(settings: Settings) -> list[str]:
    """Return the command that our own children's is appended to, so that they run unprivileged; empty if they do not.

    Makes spool, default storage and sockets the user's. Development mode runs as whoever starts it, unless told.

    Raises:
        StartError: `SOLOIST_RUN_AS` names a user that is not there, or that cannot run here.
    """
    if os.geteuid() != 0:
        if settings.run_as not in {"", pwd.getpwuid(os.geteuid()).pw_name}:
            raise StartError("SOLOIST_RUN_AS names another user; only root can run processes as that. Leave it out.")
        return []
    if settings.run_as == ROOT or (settings.dev and not settings.run_as):
        return []
    try:
        _require_capabilities()
        account = _account(settings.run_as)
        _hand_over(settings, account)
        return _command(settings, account)
    except (StartError, OSError) as error:  # Such as a user the container's user namespace has no number for.
        if settings.run_as:
            raise error if isinstance(error, StartError) else StartError(f"SOLOIST_RUN_AS: {error}") from error
        log.warning("runs_as_root", reason=str(error))
        return []


def _require_capabilities() -> None:
    own = _own_capabilities()
    if lacking := [name for name in NEEDED if CAPABILITIES[name] not in own]:
        raise StartError(
            f"root lacks {', '.join(lacking)} here, as in a container, and cannot become another user: start as that "
            "user, or set SOLOIST_RUN_AS=root"
        )


def _account(name: str) -> Account:
    if not name:
        account = postgres_account()
        assert account is not None, "root has one"  # noqa: S101 - for the type checker
        return account
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise StartError(f"SOLOIST_RUN_AS: there is no user {name}; make it with: useradd --system {name}") from None
    if entry.pw_uid == 0:
        raise StartError(f"SOLOIST_RUN_AS: {name} is root by another name; name an unprivileged user")
    return Account(entry.pw_uid, entry.pw_gid)


def _hand_over(settings: Settings, account: Account) -> None:
    """Give the user what only our processes write to. A folder that is not root's was given before, or is theirs."""
    settings.runtime_dir.chmod(0o771)
    os.chown(settings.runtime_dir, 0, account.gid)
    for name in ("node_id", "object_key"):
        if (settings.data / name).exists():
            os.chown(settings.data / name, account.uid, account.gid)
    folders = [settings.data / "spool"]
    if not settings.storage:
        folders.append(settings.data / "storage")
    for folder in folders:
        folder.mkdir(mode=0o700 if folder.name == "spool" else 0o755, exist_ok=True)
        if folder.lstat().st_uid == 0:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, account.uid, account.gid, follow_symlinks=False)


def _command(settings: Settings, account: Account) -> list[str]:
    """Return setpriv's command.

    Raises:
        StartError: the user could not write recordings, or setpriv is not installed.
    """
    for place in settings.storage_locations.values():
        closed = next(_unwritable(place, account), None) if isinstance(place, Path) else None
        if closed is not None:
            owner = pwd.getpwuid(account.uid).pw_name
            raise StartError(
                f"the storage folder {closed} is not writable for user {owner}: run chown -R {owner} {place}, or set "
                "SOLOIST_RUN_AS=root to go on as root"
            )
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise StartError("setpriv is missing: install the package util-linux")
    kept = _capabilities(settings, account)
    command = [setpriv, f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups", "--no-new-privs"]
    wanted = ",".join(["-all", *(f"+{name}" for name in kept)])
    command += [f"--inh-caps={wanted}", f"--ambient-caps={wanted}", f"--bounding-set={wanted}"]
    log.info("children_unprivileged", user=pwd.getpwuid(account.uid).pw_name, capabilities=kept)
    return [*command, "--"]


def _capabilities(settings: Settings, account: Account) -> list[str]:
    """Return the few that this installation needs; each can be made needless, and the log says how."""
    kept: list[str] = []
    own = _own_capabilities()
    if {settings.port, settings.media_port} & set(PRIVILEGED_PORTS):
        kept.append("net_bind_service")
    if CAPABILITIES["net_admin"] in own and int(RMEM_MAX.read_text(encoding="ascii")) < SOCKET_BUFFER_BYTES:
        kept.append("net_admin")
        log.warning(
            "capability_kept", capability="net_admin", remedy=f"sysctl -w net.core.rmem_max={SOCKET_BUFFER_BYTES}"
        )
    if closed := _unreadable(settings, account):
        kept.append("dac_read_search")
        remedy = "install Soloist where every user may read it, and give the user its TLS key"
        log.warning(
            "capability_kept", capability="dac_read_search", closed=[str(path) for path in closed], remedy=remedy
        )
    if lacking := [name for name in kept if CAPABILITIES[name] not in own]:
        raise StartError(
            f"root lacks {', '.join(lacking)} here, as in a container, which an unprivileged user would need"
        )
    return kept


def _own_capabilities() -> frozenset[int]:
    """Return the numbers of the capabilities that we may pass on: a container's root lacks some."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    held = {name: int(value, 16) for name, _, value in (line.partition(":\t") for line in lines) if name in SETS}
    return frozenset(number for number in range(64) if all(mask >> number & 1 for mask in held.values()))


def _unreadable(settings: Settings, account: Account) -> list[Path]:
    """Return what is in the user's way to the programs and files a child reads."""
    paths = [Path(sys.executable), Path(soloist.__file__), settings.data / "spool", settings.runtime_dir / "socket"]
    keys = [path for path in (settings.tls_cert, settings.tls_key) if path is not None]
    barriers = [barrier for path in (*paths, *keys) if (barrier := account.barrier(path))]
    return list(dict.fromkeys([*barriers, *(key for key in keys if not _may(account, key, 0o4))]))


def _unwritable(location: Path, account: Account) -> Iterator[Path]:
    """Yield the folders of a storage location that the user may not write to, as far as is looked."""
    there = location if location.exists() else next(folder for folder in location.parents if folder.exists())
    if barrier := account.barrier(there / "bucket"):
        yield barrier
    yield from (folder for folder in _folders(there, deep=there == location) if not _may(account, folder, 0o3))


def _folders(top: Path, *, deep: bool) -> Iterable[Path]:
    yield top
    if deep:
        found = (Path(above) / name for above, names, _ in os.walk(top) for name in names)
        yield from (folder for folder in islice(found, FOLDERS_LOOKED_AT_MAX) if not folder.is_symlink())


def _may(account: Account, path: Path, bits: int) -> bool:
    """Return whether the mode bits let a user do what `bits` (of rwx) say."""
    status = path.stat()
    shift = 6 if status.st_uid == account.uid else 3 if status.st_gid == account.gid else 0
    return status.st_mode >> shift & bits == bits
