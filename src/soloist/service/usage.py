"""What a process of ours has used, as it tells in its health answer and in `/metrics`."""

import resource
from pathlib import Path


def process_usage() -> dict[str, float]:
    """Return CPU seconds since the start, user and system, and memory held now in bytes."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"cpu_seconds": used.ru_utime + used.ru_stime, "resident_bytes": resident_bytes()}


def resident_bytes() -> int:
    """Return the memory this process holds now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()
