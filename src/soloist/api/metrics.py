"""What `/metrics` shows beside the API's own counters: every recorder's health answer, and the database's counts.

All of it is read when asked for, over the recorders' unix sockets and in one database transaction, and kept for half a
second, so that many who ask at once cost no more than one. A part that does not answer is left out and its
`soloist_recorder_up` or `soloist_database_up` is 0. Names and units are in docs/metrics.md, which a test holds against
`METRICS`.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from soloist.api.bounds import Bounds
from soloist.api.recorders import READ_TIMEOUT_S, UNANSWERED, read_recorder

log = structlog.get_logger("soloist.api")

FRESH_S = 0.5
LOOPBACK = ("127.0.0.0/8", "::1/128")


@dataclass(frozen=True, slots=True)
class Shown:
    """One metric: its name without prefix, what it means, its labels, and whether it only grows."""

    name: str
    meaning: str
    labels: tuple[str, ...] = ("slot",)
    grows: bool = False
    scale: float = 1.0
    """What the source's number is multiplied by, for the base unit."""


CORE = {
    "packets_received": Shown("media_packets_received", "RTP and RTCP datagrams of known publishers", grows=True),
    "bytes_received": Shown("media_received_bytes", "Their bytes, without UDP and IP headers", grows=True),
    "packets_lost": Shown("media_packets_lost", "Media packets that never came", grows=True),
    "packets_recovered": Shown("media_packets_recovered", "Media packets that came when asked for again", grows=True),
    "kernel_drops": Shown("media_kernel_drops", "Datagrams the kernel dropped: the socket buffer was full", grows=True),
    "loop_gap_ms_max": Shown("media_loop_gap_max_seconds", "Longest the socket was left unread", scale=0.001),
    "plis_sent": Shown("media_keyframe_requests", "PLI sent to publishers", grows=True),
    "nacks_sent": Shown("media_nacks_sent", "Requests for lost packets", grows=True),
    "queue_bytes": Shown("media_queue_bytes", "Frames between the I/O thread and the media thread"),
    "queue_bytes_max": Shown("media_queue_max_bytes", "The most they ever were; the limit is 256 MiB"),
    "datagrams_repeated": Shown("media_datagrams_repeated", "Packets that had come before, or replays", grows=True),
    "queue_age_ms": Shown("media_queue_age_seconds", "How long the oldest of them waits", scale=0.001),
    "frames_dropped": Shown("media_frames_dropped", "Frames dropped: queue full, or session over its rate", grows=True),
    "packets_refused": Shown("media_packets_refused", "Packets of sessions over their budget, unread", grows=True),
    "connects_late": Shown("media_connects_late", "Sessions that were not connected in 10 s", grows=True),
    "tcp_connections": Shown("media_tcp_connections", "ICE-TCP connections open"),
    "tcp_refused": Shown("media_tcp_refused", "ICE-TCP connections closed to make room, or refused", grows=True),
    "sessions": Shown("media_sessions", "WHIP sessions the core holds"),
    "datagrams_unknown": Shown("media_datagrams_unknown", "Datagrams of no session: noise or attacks", grows=True),
    "datagrams_forged": Shown(
        "media_datagrams_forged", "Datagrams under a publisher's address that it did not send", grows=True
    ),
}
"""The core's counters by their names in `Receiver.stats`."""

