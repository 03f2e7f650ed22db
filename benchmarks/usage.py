"""What a process and all its descendants use, read from /proc: CPU in nanoseconds, memory in bytes."""

import os
from dataclasses import dataclass, field
from pathlib import Path

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """One look at a tree of processes."""

    cpu_ns: int
    """User and system time, of descendants that have ended too."""
    rss_bytes: int
    """Resident memory; what processes share counts in each."""
    pss_bytes: int
    """Resident memory; what processes share is split between them."""
    threads_ns: dict[str, int] = field(default_factory=dict)
    """CPU of living threads by process and thread name, where the kernel tells."""


def usage_of(root: int, *, with_memory: bool = False) -> Usage:
    """Return what the process `root` and its descendants have used so far."""
    tree = descendants(root)
    cpu = sum(_cpu_ticks(pid) for pid in tree) * TICK_NS
    threads: dict[str, int] = {}
    for pid in tree:
        for name, ns in _threads(pid):
            threads[name] = threads.get(name, 0) + ns
    memory = [_memory(pid) for pid in tree] if with_memory else []
    return Usage(cpu, sum(rss for rss, _ in memory), sum(pss for _, pss in memory), threads)


def memory_by_process(root: int) -> dict[str, int]:
    """Return resident memory (PSS) in bytes of the process `root` and its descendants, added up by what they are."""
    found: dict[str, int] = {}
    for pid in descendants(root):
        name = _name(pid)
        found[name] = found.get(name, 0) + _memory(pid)[1]
    return found


def descendants(root: int) -> list[int]:
    """Return `root` and everything below it."""
    found = [root]
    for pid in found:
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            found += [int(child) for child in _read(children).split()]
    return found


def _cpu_ticks(pid: int) -> int:
    # The second field is the name, which may hold spaces; fields 14 to 17 are user and system time, own and children's.
    fields = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return sum(int(value) for value in fields[11:15])


def _name(pid: int) -> str:
    process = _read(Path(f"/proc/{pid}/cmdline")).replace("\0", " ").split()
    words = [Path(word).name for word in process if not word.startswith("-")] or ["ended"]
    parts = ("recorder", "api", "serve", "postgres")
    return next((part for part in parts if any(part in word for word in words[:5])), words[0])


def _threads(pid: int) -> list[tuple[str, int]]:
    name = _name(pid)
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*"):
        ran = _read(task / "schedstat").split()
        if ran:
            thread = "main" if int(task.name) == pid else _read(task / "comm").strip()
            found.append((f"{name}/{thread}", int(ran[0])))
    return found


def _memory(pid: int) -> tuple[int, int]:
    sizes = {}
    for line in _read(Path(f"/proc/{pid}/smaps_rollup")).splitlines():
        name, _, value = line.partition(":")
        if name in ("Rss", "Pss"):
            sizes[name] = int(value.split()[0]) * 1024
    return sizes.get("Rss", 0), sizes.get("Pss", 0)


def _read(path: Path) -> str:
    """Return a file of /proc; empty if its process has just ended."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
