"""From one recording's samples to a series of files: when one opens, what it holds, when the next one begins.

States of a series: waiting (no file; sound is held for the first keyframe), then open. Cuts fall on keyframes, or on a
sound packet where there is no picture. Lives on the media thread; knows files through the sink it is given.
Spec: API section 6.3; design section 5 (opening a file); rules R12, R14, R17.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from itertools import count
from pathlib import Path

from soloist.model.media import AudioFormat, Codec, Kind, Sample, VideoFormat
from soloist.model.rule import AudioMode, RecordFormat
from soloist.model.timing import Missing
from soloist.recording.turnover import Turnover
from soloist.sinks.hls import ClosedSegment, HlsFile
from soloist.sinks.matrix import SEGMENTED, Container, Plan, plan
from soloist.sinks.open_file import OpenFile
from soloist.sinks.parameters import parameters, profile
from soloist.sinks.template import describes_pictures
from soloist.wire.clock import NS
from soloist.wire.keys import EXTENSIONS
from soloist.wire.manifest import LayerSpan
from soloist.wire.opus import channel_count

HELD_SOUND_NS_MAX = 10 * NS
"""How long sound waits in memory for the first keyframe before a file without picture opens."""
NO_PICTURE_NS = 5 * NS
"""Without a picture for so long a due cut falls on a sound packet."""


@dataclass(frozen=True, slots=True)
class FileOpened:
    """A file now takes samples."""

    index: int
    path: Path
    plan: Plan
    start_ns: int
    """Its first sample, nanoseconds from the recording's origin."""
    wanted: RecordFormat
    """What the rule asks for; `plan` says what is written instead."""
    codecs: dict[Kind, Codec]
    """Of its tracks, as written."""
    channels: int
    """Of sound; 0 without it."""
    has_transcoded_picture: bool = False
    """True if the picture is not the sender's own coding (rule R48)."""


@dataclass(frozen=True, slots=True)
class SegmentEnded:
    """A segment of an open playlist is whole."""

    index: int
    """The playlist's."""
    segment: ClosedSegment


@dataclass(frozen=True, slots=True)
class FileSummary:
    """What a file holds; times are nanoseconds from the recording's origin."""

    start_ns: int
    end_ns: int
    width: int
    """Of the picture at the end, in pixels; 0 without one."""
    height: int
    codecs: dict[Kind, Codec]
    """As written: AAC where sound was transcoded."""
    frames: dict[Kind, int]
    """Frames received for each track; AAC has other frames than the Opus it was made of."""
    ends_ns: dict[Kind, int]
    """Where each track's media ends."""
    channels: int = 0
    """Of sound; 0 without it."""
    layers: tuple[LayerSpan, ...] = ()
    """Which layer and picture size was recorded from when on."""
    has_transcoded_picture: bool = False
    """True if the picture is not the sender's own coding (rule R48)."""
    missing: tuple[Missing, ...] = ()
    """What came and was left out of it, as far as no segment told."""


@dataclass(frozen=True, slots=True)
class FileEnded:
    """A file takes no more samples; `file.finish()` is still to be called, on any thread but the media thread."""

    index: int
    file: OpenFile | HlsFile
    path: Path
    summary: FileSummary


Fact = FileOpened | SegmentEnded | FileEnded


@dataclass(slots=True)
class Cuts:
    """What decides where files begin."""

    wanted: RecordFormat
    audio_mode: AudioMode
    cycle_ns: int
    """A file is followed by the next one at the first cut point after this; 0 for never."""
    merge_gap_ns: int | None = 0
    """A longer interruption begins a new file; None goes over any."""
    slice_s: int = 0
    """How long the segments of a playlist are to be."""
    is_alone: bool = True
    """False if the rule asks for another format as well: what only repeats that one is then left out."""


@dataclass(slots=True)
class _Current:
    """The open file and what is counted of it."""

    index: int
    plan: Plan
    path: Path
    file: OpenFile | HlsFile
    start_ns: int
    video: VideoFormat | None
    channels: int
    cycle_from_ns: int
    """Where its cycle counts from: its start, or that of the playlist it goes on with."""
    frames: dict[Kind, int] = field(default_factory=dict)
    ends_ns: dict[Kind, int] = field(default_factory=dict)
    layers: list[LayerSpan] = field(default_factory=list)