HEALTH = {
    "rooms": Shown("rooms", "Rooms with somebody in them"),
    "publishers": Shown("publishers", "Streams being published"),
    "publishers_pending": Shown("publishers_pending", "Publishers answered and not connected yet"),
    "publishers_pending_replaced": Shown(
        "publishers_pending_replaced", "Of those, given up for a newer one of their stream", grows=True
    ),
    "publishers_refused": Shown("publishers_refused", "Publishers refused because a limit was reached", grows=True),
    "offers_waiting": Shown("offers_waiting", "SDP offers that wait for their answer"),
    "offers_refused": Shown("offers_refused", "SDP offers not looked at: too many waited", grows=True),
    "offers_late": Shown("offers_late", "SDP offers given up: they took too long", grows=True),
    "spool_files": Shown("spool_files", "Files open or still to be published on this node's disk"),
    "objects_pending": Shown("objects_pending", "Closed files that do not stand verified in their bucket yet"),
    "troubles_waiting_keyframe": Shown(
        "keyframes_awaited", "Times pictures came for 10 s without one to show", grows=True
    ),
    "troubles_writer_restarted": Shown(
        "writers_restarted", "Times media came for 5 s and none was written", grows=True
    ),
    "clocks_measured": Shown("clocks_measured", "RTP clocks whose skew a file that ended tells", grows=True),
    "clock_skew_ppm": Shown("clock_skew_ppm", "Their skews' sizes, added up", grows=True),
    "spool_free_bytes": Shown("spool_free_bytes", "Room left on the spool's disk"),
    "streams_refused": Shown("streams_refused", "Streams automatic recording may not record now; it tries again"),
    "files_refused": Shown(
        "files_refused", "Files, or changes within one, that a sender asked for too often", grows=True
    ),
    "clocks_leapt": Shown("clocks_leapt", "Times an RTP clock claimed more time than had passed", grows=True),
    "frames_left_out_of_files": Shown(
        "frames_left_out_of_files", "Frames not written: their job's files or pictures changed too often", grows=True
    ),
    "forward_connecting": Shown("forward_connecting", "RTMP targets being connected, or without media to send"),
    "forward_waiting": Shown("forward_waiting", "RTMP targets whose job has no forwarder: too many, or shed"),
    "forward_refused": Shown("forward_refused", "Times a job had to wait for a forwarder", grows=True),
    "forward_live": Shown("forward_live", "RTMP targets that take media"),
    "forward_stalled": Shown("forward_stalled", "RTMP targets that took none for too long"),
    "forward_failed": Shown("forward_failed", "RTMP targets whose last attempt failed"),
    "forward_bytes": Shown("forward_sent_bytes", "Bytes RTMP targets have acknowledged", grows=True),
    "forward_frames": Shown("forward_frames_sent", "Pictures and AAC frames sent to RTMP targets", grows=True),
    "forward_frames_dropped": Shown("forward_frames_dropped", "Those they did not get: away or too slow", grows=True),
    "forward_retries": Shown("forward_retries", "Connections begun after a target's first", grows=True),
    "pictures_refused": Shown("pictures_refused", "Keyframes of more pixels than are kept", grows=True),
    "pictures_refused_transcoding": Shown(
        "pictures_refused_transcoding", "VP8 keyframes of more pixels than are transcoded", grows=True
    ),
    "transcoders_refused": Shown(
        "transcoders_refused", "Times a job could have no transcoder: too many, or shed", grows=True
    ),
    "pictures_transcoded": Shown("pictures_transcoded", "VP8 pictures made H.264", grows=True),
    "pictures_lost_transcoding": Shown("pictures_lost_transcoding", "VP8 pictures that could not be", grows=True),
    "transcoders_replaced": Shown(
        "transcoders_replaced", "Child processes that died, hung or were too slow", grows=True
    ),
}
"""Numbers of the recorder's health answer."""

LOAD = {
    "cpu_io": Shown("load_io_cpu_ratio", "Share of a core the I/O thread uses, smoothed"),
    "cpu_media": Shown("load_media_cpu_ratio", "Share of a core the media thread uses, smoothed"),
    "queue_age_ms": Shown("load_queue_age_seconds", "How long media waits to be written, smoothed", scale=0.001),
    "descriptors": Shown("load_descriptors", "Open descriptors"),
    "shedding": Shown("load_shedding", "1 while nearly full or full: side outputs are shed"),
    "full": Shown("load_full", "1 while full: no new job is taken"),
    "became_full": Shown("load_became_full", "Times it became full", grows=True),
    "outputs_shed": Shown("side_outputs_shed", "Times a side output was given up for the recordings", grows=True),
    "outputs_restored": Shown("side_outputs_restored", "Times one of them went on", grows=True),
}
"""Numbers of the health answer's `load`."""

USAGE = {
    "cpu_seconds": Shown("process_cpu_seconds", "CPU used, user and system", ("process",), grows=True),
    "resident_bytes": Shown("process_resident_bytes", "Memory held", ("process",)),
    "descriptors": Shown("process_descriptors", "Files and sockets open", ("process",)),
    "descriptors_max": Shown("process_descriptors_max", "How many may be", ("process",)),
}

