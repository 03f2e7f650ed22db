"""What a process of ours has used, as it tells in its health answer and in `/metrics`."""

import resource
from pathlib import Path


def process_usage() -> dict[str, float]:
    """Return CPU seconds since the start, user and system, and memory held now in bytes."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return {"cpu_seconds": used.ru_utime + used.ru_stime, "resident_bytes": pages * resource.getpagesize()}
