"""Which of a participant's publishers, media sections and layers feed a recording's two logical tracks.

Lives on the media thread. Spec: API section 6.1 (levels, SCREENSTREAM's sound); rules R19, R20.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from soloist.model.job import Job
from soloist.model.media import EncodedFrame, Kind, Layer, Tier, TrackSource, choose_layer
from soloist.sources.ingest import PublisherMedia

log = structlog.get_logger("soloist.layers")

LAYER_SILENT = "layer_silent"
"""Why pictures are missing between a layer that fell silent and the one recorded in its place."""
SILENT_LAYER_NS = 1_500_000_000
"""A layer without a frame for this long, while another lives, is left for that one: with the keyframe that has to be
asked for, pictures go on within 2 s. Screens are sent at one frame a second at least."""
OUTLIVING_COUNT = 4
"""Pictures of others since the last of the recorded layer, before it counts as silent: slow layers come by turns."""
VERIFY_NS = 5_000_000_000
"""A chosen layer that shows no keyframe of its own by then is told of (rule R19)."""
SURVEY_NS = 500_000_000
"""How long the first choice waits for every announced layer to show its size."""

MicKey = tuple[int, str]


def sources_of(job: Job) -> frozenset[TrackSource]:
    """Return the streams a job listens to: a screen's sound may be the microphone's."""
    if job.video is TrackSource.SCREEN and job.with_audio:
        return frozenset(TrackSource)
    return frozenset({job.video or TrackSource.CAMERA})


class Selection:
    """Routes frames of the attached publishers to tracks."""

    def __init__(self, job: Job, on_silent: Callable[[], None] = lambda: None) -> None:
        """`on_silent` is told, again and again, while the recorded layer is silent and another lives."""
        self._job = job
        self._on_silent = on_silent
        self._publishers: dict[TrackSource, PublisherMedia] = {}
        self._routes: dict[MicKey, Kind] = {}
        self._layers: LayerChooser | None = None

    @property
    def kinds(self) -> frozenset[Kind]:
        """The tracks that are negotiated and wanted now."""
        return frozenset(self._routes.values())

    @property
    def is_attached(self) -> bool:
        """True while anybody publishes something this job records."""
        return bool(self._routes)

    def attach(self, publisher: PublisherMedia) -> list[str]:
        """Take a publisher in; return the media sections of it that are recorded."""
        self._publishers[publisher.source] = publisher
        self._reroute()
        return [mid for session, mid in self._routes if session == publisher.session]

    def detach(self, publisher: PublisherMedia) -> None:
        """Take a publisher out, unless another of its source has come in its place."""
        if self._publishers.get(publisher.source) is publisher:
            del self._publishers[publisher.source]
            self._reroute()

    def route(self, publisher: PublisherMedia, frame: EncodedFrame) -> Kind | None:
        """Return the track a frame belongs to; None if it is not recorded."""
        kind = self._routes.get((publisher.session, frame.mid))
        if kind is Kind.VIDEO and frame.rid is not None and self._layers is not None:
            return kind if self._layers.admits(frame) else None
        return kind

    def loses(self, publisher: PublisherMedia, mid: str, rid: str | None) -> Kind | None:
        """Return the track that frames of a layer are missing from if they were dropped; None if none needs them."""
        kind = self._routes.get((publisher.session, mid))
        recorded = self._layers.current if self._layers is not None else None
        is_other = kind is Kind.VIDEO and None not in (rid, recorded) and rid != recorded
        return None if is_other else kind

    def reconsider(self, now_ns: int) -> None:
        """Look again at which layer to record: layers come and go."""
        if self._layers is not None:
            self._layers.reconsider(now_ns)

    def request_keyframe(self) -> None:
        """Ask for a keyframe of the recorded picture; of every layer while none is chosen."""
        publisher = self._picture()
        track = publisher.track(Kind.VIDEO) if publisher else None
        if publisher and track:
            publisher.request_keyframe(track.mid, self._layers.wanted if self._layers else None)

    def _reroute(self) -> None:
        self._routes.clear()
        for kind, publisher in ((Kind.VIDEO, self._picture()), (Kind.AUDIO, self._sound())):
            track = publisher.track(kind) if publisher else None
            if publisher and track:
                self._routes[publisher.session, track.mid] = kind
        picture = self._picture()
        track = picture.track(Kind.VIDEO) if picture else None
        if picture is None or track is None or not track.rids:
            self._layers = None
        elif self._layers is None or self._layers.publisher is not picture:
            self._layers = LayerChooser(
                picture, track.mid, track.rids, self._job.tier, self._job.job_id, self._on_silent
            )

    def _picture(self) -> PublisherMedia | None:
        return self._publishers.get(self._job.video) if self._job.video else None

    def _sound(self) -> PublisherMedia | None:
        if not self._job.with_audio:
            return None
        own = self._publishers.get(self._job.video or TrackSource.CAMERA)
        if own is not None and own.track(Kind.AUDIO):
            return own
        return self._publishers.get(TrackSource.CAMERA) if self._job.video is TrackSource.SCREEN else None


@dataclass(slots=True)
class LayerChooser:
    """Follows the highest living layer whose level is not above the wanted one; switches on keyframes only."""

    publisher: PublisherMedia
    mid: str
    rids: tuple[str, ...]
    tier: Tier
    job_id: str
    on_silent: Callable[[], None]
    """Told while the recorded layer is silent and another lives."""
    current: str | None = None
    """The layer being recorded; None until one is."""
    _others_count: int = 0
    """Pictures of other layers since the last one of the recorded layer."""
    _target: str | None = None
    _target_ns: int = 0
    """When it was chosen; 0 once it is recorded or told of."""
    _size: tuple[int, int] = field(default=(0, 0))
    """Of the recorded layer's last keyframe."""
    _first_key_ns: int | None = None

    @property
    def wanted(self) -> str | None:
        """The layer to switch to, or that is recorded; None before the first choice."""
        return self._target if self._target is not None else self.current

    def admits(self, frame: EncodedFrame) -> bool:
        """Return whether a frame belongs to the layer being recorded."""
        self._others_count = 0 if frame.rid == self.current else self._others_count + 1
        if frame.is_keyframe:
            if self._first_key_ns is None:
                self._first_key_ns = frame.received_ns
            self.reconsider(frame.received_ns)
            if frame.rid == self._target:
                self._switch(frame)
        return frame.rid == self.current

    def reconsider(self, now_ns: int) -> None:
        """Choose again among the layers that live, and ask for a keyframe of the one to switch to."""
        living = self._living()
        if self._first_key_ns is None or not living:
            return
        if self.current is not None and all(layer.rid != self.current for layer in living):
            self.on_silent()
        is_surveyed = len(living) == len(self.rids) or now_ns - self._first_key_ns >= SURVEY_NS
        chosen = choose_layer(living, self.tier) if is_surveyed else None
        if chosen is None:
            return
        if chosen.rid == self.current or _is_as_large(chosen, self.current, living):
            self._target = self.current
        elif self._target != chosen.rid:
            self._target, self._target_ns = chosen.rid, now_ns
            self.publisher.request_keyframe(self.mid, chosen.rid)
        self._verify(now_ns)

    def _switch(self, keyframe: EncodedFrame) -> None:
        """Record the chosen layer from this keyframe on; what is recorded is known by its parsed size."""
        size = keyframe.width, keyframe.height
        if (keyframe.rid, size) != (self.current, self._size):
            layer = {"rid": keyframe.rid, "width": size[0], "height": size[1], "before": self.current}
            log.info("layer_recorded", job_id=self.job_id, **layer)
        self.current, self._size, self._target_ns = keyframe.rid, size, 0

    def _verify(self, now_ns: int) -> None:
        """Tell, once, of a chosen layer that does not come."""
        if self._target != self.current and self._target_ns and now_ns - self._target_ns > VERIFY_NS:
            log.warning("layer_does_not_come", job_id=self.job_id, rid=self._target, recorded=self.current)
            self._target_ns = 0

    def _living(self) -> list[Layer]:
        """Return the layers that others have not outlived: all of a camera that is off are as alive as they were."""
        layers, last = self.publisher.layers_of(self.mid), self.publisher.last_frame_ns
        newest_ns = max((last.get((self.mid, layer.rid), 0) for layer in layers), default=0)
        return [
            layer
            for layer in layers
            if newest_ns - last.get((self.mid, layer.rid), 0) < SILENT_LAYER_NS
            or (layer.rid == self.current and self._others_count < OUTLIVING_COUNT)
        ]


def _is_as_large(chosen: Layer, current: str | None, living: list[Layer]) -> bool:
    """Return whether the recorded layer lives and shows as much as the chosen one: nothing is won by a switch."""
    area = chosen.width * chosen.height
    return any(layer.rid == current and layer.width * layer.height == area for layer in living)