RECORDER_UP = Shown("recorder_up", "1 if the recorder answers")
REFUSED = Shown("http_refused", "Requests and connections that a limit ended, by its name", ("reason",), grows=True)
EDGE = {
    "connections": Shown("http_connections", "Connections to the API", ()),
    "connections_max": Shown("http_connections_max", "How many there may be", ()),
    "bodies_bytes": Shown("http_bodies_bytes", "Request bodies held at this moment", ()),
    "bodies_bytes_max": Shown("http_bodies_max_bytes", "How much of them may be held", ()),
    "downloads": Shown("downloads", "Downloads under way", ()),
    "downloads_max": Shown("downloads_max", "How many there may be", ()),
}
"""The API process's bounds."""
REASONS = ("credential", "throttled", "bodies", "connections")
"""Shown from the start, so that an alarm on them has something to watch; the others from when they happen."""
DOWNLOADS_REFUSED = Shown("downloads_refused", "Downloads a limit refused or ended", ("reason",), grows=True)
DATABASE_UP = Shown("database_up", "1 if the database answers", ())
JOBS = Shown("jobs", "Jobs that can still be asked about", ("state", "stop_reason"))
FILES = Shown("files", "Files of those jobs", ("state",))
NOTICES = Shown("callback_events", "Events to be told to callbacks", ("state",))
OLDEST_NOTICE = Shown("callback_oldest_waiting_seconds", "Age of the oldest event that waits, paused ones aside", ())
JOBS_UNTAKEN = Shown("jobs_untaken", "Jobs no recorder has taken for 5 s", ())
OLDEST_UNTAKEN = Shown("jobs_untaken_oldest_seconds", "How long the oldest of them waits", ())
CALLBACKS_PAUSED = Shown("callbacks_paused", "Apps whose events are held back", ())

METRICS = (
    *CORE.values(),
    *HEALTH.values(),
    *LOAD.values(),
    *USAGE.values(),
    *EDGE.values(),
    REFUSED,
    DOWNLOADS_REFUSED,
    RECORDER_UP,
    DATABASE_UP,
    JOBS,
    FILES,
    NOTICES,
    OLDEST_NOTICE,
    CALLBACKS_PAUSED,
    JOBS_UNTAKEN,
    OLDEST_UNTAKEN,
)


class Tally(Protocol):
    """What the database counts."""

    @property
    def jobs(self) -> Mapping[tuple[str, str], int]:
        """Jobs by state and stop reason."""

    @property
    def files(self) -> Mapping[str, int]:
        """Files by state."""

    @property
    def notices(self) -> Mapping[str, int]:
        """Events to be told, by state."""

    @property
    def oldest_notice_s(self) -> float:
        """Age of the oldest that waits."""

    @property
    def callbacks_paused(self) -> int:
        """Callbacks that are held back."""

    @property
    def jobs_untaken(self) -> int:
        """Jobs that no recorder takes."""

    @property
    def oldest_untaken_s(self) -> float:
        """How long the oldest of them waits."""


class Edge(Protocol):
    """Something that bounds what strangers can ask for."""

    @property
    def refusals(self) -> Mapping[str, int]:
        """What was refused, by reason."""

    def figures(self) -> Mapping[str, float]:
        """Return the bounds and how much of each is used, by the names of `EDGE`."""


class NoEdge:
    """Bounds nothing."""

    refusals: Mapping[str, int] = {}

    def figures(self) -> Mapping[str, float]:
        """Return nothing."""
        return {"connections": 0, "connections_max": 0}


@dataclass(frozen=True, slots=True)
class MetricSources:
    """Where the numbers come from; all optional, so that an edge without a service still shows its own."""

    recorders: Mapping[str, Path] = field(default_factory=dict)
    """Slot names to unix sockets."""
    tally: Callable[[], Awaitable[Tally]] | None = None
    usage: Callable[[], Mapping[str, float]] | None = None
    """What this process has used."""
    connections: Edge = field(default_factory=NoEdge)
    """What bounds connections."""
    readers: Sequence[str] = LOOPBACK
    """Networks whose callers may read."""


Samples = list[tuple[Shown, tuple[str, ...], float]]


