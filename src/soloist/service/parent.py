"""Parent and child: a child ends when its supervisor does, and tells it when it is ready."""

import contextlib
import ctypes
import json
import os
import signal

from soloist.service.errors import StartError

PR_SET_PDEATHSIG = 1
"""Spec: prctl(2)."""

PR_SET_NO_NEW_PRIVS = 38
"""Likewise: no program we start gets more than we have."""

SUPERVISOR_PID = "SOLOIST_SUPERVISOR_PID"
READY_FD = "SOLOIST_READY_FD"

_LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """Have the kernel send us SIGTERM when the thread that started us is gone.

    For PostgreSQL that is a smart shutdown: it serves those who are connected until they leave, so recorders that drain
    for the same reason still reach it. Must run after any change of user, which clears it.
    """
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def is_supervised() -> bool:
    """Return whether a supervisor started this process."""
    return SUPERVISOR_PID in os.environ


def follow_supervisor() -> None:
    """Bind our life to the supervisor's, if one started us.

    Raises:
        StartError: it died before that took effect.
    """
    supervisor = os.environ.get(SUPERVISOR_PID)
    if supervisor is None:
        return
    die_with_parent()
    _LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != int(supervisor):
        raise StartError("the supervisor is gone")


def tell_ready(**addresses: object) -> None:
    """Tell the supervisor, if one waits, that we serve, and where."""
    descriptor = os.environ.pop(READY_FD, None)
    if descriptor is None:
        return
    with contextlib.suppress(OSError), os.fdopen(int(descriptor), "w", encoding="utf-8") as pipe:
        json.dump(addresses, pipe)
