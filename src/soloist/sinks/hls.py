"""Samples in, the segments of one HLS playlist out: where they begin, how long they last, what breaks between them.

A segment ends at the first keyframe after its wanted length, or at a sound packet where no picture is to be expected.
None gets longer than the playlist's target duration, which can never change: at the latest there a segment ends
wherever it is, and the next one says that it cannot be decoded alone. Media that breaks off, or pictures that change
their coding, are a discontinuity. Sound is encoded on one unbroken line across segments. Lives on the media thread.
Spec: RFC 8216 §4.3.2.1 (duration), §4.3.2.3 (discontinuity), §4.3.3.1 (target); rules R17, R30.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from soloist.model.errors import InternalError
from soloist.model.media import AudioFormat, Codec, Kind, Sample, VideoFormat
from soloist.sinks.aac import RATE_HZ, AacTranscoder
from soloist.sinks.matrix import Container, Plan
from soloist.sinks.segment import Fmp4Segment, TsSegment
from soloist.sinks.template import video_template
from soloist.wire.playlist import target_duration_s

NS = 1_000_000_000
HOLE_NS = 2 * NS
"""Without any media for longer than this a playlist goes on after a discontinuity."""
STILL_NS = NS
"""Without a picture for so long a segment may end at a sound packet."""
SOUND_LAG_NS = NS
"""Sound that has not come by then will not: it is filled with silence, so that each segment has its own."""


@dataclass(frozen=True, slots=True)
class ClosedSegment:
    """A segment that is whole; times are nanoseconds from the recording's origin."""

    path: Path
    start_ns: int
    end_ns: int
    """Where the next one begins, or its media ends."""
    is_discontinuous: bool
    is_independent: bool
    """False if it begins with pictures that need the segment before it."""
    init: Path | None = None
    """Its initialisation section; None for MPEG-TS."""
    frames: dict[Kind, int] = field(default_factory=dict)
    ends_ns: dict[Kind, int] = field(default_factory=dict)
    width: int = 0
    """Of its picture in pixels; 0 without one."""
    height: int = 0
    rid: str | None = None


@dataclass(slots=True)
class _Open:
    """The segment being written."""

    file: TsSegment | Fmp4Segment
    start_ns: int
    is_discontinuous: bool
    picture: Sample | None
    """The last keyframe."""
    end_ns: int = 0
    is_independent: bool = True
    frames: dict[Kind, int] = field(default_factory=dict)
    ends_ns: dict[Kind, int] = field(default_factory=dict)