class FileSeries:
    """Cuts one recording's samples into files of one format."""

    def __init__(
        self,
        cuts: Cuts,
        *,
        new_path: Callable[[int, str], Path],
        emit: Callable[[Fact], None],
        wrote: Callable[[Sample], None] = lambda _sample: None,
        wall_ns: Callable[[int], int] = lambda ns: ns,
        indexes: Iterator[int] | None = None,
        zero_ns: int = 0,
        has_room: Callable[[], bool] = lambda: True,
    ) -> None:
        """`wall_ns` turns nanoseconds from the origin into Unix time, for what files state of themselves.

        `wrote` is told of each sample a file took; `indexes` numbers the files of all series of a recording.
        `zero_ns` is the Unix time that the segments of all playlists call 0; `has_room` tells whether another file
        could be looked after.
        """
        self._cuts = cuts
        self._wall_ns = wall_ns
        self._new_path = new_path
        self._emit = emit
        self._wrote = wrote
        self._zero_ns = zero_ns
        self._indexes = indexes if indexes is not None else count()
        self._expected: frozenset[Kind] = frozenset()
        self._current: _Current | None = None
        self._held_sound: list[Sample] = []
        self._turnover = Turnover(has_room)
        self._is_cut_due = False
        self.channels = 0
        """Of the sound heard so far; 0 before any."""
        self._is_declined = False
        """True while the picture is of a coding that another series of the recording keeps in the same container."""

    @property
    def start_ns(self) -> int | None:
        """Where the open file begins, nanoseconds from the recording's origin; None without one."""
        return self._current.start_ns if self._current else None

    @property
    def is_open(self) -> bool:
        """True while a file takes samples."""
        return self._current is not None

    @property
    def is_begun(self) -> bool:
        """True while a file takes samples, or sound waits for one to open."""
        return self._current is not None or bool(self._held_sound)

    @property
    def wants_keyframe(self) -> bool:
        """True if the next cut only waits for a keyframe."""
        has_picture = self._current is not None and self._current.video is not None
        is_due = self._is_cut_due or (self._current is not None and self._current.file.wants_keyframe)
        is_due |= self.is_leaving_out
        return Kind.VIDEO in self._expected and (is_due or not (has_picture or self._is_declined))

    @property
    def is_leaving_out(self) -> bool:
        """True while pictures are left out, because files or changes were too many (`turnover.py`)."""
        return self._turnover.is_leaving_out(Kind.VIDEO)

    def goes_over(self, absent_ns: int) -> bool:
        """Return whether an interruption so long leaves the open file open."""
        return self._cuts.merge_gap_ns is None or absent_ns <= self._cuts.merge_gap_ns

    def may_cut_at(self, sample: Sample) -> bool:
        """Return whether a file may end just before a sample: a keyframe, or sound where none is to be expected."""
        if not sample.data:
            return False
        if sample.kind is Kind.VIDEO:
            return sample.is_keyframe
        if self._current is None:
            return Kind.VIDEO not in self._expected
        return self._has_no_picture(self._current, sample.pts_ns)

    def expect(self, kinds: frozenset[Kind]) -> None:
        """Say which tracks are negotiated: a file opened from now on declares these and no others."""
        if self._current is not None and kinds - self._declared(self._current):
            self._is_cut_due = True
        self._expected = kinds

    def hear(self, packet: bytes) -> None:
        """Note an Opus packet's channels before it is placed: a file is stereo if any packet until it opened was."""
        self.channels = max(self.channels, channel_count(packet))

    def update(self, cuts: Cuts) -> None:
        """Go on under other cuts: the current file ends at the next cut point."""
        self._cuts = cuts
        self._is_cut_due = self._current is not None

    def count_from(self, index: int, ns: int) -> None:
        """Count the cycle of a file from an earlier moment, if it is still open: it goes on with a playlist."""
        if self._current is not None and self._current.index == index:
            self._current.cycle_from_ns = ns

    def push(self, sample: Sample) -> None:
        """Take the next sample; both tracks merged, in time order.

        Raises:
            InternalError: the spool refused the bytes; the file is as readable as after a crash.
        """
        if not sample.data:
            return  # It shows nothing, and a file that began with it would not open.
        if self._current is not None and self._cuts.cycle_ns:
            self._is_cut_due |= sample.pts_ns - self._current.cycle_from_ns >= self._cuts.cycle_ns
        if sample.kind is Kind.AUDIO:
            self._push_sound(sample)
        elif sample.is_keyframe:
            self._push_keyframe(sample)
        elif self.is_leaving_out:
            self._turnover.leave_out(sample)
        elif self._current is not None and self._current.video is not None:
            if _is_of(self._current.video, sample):
                self._write(self._current, sample)
            else:
                self._is_cut_due = True  # The keyframe of another coding was lost.

    def tick(self, now_ns: int) -> None:
        """Open a file without picture if sound has waited long enough; `now_ns` counts from the origin."""
        if self._held_sound and now_ns - self._held_sound[0].pts_ns >= HELD_SOUND_NS_MAX:
            self._open_without_picture()
        if self._current is not None:
            self._current.file.tick(now_ns)

    def close(self) -> None:
        """End the current file, if any; what still waits for a keyframe gets a file without picture."""
        if self._held_sound:
            self._open_without_picture(is_owed=True)
        current, self._current, self._is_cut_due = self._current, None, False
        if current is not None:
            current.file.conclude()
            self._emit(_ended(current, self._turnover.told(is_last=True)))

    def abort(self) -> None:
        """Leave the current file as a crash would: every whole fragment readable."""
        if self._current is not None:
            self._current.file.abort()
            self._current = None

    def _push_sound(self, sample: Sample) -> None:
        current = self._current
        if self._is_declined:
            return
        if current is None:
            self._held_sound.append(sample)
            waits = Kind.VIDEO in self._expected
            if not waits or sample.pts_ns - self._held_sound[0].pts_ns >= HELD_SOUND_NS_MAX:
                self._open_without_picture()
            return
        if self._is_cut_due and self._has_no_picture(current, sample.pts_ns):
            self._held_sound.append(sample)
            self._cut_without_picture()
            return
        if Kind.AUDIO in self._declared(current):
            self._write(current, sample)

    def _push_keyframe(self, sample: Sample) -> None:
        current = self._current
        self._is_declined = current is None and self._declines(Codec(sample.codec))
        if self._is_declined:
            self._held_sound = []
            return
        fits = current is not None and _fits(current, sample)
        is_new = not fits or self._is_cut_due
        if is_new and not self._turnover.may_begin(sample.pts_ns, pixels=sample.width * sample.height):
            is_new = False
            if not fits:
                self._turnover.leave_out(sample)
                return
        if current is not None and (not is_new or (not self._is_cut_due and not _describes(current, sample))):
            self._go_on(current, sample)
            return
        held, self._held_sound = self._held_sound, []
        self._turnover.go_on(Kind.VIDEO, sample.pts_ns)
        if current is not None:
            self.close()
        self._is_declined = self._declines(Codec(sample.codec))
        if self._is_declined:
            return
        video = VideoFormat(Codec(sample.codec), sample.width, sample.height, sample.data, sample.is_transcoded)
        self._open(video, min(waiting.pts_ns for waiting in [*held, sample]))
        for waiting in [*held, sample]:
            assert self._current is not None, "a file has just been opened"  # noqa: S101 - for the type checker
            self._write(self._current, waiting)

    def _go_on(self, current: _Current, keyframe: Sample) -> None:
        """Write a keyframe into the open file, unless its pictures have changed too often."""
        is_segmented = current.plan.container in SEGMENTED
        coding = parameters(Codec(keyframe.codec), keyframe.data) if is_segmented else b""
        look = keyframe.width, keyframe.height, keyframe.rid, coding
        if self._turnover.may_show(look, keyframe.pts_ns):
            self._write(current, keyframe)
        else:
            self._turnover.leave_out(keyframe)

    def _declines(self, codec: Codec) -> bool:
        """Return whether pictures of a coding are left to the other series: only it can keep them."""
        if self._cuts.is_alone or self._cuts.wanted is not RecordFormat.HLS:
            return False
        return plan(codec, with_audio=False, audio_mode=AudioMode.AAC, wanted=RecordFormat.HLS).is_fallback

    def _has_no_picture(self, current: _Current, now_ns: int) -> bool:
        """Return whether no keyframe is to be expected to cut at: nobody sends pictures, or not for seconds."""
        last_ns = current.ends_ns.get(Kind.VIDEO, current.start_ns)
        return Kind.VIDEO not in self._expected or now_ns - last_ns > NO_PICTURE_NS

    def _cut_without_picture(self) -> None:
        held, self._held_sound = self._held_sound, []
        self.close()
        self._held_sound = held
        self._open_without_picture(is_owed=True)

    def _open_without_picture(self, *, is_owed: bool = False) -> None:
        held, self._held_sound = self._held_sound, []
        if not self._turnover.may_begin(held[0].pts_ns, is_owed=is_owed):
            for sample in held:
                self._turnover.leave_out(sample)
            return
        current = self._open(None, held[0].pts_ns)
        for sample in held:
            self._write(current, sample)

    def _open(self, video: VideoFormat | None, start_ns: int) -> _Current:
        channels = (self.channels or 2) if Kind.AUDIO in self._expected or video is None else 0
        chosen = plan(
            video.codec if video else None,
            with_audio=bool(channels),
            audio_mode=self._cuts.audio_mode,
            wanted=self._cuts.wanted,
            is_transcoded=_is_transcoded(video),
        )
        index = next(self._indexes)
        path = self._new_path(index, EXTENSIONS[chosen.record_format].removeprefix("."))
        audio = AudioFormat(Codec.OPUS, channels) if channels else None
        make = self._playlist if chosen.container in SEGMENTED else self._one_file
        opened = FileOpened(
            index,
            path,
            chosen,
            start_ns,
            self._cuts.wanted,
            _codecs(chosen, video),
            channels,
            has_transcoded_picture=_is_transcoded(video),
        )
        self._current = _Current(index, chosen, path, make(opened, video, audio), start_ns, video, channels, start_ns)
        self._is_cut_due = False
        self._emit(opened)
        return self._current

    def _one_file(self, opened: FileOpened, video: VideoFormat | None, audio: AudioFormat | None) -> OpenFile:
        start, origin_ns = Fraction(opened.start_ns, NS), self._wall_ns(opened.start_ns)
        return OpenFile(opened.path, opened.plan, video=video, audio=audio, start=start, origin_ns=origin_ns)

    def _playlist(self, opened: FileOpened, video: VideoFormat | None, audio: AudioFormat | None) -> HlsFile:
        return HlsFile(
            opened.plan,
            video=video,
            audio=audio,
            zero_ns=self._zero_ns - self._wall_ns(0),
            start_ns=opened.start_ns,
            slice_s=self._cuts.slice_s,
            new_path=partial(self._new_path, opened.index),
            emit=partial(self._tell_segment, opened.index),
        )

    def _tell_segment(self, index: int, segment: ClosedSegment) -> None:
        missing = (*segment.missing, *self._turnover.told())
        self._emit(SegmentEnded(index, replace(segment, missing=missing) if missing else segment))

    def _write(self, current: _Current, sample: Sample) -> None:
        self._turnover.go_on(sample.kind, sample.pts_ns)
        current.frames[sample.kind] = current.frames.get(sample.kind, 0) + 1
        current.ends_ns[sample.kind] = sample.end_ns
        if sample.width:
            span = LayerSpan(sample.pts_ns, sample.rid, sample.width, sample.height)
            if not current.layers or replace(current.layers[-1], start_ns=span.start_ns) != span:
                current.layers.append(span)
        current.file.push(sample)
        self._wrote(sample)

    @staticmethod
    def _declared(current: _Current) -> frozenset[Kind]:
        kinds = {Kind.VIDEO} if current.video else set()
        return frozenset(kinds | ({Kind.AUDIO} if current.channels else set()))


