"""A child must not outlive its supervisor: the kernel is told to signal it when the parent dies."""

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1
"""Spec: prctl(2)."""

_LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """Have the kernel send us SIGTERM when the thread that started us is gone.

    For PostgreSQL that is a smart shutdown: it serves those who are connected until they leave, so recorders that drain
    for the same reason still reach it. Must run after any change of user, which clears it.
    """
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def is_orphan(supervisor_pid: int) -> bool:
    """Return whether the supervisor died before `die_with_parent` could take effect."""
    return os.getppid() != supervisor_pid
