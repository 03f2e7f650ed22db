"""Publishers that are not connected yet, and how many of everything a recorder and a project may have.

A publisher counts once it is connected. Until then it is pending, which costs a session for ten seconds at most.
Pending ones are few for each stream, the newer replacing the oldest, and bounded for each project and in all.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from soloist.model.errors import SourceError
from soloist.sources.ingest import StreamKey

PENDING_PER_STREAM_MAX = 2


class RoomsFullError(SourceError):
    """This recorder holds as many rooms or publishers as it may; try again later or raise the limit."""


@dataclass(frozen=True, slots=True)
class RoomLimits:
    """What one recorder admits. A project below an even share of a limit is admitted beyond it."""

    rooms_max: int = 1000
    rooms_per_project_max: int = 500
    publishers_per_room_max: int = 500
    """The vendor's limit of users in a room. Spec: API section 2.6."""
    pending_max: int = 500
    pending_per_project_max: int = 500
    """A full room whose publishers all join at nine o'clock."""


@dataclass(frozen=True, slots=True)
class Pending:
    """One who has an answer and is not connected."""

    session: int
    key: StreamKey
    project: str


class Joining:
    """Who is pending."""

    def __init__(self, limits: RoomLimits) -> None:
        self._limits = limits
        self._pending: dict[int, Pending] = {}
        self.replaced_count = 0
        """Pending ones that made room for a newer one of their stream."""
        self.refused_count = 0
        """Publishers refused because a limit was reached."""

    @property
    def count(self) -> int:
        """How many are pending."""
        return len(self._pending)

    def add(self, pending: Pending) -> list[int]:
        """Take one in; return the sessions of its stream that make room, oldest first."""
        of_stream = [one.session for one in self._pending.values() if one.key == pending.key]
        leaving = of_stream[: max(0, len(of_stream) + 1 - PENDING_PER_STREAM_MAX)]
        self.replaced_count += len(leaving)
        self._pending[pending.session] = pending
        return leaving

    def pop(self, session: int) -> Pending | None:
        """Take one out: connected, gone or replaced."""
        return self._pending.pop(session, None)

    def of_room(self, app_id: str, room_id: str) -> list[Pending]:
        """Return the pending ones of a room, oldest first."""
        return [one for one in self._pending.values() if one.key[:2] == (app_id, room_id)]

    def check(self, project: str, room_projects: Iterable[str], *, is_new_room: bool, in_room: int) -> None:
        """Refuse one more publisher where a limit is reached; `room_projects` has the project of each room.

        Raises:
            RoomsFullError: the message names the limit.
        """
        limits = self._limits
        refusal = None
        if in_room >= limits.publishers_per_room_max:
            refusal = f"the room holds {limits.publishers_per_room_max} publishers, its limit"
        elif is_new_room:
            rooms, each = Counter(room_projects), limits.rooms_per_project_max
            refusal = _refusal("rooms", rooms, project, whole=limits.rooms_max, each=each)
        pending, each = Counter(one.project for one in self._pending.values()), limits.pending_per_project_max
        refusal = refusal or _refusal("publishers that connect", pending, project, whole=limits.pending_max, each=each)
        if refusal is not None:
            self.refused_count += 1
            raise RoomsFullError(refusal)


def _refusal(what: str, held: Counter[str], project: str, *, whole: int, each: int) -> str | None:
    """Return why one more is refused: beyond a project's own limit, or beyond the whole and an even share of it."""
    if held[project] >= each:
        return f"the project has {each} {what} here, its limit; try again later"
    if held.total() >= whole and held[project] >= whole // len({*held, project}):
        return f"this recorder holds {whole} {what}, its limit; try again later"
    return None
