"""Sound and picture merged into one sequence by time.

A file can then be cut at an instant, with each sample on its right side. A track that lags behind, or sends nothing,
holds the other one up for `lag_ns` at most. Pure; time is that of the samples.
"""

from collections.abc import Iterable

from soloist.model.media import Kind, Sample

LAG_NS = 200_000_000


class Interleaver:
    """Holds the samples of the track that is ahead until the other has caught up."""

    def __init__(self, *, lag_ns: int = LAG_NS) -> None:
        self._lag_ns = lag_ns
        self._held: list[tuple[int, Sample]] = []
        self._reached_ns: dict[Kind, int] = {}
        self._expected = frozenset(Kind)

    def expect(self, kinds: frozenset[Kind]) -> None:
        """Say which tracks there may be: none waits for one that nobody sends."""
        self._expected = kinds

    def push(self, samples: Iterable[Sample]) -> list[Sample]:
        """Add samples, each track in time order; return those that nothing earlier can follow, in time order."""
        for sample in samples:
            at_ns = sample.pts_ns
            self._held.append((at_ns, sample))
            self._reached_ns[sample.kind] = at_ns
        if not self._held:
            return []
        newest_ns = max(self._reached_ns.values())
        flowing = {kind: at_ns for kind, at_ns in self._reached_ns.items() if at_ns > newest_ns - self._lag_ns}
        is_whole = self._expected <= flowing.keys()
        return self._release(min(flowing.values()) if is_whole else newest_ns - self._lag_ns)

    def flush(self) -> list[Sample]:
        """Return everything held: nothing more will come, or no one waits for it."""
        return self._release(None)

    def _release(self, until_ns: int | None) -> list[Sample]:
        self._held.sort(key=lambda entry: entry[0])
        count = len(self._held) if until_ns is None else _count_until(self._held, until_ns)
        out = [sample for _, sample in self._held[:count]]
        del self._held[:count]
        return out


def _count_until(held: list[tuple[int, Sample]], until_ns: int) -> int:
    return next((n for n, (at_ns, _) in enumerate(held) if at_ns > until_ns), len(held))
