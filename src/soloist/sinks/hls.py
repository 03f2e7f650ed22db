"""Samples in, the segments of one HLS playlist out: where they begin, how long they last, what breaks between them.

A segment ends at the first keyframe after its wanted length; without pictures, at a sound packet. None gets longer than
the playlist's target duration, which can never change: at the latest there a segment ends at any picture, and the next
one says that it cannot be decoded alone. Media that breaks off, or pictures that change
their coding, are a discontinuity. Sound is one unbroken line across segments. While the camera is off and
the sound goes on, segments show black (`still.py`, ADR 0012). Lives on the media thread.
Spec: RFC 8216 §4.3.2.1 (duration), §4.3.2.3 (discontinuity), §4.3.3.1 (target); rules R17, R30.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

from soloist.model.errors import InternalError
from soloist.model.media import AudioFormat, Codec, Kind, Sample, VideoFormat
from soloist.model.timing import Cause, Missing
from soloist.sinks.aac import FRAME_TICKS, RATE_HZ, AacTranscoder
from soloist.sinks.matrix import Container, Plan
from soloist.sinks.opus_line import OpusLine
from soloist.sinks.parameters import parameters
from soloist.sinks.segment import Fmp4Segment, TsSegment
from soloist.sinks.still import BLACK_PICTURES, BLACK_SIZE
from soloist.sinks.template import video_template
from soloist.wire.clock import NS, ns_to_ticks, ticks_to_ns
from soloist.wire.playlist import target_duration_s

VIDEO_HZ = 90_000
HOLE_NS = 2 * NS
"""Without any media for longer than this a playlist goes on after a discontinuity."""
DARK_NS = 2 * NS
"""Sound without a picture for longer than this is shown in black from where the last one ended: what the timeline
declares missing. Until then it waits, because a segment may end only there."""
HOLE_SHOWN_NS = NS // 10
"""Players go over a hole at the end of a TS segment that is no longer; else the next picture stands in it as well. In
fMP4 the last picture says that it lasts until the next one."""
HOLE_FIRST_NS = NS // 50
"""As long, a packet of sound, may one before the first picture be: Shaka puts that where sound begins, and is short of
as much later."""
BLACK_NS = NS // 5
"""How often the black picture comes again: some players show the last one of a segment only this long."""
PACKET_TICKS = 960
"""Of sound, as browsers send it."""
SOUND_OVERDUE_NS = NS // 2
"""Sound that has not come so long after a segment has ended, when the next one ends as well, will not."""
SOUND_LAG_NS = 1_600_000_000
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
    """Of its picture in pixels; 0 without one, or with black ones of ours."""
    height: int = 0
    rid: str | None = None
    missing: tuple[Missing, ...] = ()
    """What came and is not in it: pictures that referred to those black ones had taken the place of."""


@dataclass(slots=True)
class _Open:
    """The segment being written."""

    file: TsSegment | Fmp4Segment
    start_ns: int
    is_discontinuous: bool
    is_dark: bool
    """True if its pictures are ours: black."""
    init: Path | None
    picture: Sample | None = None
    """The last keyframe."""
    end_ns: int = 0
    is_independent: bool = True
    frames: dict[Kind, int] = field(default_factory=dict)
    ends_ns: dict[Kind, int] = field(default_factory=dict)
    missing: tuple[Missing, ...] = ()


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
        self._hole_shown_ns = HOLE_SHOWN_NS if plan.container is Container.TS else DARK_NS
        self._new_path = new_path
        self._emit = emit
        self._line: AacTranscoder | OpusLine | None = None
        self._open: _Open | None = None
        self._ending: tuple[_Open, int] | None = None
        """The segment before and where it ends: its last sound is still in the encoder."""
        self._count = 0
        self._end_ns = start_ns
        """Where the media of the segments so far ends."""
        self._coding = b""
        self._init: Path | None = None
        self._damaged_count = 0
        self._is_due = False
        self._pictures_end = (-1, VIDEO_HZ)
        """Where the pictures so far end: ticks, and how many of them are a second."""
        self._waiting: list[Sample] = []
        """Sound after that, until it is known whether pictures go on."""
        self._black: Sample | None = None
        """The next picture while segments are dark."""
        self._left_out: Missing | None = None
        """Pictures that came since, all but a keyframe."""

    @property
    def wants_keyframe(self) -> bool:
        """True if the segment has its length and only waits for a keyframe."""
        return self._is_due

    @property
    def damaged_count(self) -> int:
        """Frames that could not be kept."""
        concealed = self._line.concealed_count if self._line else 0
        return self._damaged_count + concealed

    def push(self, sample: Sample) -> None:
        """Write one sample; both tracks merged, in time order.

        Raises:
            InternalError: the spool refused the bytes.
        """
        if self._video is None:
            self._take(sample)
        elif sample.kind is Kind.AUDIO:
            self._push_sound(sample)
        else:
            self._push_picture(sample)

    def _push_sound(self, sample: Sample) -> None:
        at_ns = sample.pts_ns
        if self._black is not None:
            self._blacken(at_ns)
            self._take(sample)
        elif self._waiting or at_ns > self._pictures_end_ns:
            self._waiting.append(sample)
            now = self._open
            is_full = now is not None and self._goes_on(now, sample) and sample.end_ns - now.start_ns > self._target_ns
            if is_full or sample.end_ns - self._waiting[0].pts_ns > DARK_NS:
                self._darken()
        else:
            self._take(sample)

    def _push_picture(self, sample: Sample) -> None:
        now = self._open
        goes_on = now is not None and self._goes_on(now, sample)
        if self._waiting and not sample.is_keyframe and not goes_on:
            self._darken()  # After a hole no player shows it.
        if self._black is not None:
            if not sample.is_keyframe:
                self._is_due = True  # It refers to pictures that black ones have taken the place of.
                self._leave_out(sample.pts_ns, sample.end_ns)
                return
            if self._left_out is not None:
                self._leave_out(sample.pts_ns, sample.pts_ns)
            self._black, now = None, self._open
            if now is not None and now.start_ns < sample.pts_ns <= now.end_ns + HOLE_NS:
                self._close(sample.pts_ns)
        elif sample.is_keyframe and (self._waiting or goes_on) and self._begins_anew(sample):
            self._describe(sample)
            ticks, rate_hz = self._alone_from(sample)
            early = replace(sample, pts_ticks=ticks, duration_ticks=1, rate_hz=rate_hz)
            if sample.pts_ns - early.pts_ns > (self._hole_shown_ns if goes_on else HOLE_FIRST_NS):
                self._leave_pictures(early)
        self._release()
        self._take(sample)
        self._tell_left_out()
        self._pictures_end = (sample.pts_ticks + sample.duration_ticks, sample.rate_hz)

    def _leave_out(self, start_ns: int, end_ns: int) -> None:
        """Note that pictures are missing from a moment on, unless they already were, until another."""
        start_ns = self._left_out.start_ns if self._left_out else start_ns
        self._left_out = Missing(Kind.VIDEO, start_ns, end_ns, Cause.GAP, "waiting_keyframe")

    def _tell_left_out(self) -> None:
        """Have the open segment tell what was left out before it."""
        if self._left_out is not None and self._open is not None:
            self._open.missing, self._left_out = (self._left_out,), None

    def _begins_anew(self, keyframe: Sample) -> bool:
        """Return whether a keyframe, or the sound that waits for it, is the first of another segment."""
        now = self._open
        if now is None or now.picture is None or not self._goes_on(now, keyframe):
            return True
        return keyframe.pts_ns - now.start_ns >= self._slice_ns or self._is_other(keyframe, now.picture)

    def _goes_on(self, now: _Open, sample: Sample) -> bool:
        """Return whether there is no hole between the open segment and a sample, or the sound that waits for it."""
        return (self._waiting or [sample])[0].pts_ns - now.end_ns <= HOLE_NS

    def _release(self) -> None:
        """Write the sound that waited: pictures go on, or nothing does."""
        waiting, self._waiting = self._waiting, []
        for sound in waiting:
            self._take(sound)

    def _let_go(self) -> None:
        """Write the sound that waited, as no picture will come: in black, unless it goes on with the open segment."""
        now = self._open
        if self._waiting and (now is None or not self._goes_on(now, self._waiting[0])):
            self._darken()
        else:
            self._release()

    def _alone_from(self, sample: Sample) -> tuple[int, int]:
        """Return where there is no picture from, in ticks: their end, or the sound that waits for `sample`."""
        now, first_ns = self._open, (self._waiting or [sample])[0].pts_ns
        if now is None or now.start_ns >= self._pictures_end_ns or first_ns - self._pictures_end_ns > HOLE_NS:
            return -(-first_ns * VIDEO_HZ // NS), VIDEO_HZ
        return self._pictures_end

    def _leave_pictures(self, ours: Sample) -> None:
        """Close the open segment where its pictures end; the next one begins there with a picture that is ours."""
        now, at_ns = self._open, ours.pts_ns
        if now is not None and now.start_ns < at_ns <= now.end_ns + HOLE_NS:
            self._close(at_ns)
        self._take(ours, is_ours=True)

    def _darken(self) -> None:
        """Go on in black from where the pictures ended."""
        assert self._video is not None, "without pictures nothing gets dark"  # noqa: S101 - for the type checker
        ticks, rate_hz = self._alone_from(self._waiting[0])
        data, (width, height) = BLACK_PICTURES[self._video.codec], BLACK_SIZE
        self._black = Sample(Kind.VIDEO, ticks, 1, rate_hz, is_keyframe=True, data=data, width=width, height=height)
        self._leave_pictures(self._black)
        waiting, self._waiting = self._waiting, []
        for sound in waiting:
            self._push_sound(sound)

    def _blacken(self, until_ns: int) -> None:
        """Write the black pictures that are due; none for a time without sound."""
        assert self._black is not None, "only what is dark is blackened"  # noqa: S101 - for the type checker
        step_ticks = BLACK_NS * self._black.rate_hz // NS
        if until_ns - self._black.pts_ns > HOLE_NS:
            step_ticks = -(-until_ns * self._black.rate_hz // NS) - self._black.pts_ticks
        while (black := replace(self._black, pts_ticks=self._black.pts_ticks + step_ticks)).pts_ns <= until_ns:
            self._take(black, is_ours=True)
            self._black = black

    @property
    def _pictures_end_ns(self) -> int:
        return ticks_to_ns(*self._pictures_end)

    def _take(self, sample: Sample, *, is_ours: bool = False) -> None:
        """Write a sample into the segment it belongs to; one that is ours is none of the sender's."""
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
        self._write(sample, is_ours=is_ours)

    def tick(self, now_ns: int) -> None:
        """Close a segment to which nothing has come for long; `now_ns` counts from the recording's origin."""
        if self._waiting and now_ns - self._waiting[-1].end_ns > DARK_NS:
            self._let_go()
        if self._ending is not None and now_ns - self._ending[1] > DARK_NS:
            self._fill_ending()
            self._finish()
        if self._open is not None and now_ns - self._open.end_ns > self._target_ns:
            self._break_off()

    def conclude(self) -> None:
        """Close the last segment: nothing more will be pushed. Sound still in the encoder goes into it."""
        self._let_go()
        self._tell_left_out()
        if self._open is not None:
            self._break_off()

    def finish(self) -> None:
        """Do nothing: segments are finished one by one."""

    def abort(self) -> None:
        """Leave the open segment as a crash would. Never raises."""
        for segment in (self._ending and self._ending[0], self._open):
            if segment is not None:
                segment.file.abort()
        self._open = self._ending = None

    def _ends_before(self, now: _Open, sample: Sample) -> bool:
        """Return whether a segment ends just before a sample, and whether it is due to."""
        length_ns = sample.pts_ns - now.start_ns
        is_keyframe = sample.kind is Kind.VIDEO and sample.is_keyframe
        if length_ns > 0 and is_keyframe and now.picture is not None and self._is_other(sample, now.picture):
            return True
        if length_ns < self._slice_ns:
            return False
        is_cut_point = is_keyframe or self._video is None
        self._is_due = not is_cut_point
        is_last_chance = sample.kind is Kind.VIDEO and sample.end_ns - now.start_ns > self._target_ns - NS
        return is_cut_point or is_last_chance

    def _is_other(self, keyframe: Sample, before: Sample) -> bool:
        """Return whether pictures change their size, layer or coding with a keyframe."""
        if (keyframe.width, keyframe.height, keyframe.rid) != (before.width, before.height, before.rid):
            return True
        assert self._video is not None, "there are pictures"  # noqa: S101 - for the type checker
        codec = self._video.codec
        return parameters(codec, keyframe.data) != parameters(codec, before.data)

    def _begin(self, sample: Sample, *, is_discontinuous: bool) -> None:
        """Open the next segment, whose first sample is this one."""
        if sample.is_keyframe and sample.kind is Kind.VIDEO and self._video is not None:
            self._describe(sample)
        file = self._segment(self._begin_sound(sample.pts_ns))
        is_other = file.coding != self._coding
        if is_other and file.init:
            # Named after the first segment that needs it.
            self._init = self._new_path(f"init{self._count}.mp4")
            _write_init(self._init, file.init)
        is_discontinuous |= is_other and self._count > 0
        self._open = _Open(
            file, sample.pts_ns, is_discontinuous, self._black is not None, self._init, end_ns=sample.pts_ns
        )
        self._coding = file.coding
        self._count += 1
        self._is_due = False

    def _describe(self, keyframe: Sample) -> None:
        """Take a keyframe for what tells of the pictures from now on, unless it is none: then the last one stands."""
        assert self._video is not None, "a playlist has pictures from its first segment on"  # noqa: S101 - as above
        video = VideoFormat(self._video.codec, keyframe.width, keyframe.height, keyframe.data)
        with suppress(InternalError):
            video_template(video)
            self._video = video

    def _segment(self, audio: AudioFormat | None) -> TsSegment | Fmp4Segment:
        path = self._new_path(f"{self._count:05d}.{_EXTENSIONS[self._plan.container]}")
        if self._plan.container is Container.TS:
            return TsSegment(path, video=self._video, audio=audio, start=self._zero)
        return Fmp4Segment(path, video=self._video, audio=audio, start=self._zero, number=self._count)

    def _begin_sound(self, start_ns: int) -> AudioFormat | None:
        """Return what sound is written as; a line of it that is begun here begins with silence until sound comes."""
        if self._audio is None:
            return None
        if self._line is None:
            line = AacTranscoder if self._plan.audio_codec is Codec.AAC else OpusLine
            self._line = line(self._audio.channels)
            self._line.advance_to(ns_to_ticks(start_ns, RATE_HZ))
        return self._line.format

    def _break_off(self) -> None:
        """Close the segment where its media ends; sound still in the encoder goes into it."""
        now = self._open
        assert now is not None, "only an open segment breaks off"  # noqa: S101 - for the type checker
        if self._line is not None:
            # A packet at least, however short the segment is.
            least = min(ns_to_ticks(now.end_ns, RATE_HZ), ns_to_ticks(now.start_ns, RATE_HZ) + PACKET_TICKS)
            self._put(now, self._line.advance_to(max(ns_to_ticks(now.end_ns - HOLE_SHOWN_NS, RATE_HZ), least)))
            self._put(now, self._line.finish())
            self._damaged_count += self._line.concealed_count
            self._line = None
        self._close(now.end_ns)

    def _write(self, sample: Sample, *, is_ours: bool) -> None:
        now = self._open
        assert now is not None, "a segment has just been opened"  # noqa: S101 - for the type checker
        if not is_ours:
            now.frames[sample.kind] = now.frames.get(sample.kind, 0) + 1
            now.ends_ns[sample.kind] = sample.end_ns
        now.end_ns = max(now.end_ns, sample.end_ns)
        if sample.kind is Kind.VIDEO:
            if sample.is_keyframe:
                now.picture = sample
            now.is_independent &= now.picture is not None
            if self._line is not None:
                self._put(now, self._line.advance_to(ns_to_ticks(sample.pts_ns - SOUND_LAG_NS, RATE_HZ)))
            self._put(now, [sample])
        elif self._line is not None:
            self._put(now, self._line.push(sample))

    def _put(self, now: _Open, samples: list[Sample]) -> None:
        for sample in samples:
            if sample.pts_ns < self._start_ns:
                continue  # The encoder begins a frame before its sound.
            if self._ending is not None and sample.kind is Kind.AUDIO:
                before, end_ns = self._ending
                if sample.pts_ns < end_ns:
                    before.file.push(sample)
                    continue
                self._finish()
            now.file.push(sample)

    def _close(self, end_ns: int) -> None:
        """End the open segment. It is whole once its last sound has left the encoder.

        Players put the first of a segment's samples where the playlist says that the segment begins.
        """
        now = self._open
        assert now is not None, "only an open segment is closed"  # noqa: S101 - for the type checker
        if self._ending is not None and end_ns - self._ending[1] >= SOUND_OVERDUE_NS:
            self._fill_ending()
        self._finish()
        self._open, self._end_ns, self._ending = None, end_ns, (now, end_ns)
        if self._line is None:
            self._finish()

    def _fill_ending(self) -> None:
        """Give the segment that has ended silence for sound that did not come; two frames of AAC are in the encoder."""
        if self._ending is not None and self._line is not None and self._open is not None:
            until_ticks = ns_to_ticks(self._ending[1], RATE_HZ) + 2 * FRAME_TICKS
            self._put(self._open, self._line.advance_to(until_ticks))

    def _finish(self) -> None:
        """Close the segment that has ended, if any, and tell of it."""
        if self._ending is None:
            return
        (now, end_ns), self._ending = self._ending, None
        now.file.close(Fraction(end_ns, NS))
        shown = None if now.is_dark else now.picture
        self._damaged_count += now.file.refused_count
        segment = ClosedSegment(
            path=now.file.path,
            start_ns=now.start_ns,
            end_ns=end_ns,
            is_discontinuous=now.is_discontinuous,
            is_independent=now.is_independent,
            init=now.init,
            frames=now.frames,
            ends_ns=now.ends_ns,
            width=shown.width if shown else 0,
            height=shown.height if shown else 0,
            rid=shown.rid if shown else None,
            missing=now.missing,
        )
        self._emit(segment)


def _write_init(path: Path, init: bytes) -> None:
    try:
        path.write_bytes(init)
    except OSError as error:
        raise InternalError(f"The spool refused a segment ({error.strerror}); free its disk.") from error


_EXTENSIONS = {Container.TS: "ts", Container.FMP4: "m4s"}
