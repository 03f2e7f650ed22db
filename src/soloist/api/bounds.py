"""What the edge holds for others at once, bodies and downloads, in all and for each source, and what it refused.

A share that one source cannot exceed keeps the rest for everybody else. Refusals are counted by their reason, which is
what `/metrics` shows.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NoReturn

from soloist.api.errors import BusyError

RETRY_AFTER_S = 1
UNBOUNDED = 1 << 30


@dataclass(slots=True)
class Pool:
    """Something of which there is only so much, and of which each source may have only a part."""

    noun: str
    """What a refusal calls it."""
    total_max: int
    per_source_max: int
    on_refusal: Callable[[str], None] = lambda _: None
    """Told `total` or `source`: whose bound it was."""
    source_noun: str = "from one address"
    used: int = 0
    _by_source: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def holding(self, source: str) -> Iterator["Held"]:
        """Yield what takes from the pool for a source; all of it is given back at the end."""
        held = Held(self, source)
        try:
            yield held
        finally:
            held.give_back()

    def take(self, source: str, amount: int) -> None:
        """Take so much.

        Raises:
            BusyError: it would be more than there is, or than one source may have.
        """
        if self._by_source.get(source, 0) + amount > self.per_source_max:
            self._refuse("source", f"{self.noun}: at most {self.per_source_max} at once {self.source_noun}")
        if self.used + amount > self.total_max:
            self._refuse("total", f"{self.noun}: at most {self.total_max} at once")
        self.used += amount
        self._by_source[source] += amount

    def give(self, source: str, amount: int) -> None:
        """Give so much back."""
        self.used -= amount
        self._by_source[source] -= amount
        if self._by_source[source] <= 0:
            del self._by_source[source]

    def _refuse(self, whose: str, text: str) -> NoReturn:
        self.on_refusal(whose)
        # Closing spares us a body that would otherwise be read as the next request.
        raise BusyError(text, headers={"Retry-After": str(RETRY_AFTER_S), "Connection": "close"})


@dataclass(slots=True)
class Held:
    """What one request has taken from a pool."""

    pool: Pool
    source: str
    amount: int = 0

    def take(self, amount: int) -> None:
        """Take more. Raises BusyError."""
        self.pool.take(self.source, amount)
        self.amount += amount

    def give_back(self) -> None:
        """Give all of it back."""
        if self.amount:
            self.pool.give(self.source, self.amount)
            self.amount = 0


class Bounds:
    """The edge's pools and counts, as `/metrics` reads them."""

    def __init__(
        self,
        *,
        bodies_bytes_max: int,
        downloads_max: int,
        downloads_per_source_max: int,
        requests_per_source_max: int = 500,
    ) -> None:
        self.refusals: Counter[str] = Counter()
        self.downloads_refused: Counter[str] = Counter()
        self.bodies = Pool(
            "bytes of request bodies", bodies_bytes_max, bodies_bytes_max // 4, lambda _: self.refuse("bodies")
        )
        self.requests = Pool("requests", UNBOUNDED, requests_per_source_max, lambda _: self.refuse("source_requests"))
        """Under way for callers behind a trusted proxy, whose connections are the proxy's."""
        self.downloads = Pool("downloads", downloads_max, downloads_per_source_max, self.refuse_download)
        self.downloads_of_bucket = Pool(
            "downloads",
            UNBOUNDED,
            downloads_max - downloads_max // 4,
            lambda _: self.refuse_download("bucket"),
            "from one bucket",
        )
        """However many read one bucket: a quarter of the places is left to others."""

    def refuse(self, reason: str) -> None:
        """Count a refusal."""
        self.refusals[reason] += 1

    def refuse_download(self, reason: str) -> None:
        """Count a download that was refused, or ended early."""
        self.downloads_refused[reason] += 1

    def figures(self) -> dict[str, float]:
        """Return each bound and how much of it is used."""
        return {
            "bodies_bytes": self.bodies.used,
            "bodies_bytes_max": self.bodies.total_max,
            "downloads": self.downloads.used,
            "downloads_max": self.downloads.total_max,
        }
