"""Who is let in: what a recorder's load makes of its state, and whether one more job may start.

Pure decisions over numbers that others measured. Rule R44: new work is refused before a running recording suffers, and
of those who ask, first the project that has more than its share.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class LoadState(StrEnum):
    """What a recorder can still take."""

    OK = "ok"
    SHEDDING = "shedding"
    """Nearly full: it sheds side outputs, and takes jobs of projects within their share only."""
    FULL = "full"
    """It takes no new job until there is room again; publishers of those that run may still come."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a recorder carries at one moment."""

    cpu_io: float = 0.0
    """Share of one core its I/O thread used of late."""
    cpu_media: float = 0.0
    queue_age_ms: float = 0.0
    """How long what has just arrived waits for the media thread."""
    queue_bytes: int = 0
    memory_bytes: int = 0
    descriptors: int = 0


@dataclass(frozen=True, slots=True)
class LoadLimits:
    """What it cannot exceed."""

    queue_bytes: int
    memory_bytes: int
    descriptors: int


@dataclass(frozen=True, slots=True)
class Condition:
    """A recorder's state and, unless it is OK, what made it so."""

    state: LoadState = LoadState.OK
    reason: str = ""


FULL_CPU = 0.95
FULL_QUEUE_AGE_MS = 1600.0
"""Above that the core soon lets go of frames: it holds those of a session for two seconds while the reader reads."""
FULL_SHARE = 0.9
"""Of memory, descriptors and the queue's bytes."""
SHEDDING_AT = {"cpu_io": 0.9, "cpu_media": 0.9, "queue_age_ms": 0.5, "queue_bytes": 0.5}
"""Part of the full mark at which shedding begins; 0.9 for what is not named."""
RETURN_AT = 0.85
"""Part of a mark below which everything must have fallen before its state is left: what swings about it stays put."""


def condition_after(before: LoadState, load: Load, limits: LoadLimits) -> Condition:
    """Return the condition that `load` leaves a recorder in that was in state `before`."""
    filled = _filled(load, limits)
    nearly = {name: part / SHEDDING_AT.get(name, 0.9) for name, part in filled.items()}
    for state, parts in ((LoadState.FULL, filled), (LoadState.SHEDDING, nearly)):
        holds = before is state or before is LoadState.FULL
        worst = max(parts, key=parts.__getitem__)
        if parts[worst] >= (RETURN_AT if holds else 1.0):
            return Condition(state, _words(worst, load, limits))
    return Condition()


def _filled(load: Load, limits: LoadLimits) -> dict[str, float]:
    """Return each measure as a part of its full mark."""
    return {
        "cpu_io": load.cpu_io / FULL_CPU,
        "cpu_media": load.cpu_media / FULL_CPU,
        "queue_age_ms": load.queue_age_ms / FULL_QUEUE_AGE_MS,
        "queue_bytes": load.queue_bytes / (FULL_SHARE * limits.queue_bytes),
        "memory_bytes": load.memory_bytes / (FULL_SHARE * limits.memory_bytes),
        "descriptors": load.descriptors / (FULL_SHARE * limits.descriptors),
    }


def _words(name: str, load: Load, limits: LoadLimits) -> str:
    return {
        "cpu_io": f"its I/O thread uses {load.cpu_io:.0%} of a core",
        "cpu_media": f"its media thread uses {load.cpu_media:.0%} of a core",
        "queue_age_ms": f"media waits {load.queue_age_ms / 1000:.1f} s to be written",
        "queue_bytes": f"{load.queue_bytes >> 20} of {limits.queue_bytes >> 20} MiB wait to be written",
        "memory_bytes": f"it holds {load.memory_bytes >> 20} of {limits.memory_bytes >> 20} MiB of memory",
        "descriptors": f"it holds {load.descriptors} of {limits.descriptors} descriptors",
    }[name]


@dataclass(frozen=True, slots=True)
class Quota:
    """What a project may keep; 0 for any amount."""

    jobs_max: int = 0
    """Rows of jobs, live ones among them."""
    files_max: int = 0
    """Completed files of those jobs."""
    gigabytes_max: float = 0.0
    """Their size, in 10^9 bytes."""
    hours_max: float = 0.0
    """Their length."""

    @property
    def is_set(self) -> bool:
        """Whether anything is bounded."""
        return bool(self.jobs_max) or self.bounds_files

    @property
    def bounds_files(self) -> bool:
        """Whether anything is bounded for which files are counted."""
        return any((self.files_max, self.gigabytes_max, self.hours_max))


@dataclass(frozen=True, slots=True)
class Shares:
    """What a project and a recorder may have."""

    live_per_project_max: int = 1000
    """INIT and RUNNING jobs together."""
    recordings_per_project_max: int = 500
    """Of them those whose participant publishes at this moment, on all recorders together."""
    jobs_per_recorder_max: int = 5000
    """Jobs of all projects that one recorder holds, waiting or recording."""
    quota: Quota = Quota()
    """What it may keep."""


SILENT_S_MAX = 60.0
"""A recorder that was not heard of for so long takes no job; less is a restart."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known when a job is to start: of its project, and of its room's recorder."""

    live_count: int
    """Live jobs of the project."""
    recordings_count: int = 0
    """Recordings of the project that write, on all recorders."""
    held_count: int = 0
    """Jobs the recorder holds."""
    untaken_count: int = 0
    """Jobs of the project that wait in the recorder's queue."""
    condition: Condition = field(default_factory=Condition)
    writing: Mapping[str, int] = field(default_factory=dict)
    """Recordings on this recorder that write, by project."""
    is_silent: bool = False
    """The recorder was not heard of for `SILENT_S_MAX`."""


def refusal(project_id: str, standing: Standing, shares: Shares) -> str | None:
    """Return why one more job of a project may not start, naming the limit and the remedy; None if it may."""
    return _project_is_full(standing, shares) or _recorder_is_full(project_id, standing, shares)


def _project_is_full(standing: Standing, shares: Shares) -> str | None:
    if standing.live_count >= shares.live_per_project_max:
        return f"project has {shares.live_per_project_max} live jobs, which is its limit; stop one or raise the limit"
    if standing.recordings_count >= shares.recordings_per_project_max:
        return (
            f"project records {shares.recordings_per_project_max} streams at this moment, which is its limit; "
            "stop a job or raise the limit"
        )
    return None


def _recorder_is_full(project_id: str, standing: Standing, shares: Shares) -> str | None:
    reason = standing.condition.reason
    if standing.held_count >= shares.jobs_per_recorder_max:
        return f"the room's recorder holds {shares.jobs_per_recorder_max} jobs, its limit; stop one or add recorders"
    if standing.is_silent:
        return "the room's recorder does not run; try again later, and see the server's health"
    if standing.condition.state is LoadState.FULL:
        return f"the room's recorder is full ({reason}); try again later or add recorders"
    if standing.condition.state is LoadState.SHEDDING and has_more_than_its_share(project_id, standing.writing):
        return (
            f"the room's recorder is nearly full ({reason}) and the project has its share of it; "
            "stop a job or try again later"
        )
    return None


def has_more_than_its_share(project_id: str, writing: Mapping[str, int]) -> bool:
    """Return whether a project records at least its equal part of what a recorder records, beside other projects."""
    others = [count for project, count in writing.items() if project != project_id and count]
    ours = writing.get(project_id, 0)
    return bool(others) and ours * (len(others) + 1) > ours + sum(others)
