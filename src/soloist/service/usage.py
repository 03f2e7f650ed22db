"""What a process of ours has used, as it tells in its health answer and in `/metrics`."""

import resource
from pathlib import Path


def process_usage() -> dict[str, float]:
    """Return CPU seconds since the start, user and system, bytes of memory, descriptors open and at most."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "resident_bytes": resident_bytes(),
        "descriptors": sum(1 for _ in Path("/proc/self/fd").iterdir()),
        "descriptors_max": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    }


def resident_bytes() -> int:
    """Return the memory this process holds now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()
