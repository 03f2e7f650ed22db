"""A recording on stage: scripted publishers in front of it, real files behind it.

Frames carry real coded media (`support/media.py`) with RTP times and arrivals of their own, so that what comes out can
be played and measured. No thread, no socket, no clock: time is that of the script.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path

from soloist.model.event import RecordingTroubled
from soloist.model.ids import AppId, ParticipantId, RoomId
from soloist.model.media import Codec, Kind, NegotiatedTrack, TrackSource
from soloist.recording.cutting import FileEnded, FileOpened, SegmentEnded
from soloist.recording.recording import Recording
from soloist.sources.ingest import Exchange, PublisherMedia, StreamKey
from support.frames import NS, START_NS, FrameValue
from support.jobs import a_job


class KeyframeLog:
    """Stands where the receiver would: notes what is asked of a session."""

    def __init__(self):
        self.asked = []
        self.closed = []

    def request_keyframe(self, session, mid, rid):
        self.asked.append((session, mid, rid))

    def close_session(self, session):
        self.closed.append(session)


def a_publisher(session=1, *, source=TrackSource.CAMERA, kinds=(Kind.AUDIO, Kind.VIDEO), codec=Codec.H264, rids=()):
    """Return a connected publisher that negotiated these kinds; mid 0 is sound, 1 the picture."""
    tracks = {
        Kind.AUDIO: NegotiatedTrack("0", Kind.AUDIO, (Codec.OPUS,)),
        Kind.VIDEO: NegotiatedTrack("1", Kind.VIDEO, (codec,), rids),
    }
    key = StreamKey(AppId("demo"), RoomId("room1"), ParticipantId("alice"), source)
    exchange = Exchange(lambda _publisher, _reason: None)
    return PublisherMedia(
        key, session=session, tracks=tuple(tracks[kind] for kind in kinds), receiver=KeyframeLog(), exchange=exchange
    )


def frames_of(samples, codec=Codec.H264, *, size=(320, 180), at_s=0.0, delay_s=0.02, rtp_zero=1_000_000, rid=None):
    """Return coded samples as received frames; `at_s` is when their zero was captured, after START_NS."""
    is_sound = codec is Codec.OPUS
    return [
        FrameValue(
            mid="0" if is_sound else "1",
            rid=rid,
            codec=codec.value,
            rtp_ticks=rtp_zero + s.pts_ticks,
            rate_hz=s.rate_hz,
            is_keyframe=s.is_keyframe or is_sound,
            follows_gap=False,
            received_ns=START_NS + int((at_s + delay_s) * NS) + s.pts_ticks * NS // s.rate_hz,
            width=size[0] if s.is_keyframe and not is_sound else 0,
            height=size[1] if s.is_keyframe and not is_sound else 0,
            data=s.data,
        )
        for s in samples
    ]


def merged(*tracks):
    """Return frames of several tracks in order of arrival."""
    return sorted((frame for track in tracks for frame in track), key=lambda frame: frame.received_ns)


@dataclass
class Stage:
    """Runs one recording and finishes its files."""

    folder: Path
    job: object = field(default_factory=a_job)
    opened: list = field(default_factory=list)
    ended: list = field(default_factory=list)
    segments: list = field(default_factory=list)
    media: list = field(default_factory=list)
    troubles: list = field(default_factory=list)
    failures: list = field(default_factory=list)
    now_ns: int = START_NS
    look_s: float = 0.002
    """How often a transcoding child's answers are looked for."""

    def __post_init__(self):
        self.make_path = self._path
        self.recording = Recording(
            self.job,
            new_path=self._named,
            emit=self._note,
            fail=self.failures.append,
        )

    def play(self, publisher, frames):
        """Deliver frames in batches of 40 ms, with a tick each half second between them."""
        batch, due_ns, tick_ns = [], 0, self.now_ns
        for frame in frames:
            if batch and frame.received_ns >= due_ns:
                self._deliver(publisher, batch)
                batch = []
            if not batch:
                due_ns = frame.received_ns + 40_000_000
            publisher.on_items([frame])
            batch.append(frame)
            self.now_ns = max(self.now_ns, frame.received_ns)
            if self.now_ns - tick_ns >= NS // 2:
                tick_ns = self.now_ns
                self._deliver(publisher, batch)
                batch = []
                self.recording.on_tick(self.now_ns)
        if batch:
            self._deliver(publisher, batch)

    def _deliver(self, publisher, batch):
        """Hand a batch on; a child that transcodes gets the real time it needs, which the script's clock has not."""
        self.recording.on_items(publisher, batch)
        self._await(lambda: self.recording.line is None or self.recording.line.is_empty, self.recording._hand_on)

    def _await(self, is_done, look):
        deadline = time.monotonic() + 30
        while not is_done():
            assert time.monotonic() < deadline, "the transcoder does not answer"
            time.sleep(self.look_s)
            look()

    def wait(self, seconds):
        """Let time pass without media."""
        for _ in range(int(seconds * 2)):
            self.now_ns += NS // 2
            self.recording.on_tick(self.now_ns)

    def wind_up(self):
        """Have everything on its way arrive."""
        self._await(self.recording.wind_up, lambda: None)

    def stop(self):
        """End the recording; return the paths of its files."""
        self.wind_up()
        self.recording.stop()
        return [ended.path for ended in self.ended]

    @property
    def missing(self):
        """What the recording declared missing, as (kind, cause, detail)."""
        return [(m.kind, m.cause, m.detail) for m in (self.media[-1].missing if self.media else ())]

    def _named(self, index, extension):
        return self.make_path(index, extension)

    def _path(self, index, extension):
        return self.folder / f"{index}.{extension}"

    def _note(self, fact, media):
        if isinstance(fact, RecordingTroubled):
            self.troubles.append(fact)
            return
        self.media.append(media)
        if isinstance(fact, FileOpened):
            self.opened.append(fact)
        elif isinstance(fact, SegmentEnded):
            self.segments.append(fact.segment)
        elif isinstance(fact, FileEnded):
            fact.file.finish()
            self.ended.append(fact)
