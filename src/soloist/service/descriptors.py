"""How many files and sockets a process may have open: as many as the system lets it, and what that is enough for."""

import resource

import structlog

log = structlog.get_logger("soloist.service")

DESCRIPTORS_MAX = 1 << 20
"""More is never needed, and some libraries keep a table of as many."""
OWN_NEEDS = 256
"""Kept for the database, the recorders' sockets, logs and the moments between a connection and its refusal."""


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open descriptors to the hard one and return it; children inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_MAX if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_MAX)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def connections_within(wanted: int) -> int:
    """Return how many connections there may be, of `wanted`, under this process's limit of descriptors.

    Each may need one more descriptor, of a file that is read or of a recorder that is asked. If that is fewer than the
    operator asks for, the log says so.
    """
    limit = raise_descriptor_limit()
    possible = max(1, (limit - OWN_NEEDS) // 2)
    if possible < wanted:
        log.warning(
            "descriptors_few",
            limit=limit,
            connections_max=possible,
            wanted=wanted,
            remedy=f"let the process open {2 * wanted + OWN_NEEDS} files: LimitNOFILE= of its unit, or ulimit -n",
        )
    return min(wanted, possible)