def _fits(current: _Current, keyframe: Sample) -> bool:
    """Return whether the open file can carry a keyframe: of its coding, with a change it may make in band (R17)."""
    video = current.video
    if video is None or not _is_of(video, keyframe):
        return False
    if current.plan.container is not Container.MP4:
        return True
    last = current.layers[-1] if current.layers else None
    size = keyframe.width, keyframe.height
    if video.codec is Codec.AV1 and last is not None and (last.width, last.height) != size:
        return False
    return profile(video.codec, video.keyframe) == profile(video.codec, keyframe.data)


def _describes(current: _Current, keyframe: Sample) -> bool:
    """Return whether another file could begin with a keyframe that does not fit; a hostile one goes into the open file.

    Costs some milliseconds.
    """
    video = VideoFormat(Codec(keyframe.codec), keyframe.width, keyframe.height, keyframe.data)
    return current.video is None or not _is_of(current.video, keyframe) or describes_pictures(video)


def _is_of(video: VideoFormat, picture: Sample) -> bool:
    """Return whether a picture is of the coding a file was opened for."""
    return (video.codec, video.is_transcoded) == (picture.codec, picture.is_transcoded)


def _codecs(chosen: Plan, video: VideoFormat | None) -> dict[Kind, Codec]:
    codecs = {Kind.VIDEO: video.codec} if video else {}
    return codecs | ({Kind.AUDIO: chosen.audio_codec} if chosen.audio_codec else {})


def _is_transcoded(video: VideoFormat | None) -> bool:
    return video is not None and video.is_transcoded


def _ended(current: _Current, missing: tuple[Missing, ...]) -> FileEnded:
    last = current.layers[-1] if current.layers else None
    summary = FileSummary(
        start_ns=current.start_ns,
        end_ns=max(current.ends_ns.values(), default=current.start_ns),
        width=last.width if last else 0,
        height=last.height if last else 0,
        codecs=_codecs(current.plan, current.video),
        frames=current.frames,
        ends_ns=current.ends_ns,
        channels=current.channels,
        layers=tuple(current.layers),
        has_transcoded_picture=_is_transcoded(current.video),
        missing=missing,
    )
    return FileEnded(current.index, current.file, current.path, summary)
