"""Which of a participant's publishers, media sections and layers feed a recording's two logical tracks.

Lives on the media thread. Spec: API section 6.1 (levels, SCREENSTREAM's sound); rules R19, R20.
"""

from dataclasses import dataclass

from soloist.model.job import Job
from soloist.model.media import EncodedFrame, Kind, Layer, Tier, TrackSource, choose_layer
from soloist.sources.ingest import PublisherMedia

SILENT_LAYER_NS = 2_000_000_000
"""A layer without a frame for this long, while another lives, is left for that one."""
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

    def __init__(self, job: Job) -> None:
        self._job = job
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

    def reconsider(self, now_ns: int) -> None:
        """Look again at which layer to record: layers come and go."""
        if self._layers is not None:
            self._layers.reconsider(now_ns)

    def request_keyframe(self) -> None:
        """Ask for a keyframe of the recorded picture."""
        publisher = self._publishers.get(self._job.video) if self._job.video else None
        track = publisher.track(Kind.VIDEO) if publisher else None
        if publisher and track:
            publisher.request_keyframe(track.mid, self._layers.current if self._layers else None)

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
            self._layers = LayerChooser(picture, track.mid, track.rids, self._job.tier)

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
    current: str | None = None
    _target: str | None = None
    _first_key_ns: int | None = None

    def admits(self, frame: EncodedFrame) -> bool:
        """Return whether a frame belongs to the layer being recorded."""
        if frame.is_keyframe:
            if self._first_key_ns is None:
                self._first_key_ns = frame.received_ns
            self.reconsider(frame.received_ns)
            if frame.rid == self._target:
                self.current = frame.rid
        return frame.rid == self.current

    def reconsider(self, now_ns: int) -> None:
        """Choose again among the layers that live, and ask for a keyframe of the one to switch to."""
        living = self._living(now_ns)
        if self._first_key_ns is None or not living:
            return
        is_surveyed = len(living) == len(self.rids) or now_ns - self._first_key_ns >= SURVEY_NS
        chosen = choose_layer(living, self.tier) if is_surveyed else None
        if chosen is not None and chosen.rid != self.current:
            if self._target != chosen.rid or self.current is None:
                self.publisher.request_keyframe(self.mid, chosen.rid)
            self._target = chosen.rid

    def _living(self, now_ns: int) -> list[Layer]:
        last = self.publisher.last_frame_ns
        return [
            layer
            for layer in self.publisher.layers_of(self.mid)
            if now_ns - last.get((self.mid, layer.rid), 0) < SILENT_LAYER_NS
        ]
