"""A subscriber of a participant's streams that writes down what it is told."""

from dataclasses import dataclass, field

from soloist.sources.ingest import PublisherMedia


@dataclass
class Ear:
    """`told` holds (what, session, ...) in order; raises on `fails_on`."""

    fails_on: str = ""
    told: list[tuple] = field(default_factory=list)

    def _tell(self, what: str, *rest: object) -> None:
        self.told.append((what, *rest))
        if what == self.fails_on:
            raise ValueError(what)

    def on_items(self, publisher: PublisherMedia, items: list) -> None:
        self._tell("items", publisher.session, len(items))

    def on_attached(self, publisher: PublisherMedia) -> None:
        self._tell("attached", publisher.session)

    def on_detached(self, publisher: PublisherMedia, reason: str) -> None:
        self._tell("detached", publisher.session, reason)

    def on_tick(self, now_ns: int) -> None:
        self._tell("tick", now_ns)