class HlsFile:
    """One playlist being written, as `FileSeries` sees it: a file that consists of segments."""

    def __init__(
        self,
        plan: Plan,
        *,
        video: VideoFormat | None,
        audio: AudioFormat | None,
        zero_ns: int,
        start_ns: int,
        slice_s: int,
        new_path: Callable[[str], Path],
        emit: Callable[[ClosedSegment], None],
    ) -> None:
        """`audio` is what arrives; `start_ns` is where the playlist begins, `zero_ns` what its segments call 0.

        Both are nanoseconds from the recording's origin. Zero is one for all recordings of a job: times then go on in a
        playlist that another recorder goes on with.

        `new_path(name)` makes a spool file of this playlist; `emit` is told of each segment that is closed.
        """
        self._plan = plan
        self._video = video
        self._audio = audio
        self._zero = Fraction(zero_ns, NS)
        self._start_ns = start_ns
        self._slice_ns = slice_s * NS
        self._target_ns = target_duration_s(slice_s) * NS
        self._new_path = new_path
        self._emit = emit
        self._transcoder: AacTranscoder | None = None
        self._open: _Open | None = None
        self._count = 0
        self._end_ns = start_ns
        """Where the media of the segments so far ends."""
        self._coding = b""
        self._init: Path | None = None
        self._damaged_count = 0
        self._is_due = False

    @property
    def wants_keyframe(self) -> bool:
        """True if the segment has its length and only waits for a keyframe."""
        return self._is_due

    @property
    def damaged_count(self) -> int:
        """Frames that could not be kept."""
        concealed = self._transcoder.concealed_count if self._transcoder else 0
        return self._damaged_count + concealed

    def push(self, sample: Sample) -> None:
        """Write one sample; both tracks merged, in time order.

        Raises:
            InternalError: the spool refused the bytes.
        """
        now = self._open
        at_ns = sample.pts_ns
        if now is None:
            self._begin(sample, is_discontinuous=self._count > 0 and at_ns != self._end_ns)
        elif at_ns - now.end_ns > HOLE_NS or at_ns - now.start_ns > self._target_ns:
            self._break_off()
            self._begin(sample, is_discontinuous=True)
        elif self._ends_before(now, sample):
            self._close(at_ns)
            self._begin(sample, is_discontinuous=False)
        self._write(sample)

    def tick(self, now_ns: int) -> None:
        """Close a segment to which nothing has come for long; `now_ns` counts from the recording's origin."""
        if self._open is not None and now_ns - self._open.end_ns > self._target_ns:
            self._break_off()

    def conclude(self) -> None:
        """Close the last segment: nothing more will be pushed. Sound still in the encoder goes into it."""
        if self._open is not None:
            self._break_off()

    def finish(self) -> None:
        """Do nothing: segments are finished one by one."""

    def abort(self) -> None:
        """Leave the open segment as a crash would. Never raises."""
        if self._open is not None:
            self._open.file.abort()
            self._open = None

    def _ends_before(self, now: _Open, sample: Sample) -> bool:
        """Return whether a segment ends just before a sample, and whether it is due to."""
        length_ns = sample.pts_ns - now.start_ns
        is_keyframe = sample.kind is Kind.VIDEO and sample.is_keyframe
        if length_ns > 0 and is_keyframe and now.picture is not None and _size(sample) != _size(now.picture):
            return True
        if length_ns < self._slice_ns:
            return False
        still_ns = sample.pts_ns - now.ends_ns.get(Kind.VIDEO, now.start_ns)
        has_no_picture = self._video is None or (sample.kind is Kind.AUDIO and still_ns > STILL_NS)
        is_cut_point = has_no_picture or is_keyframe
        self._is_due = not is_cut_point
        return is_cut_point or sample.end_ns - now.start_ns > self._target_ns - NS

    def _begin(self, sample: Sample, *, is_discontinuous: bool) -> None:
        """Open the next segment, whose first sample is this one."""
        if sample.is_keyframe and sample.kind is Kind.VIDEO and self._video is not None:
            self._describe(VideoFormat(self._video.codec, sample.width, sample.height, sample.data))
        file = self._segment(self._begin_sound(sample.pts_ns))
        is_other = file.coding != self._coding
        if is_other and file.init:
            # Named after the first segment that needs it.
            self._init = self._new_path(f"init{self._count}.mp4")
            _write_init(self._init, file.init)
        self._open = _Open(
            file, sample.pts_ns, is_discontinuous or (is_other and self._count > 0), None, end_ns=sample.pts_ns
        )
        self._coding = file.coding
        self._count += 1
        self._is_due = False

    def _describe(self, video: VideoFormat) -> None:
        """Take a keyframe for what tells of the pictures from now on, unless it is none: then the last one stands."""
        with suppress(InternalError):
            video_template(video)
            self._video = video

    def _segment(self, audio: AudioFormat | None) -> TsSegment | Fmp4Segment:
        path = self._new_path(f"{self._count:05d}.{_EXTENSIONS[self._plan.container]}")
        if self._plan.container is Container.TS:
            return TsSegment(path, video=self._video, audio=audio, start=self._zero)
        return Fmp4Segment(path, video=self._video, audio=audio, start=self._zero, number=self._count)

    def _begin_sound(self, start_ns: int) -> AudioFormat | None:
        """Return what sound is written as; an encoder that is begun here begins with silence until sound comes."""
        if self._audio is None or self._plan.audio_codec is not Codec.AAC:
            return self._audio
        if self._transcoder is None:
            self._transcoder = AacTranscoder(self._audio.channels)
            self._transcoder.advance_to(_sound_ticks(start_ns))
        return self._transcoder.format

    def _break_off(self) -> None:
        """Close the segment where its media ends; sound still in the encoder goes into it."""
        now = self._open
        assert now is not None, "only an open segment breaks off"  # noqa: S101 - for the type checker
        if self._transcoder is not None:
            self._put(now, self._transcoder.finish())
            self._damaged_count += self._transcoder.concealed_count
            self._transcoder = None
        self._close(now.end_ns)

    def _write(self, sample: Sample) -> None:
        now = self._open
        assert now is not None, "a segment has just been opened"  # noqa: S101 - for the type checker
        now.frames[sample.kind] = now.frames.get(sample.kind, 0) + 1
        now.ends_ns[sample.kind] = sample.end_ns
        now.end_ns = max(now.end_ns, sample.end_ns)
        if sample.kind is Kind.VIDEO:
            if sample.is_keyframe:
                now.picture = sample
            now.is_independent &= now.picture is not None
            if self._transcoder is not None:
                self._put(now, self._transcoder.advance_to(_sound_ticks(sample.pts_ns - SOUND_LAG_NS)))
            self._put(now, [sample])
        elif self._transcoder is not None:
            self._put(now, self._transcoder.push(sample))
        else:
            self._put(now, [sample])

    def _put(self, now: _Open, samples: list[Sample]) -> None:
        for sample in samples:
            if sample.pts_ns >= self._start_ns:  # The encoder begins a frame before its sound.
                now.file.push(sample)

    def _close(self, end_ns: int) -> None:
        now = self._open
        assert now is not None, "only an open segment is closed"  # noqa: S101 - for the type checker
        self._open, self._end_ns = None, end_ns
        now.file.close(Fraction(end_ns, NS))
        self._damaged_count += now.file.refused_count
        segment = ClosedSegment(
            path=now.file.path,
            start_ns=now.start_ns,
            end_ns=end_ns,
            is_discontinuous=now.is_discontinuous,
            is_independent=now.is_independent,
            init=self._init,
            frames=now.frames,
            ends_ns=now.ends_ns,
            width=now.picture.width if now.picture else 0,
            height=now.picture.height if now.picture else 0,
            rid=now.picture.rid if now.picture else None,
        )
        self._emit(segment)


def _write_init(path: Path, init: bytes) -> None:
    try:
        path.write_bytes(init)
    except OSError as error:
        raise InternalError(f"The spool refused a segment ({error.strerror}); free its disk.") from error


_EXTENSIONS = {Container.TS: "ts", Container.FMP4: "m4s"}


def _size(sample: Sample) -> tuple[int, int]:
    return sample.width, sample.height


def _sound_ticks(ns: int) -> int:
    return (ns * RATE_HZ * 2 + NS) // (2 * NS)