class ServiceMetrics:
    """Reads everything for a scrape, which those that come at about the same time share."""

    def __init__(self, sources: MetricSources, bounds: Bounds) -> None:
        self._sources = sources
        self._bounds = bounds
        self._reading: asyncio.Task[bytes] | None = None
        self._began_at = -FRESH_S
        self.readers = sources.readers
        """Networks whose callers may read."""

    async def text(self) -> bytes:
        """Return the numbers of this half second in the text format."""
        now = time.monotonic()
        if self._reading is None or (self._reading.done() and now - self._began_at >= FRESH_S):
            self._reading, self._began_at = asyncio.create_task(self._text()), now
        return await asyncio.shield(self._reading)

    async def _text(self) -> bytes:
        return generate_latest(await self._read())

    async def _read(self) -> CollectorRegistry:
        """Return a registry that holds this moment's numbers."""
        parts = [self._recorder(slot, path) for slot, path in self._sources.recorders.items()]
        samples = [sample for part in await asyncio.gather(self._database(), *parts) for sample in part]
        if self._sources.usage is not None:
            samples += [(USAGE[name], ("api",), value) for name, value in self._sources.usage().items()]
        samples += self._edge()
        registry = CollectorRegistry()
        registry.register(_Snapshot(samples))
        return registry

    def _edge(self) -> Samples:
        """Return what bounds requests and connections in this process; a sum where both count one reason."""
        refused = self._bounds.refusals + Counter(self._sources.connections.refusals)
        figures = {**self._bounds.figures(), **self._sources.connections.figures()}
        return [
            *((EDGE[name], (), value) for name, value in figures.items()),
            *((REFUSED, (reason,), refused[reason]) for reason in sorted({*REASONS, *refused})),
            *(
                (DOWNLOADS_REFUSED, (why,), self._bounds.downloads_refused[why])
                for why in ("source", "bucket", "total", "slow")
            ),
        ]

    async def _recorder(self, slot: str, path: Path) -> Samples:
        try:
            health = await read_health(path)
        except UNANSWERED as error:
            log.warning("metrics_unread", slot=slot, error=type(error).__name__)
            return [(RECORDER_UP, (slot,), 0)]
        core, load, usage = health.get("core", {}), health.get("load", {}), health.get("usage", {})
        return [
            (RECORDER_UP, (slot,), 1),
            *((shown, (slot,), health[name]) for name, shown in HEALTH.items() if name in health),
            *((shown, (slot,), core[name]) for name, shown in CORE.items() if name in core),
            *((shown, (slot,), load[name]) for name, shown in LOAD.items() if name in load),
            *((shown, (f"recorder {slot}",), usage[name]) for name, shown in USAGE.items() if name in usage),
        ]

    async def _database(self) -> Samples:
        if self._sources.tally is None:
            return []
        try:
            counts = await asyncio.wait_for(self._sources.tally(), READ_TIMEOUT_S)
        except Exception as error:  # noqa: BLE001 - whatever it is, the database does not answer; health tells more
            log.warning("metrics_unread", part="database", error=type(error).__name__)
            return [(DATABASE_UP, (), 0)]
        return [
            (DATABASE_UP, (), 1),
            *((JOBS, labels, count) for labels, count in counts.jobs.items()),
            *((FILES, (state,), count) for state, count in counts.files.items()),
            *((NOTICES, (state,), count) for state, count in counts.notices.items()),
            (OLDEST_NOTICE, (), counts.oldest_notice_s),
            (CALLBACKS_PAUSED, (), counts.callbacks_paused),
            (JOBS_UNTAKEN, (), counts.jobs_untaken),
            (OLDEST_UNTAKEN, (), counts.oldest_untaken_s),
        ]


async def read_health(path: Path) -> Mapping[str, Any]:
    """Return what the recorder behind a unix socket says of itself.

    Raises:
        OSError, TimeoutError, aiohttp.ClientError, ValueError: it does not answer, or not with a health answer.
    """
    body = await read_recorder(path, "/health")
    if body.get("status") != "ok":
        raise ValueError(f"the recorder is {body.get('status')}")
    return body


class _Snapshot(Collector):
    """Numbers of one moment in the shape the exposition wants."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def collect(self) -> Iterator[Metric]:
        families: dict[str, GaugeMetricFamily | CounterMetricFamily] = {}
        for shown, labels, value in self._samples:
            family = families.get(shown.name) or families.setdefault(shown.name, _family(shown))
            family.add_metric(labels, value * shown.scale)
        yield from families.values()

    def describe(self) -> Iterable[Metric]:
        return ()


def _family(shown: Shown) -> GaugeMetricFamily | CounterMetricFamily:
    kind = CounterMetricFamily if shown.grows else GaugeMetricFamily
    return kind(f"soloist_{shown.name}", shown.meaning, labels=list(shown.labels))
