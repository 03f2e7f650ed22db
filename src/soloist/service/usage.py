"""What a process of ours has used, as it tells in its health answer and in `/metrics`."""

import asyncio
import ctypes
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


async def give_back(every_s: float = 60.0) -> None:
    """Return to the system, again and again, what glibc keeps of moments in which many files ended together."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    while trim is not None:  # Other C libraries keep less.
        await asyncio.sleep(every_s)
        await asyncio.to_thread(trim, 0)
    await asyncio.Event().wait()
