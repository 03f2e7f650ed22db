"""How many connections there may be, in all and from one source, and which of them makes room for another.

A connection on which no whole request has arrived yet holds nothing of value: when a source is at its bound, its
longest waiting one is ended for the new one, so that a thousand connections that are idle, or send their bodies a byte
at a time, keep nobody out, not even their neighbours. In all, the source with the most gives one up. Only when every
one is at work is the new one refused.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from soloist.wire.source import is_within, limit_key, parse_address, parse_networks


class Droppable(Protocol):
    """A connection."""

    def drop(self) -> None:
        """End it at once."""


@dataclass(slots=True)
class _Source:
    idle: OrderedDict[Droppable, None] = field(default_factory=OrderedDict)
    """Those that wait for a request, the longest waiting first."""
    busy: set[Droppable] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.idle) + len(self.busy)


class Connections:
    """The connections of one server; see the module."""

    def __init__(self, *, total_max: int, per_source_max: int, proxies: Iterable[str] = ()) -> None:
        """`proxies` are networks of proxies in front: whoever is behind one is bounded elsewhere, by request."""
        self.total_max = total_max
        self._per_source_max = per_source_max
        self._proxies = parse_networks(proxies)
        self._sources: dict[str, _Source] = {}
        self._count = 0
        self.refusals: Counter[str] = Counter()
        """What was refused or ended before there was a request, by reason."""

    def __len__(self) -> int:
        return self._count

    def admit(self, connection: Droppable, peer: str) -> str | None:
        """Take a new connection in and return what its source is counted as; None if there is no room."""
        key = limit_key(peer)
        source = self._sources.get(key)
        if source and len(source) >= self._per_source_max and not is_within(parse_address(peer), self._proxies):
            if not self._make_room(source, "source_connections"):
                return None
        elif self._count >= self.total_max:
            largest = max((each for each in self._sources.values() if each.idle), key=len, default=None)
            if largest is None or not self._make_room(largest, "connections"):
                self.refusals["connections"] += largest is None
                return None
        self._sources.setdefault(key, _Source()).idle[connection] = None
        self._count += 1
        return key

    def _make_room(self, source: _Source, reason: str) -> bool:
        self.refusals[reason] += 1
        if not source.idle:
            return False
        connection, _ = source.idle.popitem(last=False)
        self._count -= 1
        connection.drop()
        return True

    def works(self, connection: Droppable, key: str) -> None:
        """Note that a whole request has arrived on a connection."""
        source = self._sources.get(key)
        if source and source.idle.pop(connection, self) is None:
            source.busy.add(connection)

    def waits(self, connection: Droppable, key: str) -> None:
        """Note that a connection waits for its next request."""
        source = self._sources.get(key)
        if source and connection in source.busy:
            source.busy.remove(connection)
            source.idle[connection] = None

    def leave(self, connection: Droppable, key: str) -> None:
        """Note that a connection has ended."""
        source = self._sources.get(key)
        if source is None:
            return
        if source.idle.pop(connection, self) is None or _discard(source.busy, connection):
            self._count -= 1
        if not len(source):
            del self._sources[key]

    def figures(self) -> dict[str, float]:
        """Return the bound and how much of it is used."""
        return {"connections": self._count, "connections_max": self.total_max}


def _discard(connections: set[Droppable], connection: Droppable) -> bool:
    if connection not in connections:
        return False
    connections.remove(connection)
    return True


def unbounded() -> Connections:
    """Return what bounds nothing."""
    return Connections(total_max=1 << 30, per_source_max=1 << 30)
