"""The one page where source, timeline and sinks meet: one job's media, on the media thread.

A `Recording` is a subscriber of the job's room. It routes frames to the timeline, merges the samples, and lets a file
series cut them. It tells the event loop what happened through `emit`; files are finished, moved and journaled there
(`filing.py`). All methods but the constructor run on the media thread; none blocks on more than a local write.
Spec: API section 6.3 (interruptions); rules R12, R14, R16, R41, R46.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path

import structlog

from soloist.core import Overflow
from soloist.model.errors import SoloistError
from soloist.model.event import RecordingTroubled, Trouble
from soloist.model.job import Job
from soloist.model.media import EncodedFrame, Kind, Sample
from soloist.model.rule import RecordFormat, RecordRule
from soloist.model.timing import Cause, Missing
from soloist.recording.absences import Absences
from soloist.recording.cutting import Fact, FileEnded, FileSeries, FileSummary
from soloist.recording.facts import Emit, MediaFacts, Tap
from soloist.recording.selection import LAYER_SILENT, Selection
from soloist.recording.selfcheck import SelfCheck
from soloist.recording.terms import UNIX_EPOCH, cuts_of, segments_zero_ns, transcodes_vp8
from soloist.recording.transcoding import PictureLine
from soloist.recording.vigil import Vigil
from soloist.sinks.template import PIXELS_MAX
from soloist.sources.ingest import REPLACED, PublisherMedia
from soloist.sources.items import Media, is_frame, is_overflow, is_report
from soloist.wire.clock import NS
from soloist.wire.interleave import Interleaver
from soloist.wire.left_out import PICTURE_TOO_LARGE
from soloist.wire.places import Places
from soloist.wire.timeline import Timeline

log = structlog.get_logger("soloist.recording")

DETACH_WORDS = {"left": "participant_left", "timeout": "participant_lost", "failed": "transport_failed"}
SUSPENDED = "suspended"
"""Why media is missing that the customer ordered not to be recorded."""
SILENT_PUBLISHER_NS = 5 * NS
"""A publisher that was replaced after so long a silence had been lost, not replaced."""
KEYFRAME_LAG_NS = NS
"""Longer than a keyframe that has arrived takes to reach the files: it waits for its stream's clock, and for sound."""
SILENCE_NS = 2 * NS
"""When nothing has come for so long, no sample waits for one of the other track any more."""
END_TOLERANCE_NS = 100_000_000
"""Tracks that end this close together end together: a picture lasts longer than a packet of sound."""


COUNTS = {"clocks_leapt": 0, "pictures_refused": 0}
"""Since the start, in all recordings of this process; written on the media thread, read by metrics."""


class Recording:
    """Records what one participant publishes, until `stop`."""

    def __init__(
        self,
        job: Job,
        *,
        new_path: Callable[[int, str], Path],
        emit: Emit,
        fail: Callable[[SoloistError], None],
        has_room: Callable[[], bool] = lambda: True,
        transcoders: Places | None = None,
    ) -> None:
        """`new_path(index, extension)` names the next spool file; `emit` and `fail` are called on the media thread.

        `has_room` tells there whether another file could be looked after; `transcoders` are the places of this process.
        """
        self._timeline = Timeline()
        self._selection = Selection(job, lambda: self._timeline.interrupt(Kind.VIDEO, Cause.GAP, LAYER_SILENT))
        is_transcoded = transcodes_vp8(job)
        self.line = PictureLine(job.job_id, places=transcoders, project=job.project_id) if is_transcoded else None
        """Where VP8 becomes H.264; None where it is kept as it came."""
        self._now_ns = 0
        """The latest moment anyone told of, on the steady clock."""
        self._interleaver = Interleaver()
        self._check = SelfCheck(job.job_id)
        self._vigil = Vigil()
        self._job_id = job.job_id
        self._emit = emit
        self._fail = fail
        self._absences = Absences()
        self._rule = job.rule
        self._next_rule: RecordRule | None = None
        """From the next cut point on."""
        self._new_path, self._has_room = new_path, has_room
        self._indexes = count()
        self._zero_ns = segments_zero_ns(job)
        self._keyframe_ns = 0
        """Arrival of the last keyframe."""
        self._last_frame_ns = 0
        """Arrival of the last frame that was recorded; 0 before any."""
        self._is_interrupted = False
        """True from when nobody publishes what is recorded until the next frame."""
        self._is_new_publisher = False
        self._is_suspended = False
        self._awaits_keyframe = False
        """True from when a suspended recording goes on until its picture can."""
        self._is_over = False
        self._tap: Tap | None = None
        self._series: dict[RecordFormat, FileSeries] = {}
        """One for each format the rule asks for; the first is held against what came."""
        if job.rule is not None:
            self._follow(job.rule)
        if job.suspended:
            self.suspend(suspended=True)

    def on_attached(self, publisher: PublisherMedia) -> None:
        """Take a publisher in: its tracks decide what files declare, its reports place its frames."""
        mids = self._selection.attach(publisher)
        self._is_new_publisher |= bool(mids)
        self._timeline.expect(publisher.session, mids)
        for series in self._series.values():
            series.expect(self._selection.kinds)
        if self._tap is not None:
            self._tap.expect(self._selection.kinds)
        self._interleaver.expect(self._selection.kinds)
        for track in publisher.tracks:
            for rid in track.rids or (None,):
                for report in publisher.reports(track.mid, rid):
                    self._timeline.report(publisher.session, report, _rate_hz(track.kind))

    def on_detached(self, publisher: PublisherMedia, reason: str) -> None:
        """Let a publisher go; an interruption begins unless another took its place."""
        before = self._selection.kinds
        self._selection.detach(publisher)
        self._timeline.conclude(self._now_ns)
        self._timeline.forget(publisher.session)
        if reason == REPLACED:
            for kind in before:
                self._timeline.interrupt(kind, Cause.GAP, "publisher_replaced")
            return
        for kind in before - self._selection.kinds:
            self._timeline.interrupt(kind, Cause.IDLE, DETACH_WORDS.get(reason, reason))
        self._is_interrupted = self._is_suspended or not self._selection.is_attached

    def on_items(self, publisher: PublisherMedia, items: Sequence[Media]) -> None:
        """Take a batch of one publisher's frames and reports, in order of arrival."""
        if self._is_over:
            return
        for item in items:
            if is_frame(item):
                kind = self._selection.route(publisher, item)
                if kind is not None and self._admits(kind, item) and self._can_keep(kind, item):
                    self._now_ns = max(self._now_ns, item.received_ns)
                    self._resume(item.received_ns)
                    self._check.came(kind, item)
                    if kind is Kind.VIDEO and item.is_keyframe:
                        self._keyframe_ns = item.received_ns
                    if kind is Kind.AUDIO:
                        self._hear(item.data)
                    self._timeline.push(publisher.session, item, kind)
                    self._vigil.came(kind, item.received_ns, is_shown=not self._timeline.awaits_keyframe(kind))
            elif is_report(item):
                self._timeline.report(publisher.session, item, _rate_hz(_kind_of(publisher, item.mid)))
            elif is_overflow(item):
                self._leave_out(publisher, item)
        self._selection.reconsider(items[-1].received_ns if is_frame(items[-1]) else self._last_frame_ns)
        self._hand_on()
        if not self._is_interrupted:
            self._ask_for_keyframe(self._last_frame_ns)

    def on_tick(self, now_ns: int) -> None:
        """Let time pass: place what waits, ask for overdue keyframes, end a file whose participant stays away."""
        if self._is_over:
            return
        self._now_ns = max(self._now_ns, now_ns)
        self._timeline.tick(now_ns)
        COUNTS["clocks_leapt"] += self._timeline.leaps_count
        self._timeline.leaps_count = 0
        self._selection.reconsider(now_ns)
        self._hand_on()
        if self._absent_ns(now_ns) > SILENCE_NS and (self.line is None or self.line.is_empty):
            self._write(self._interleaver.flush())
        if self._is_interrupted:
            self._end_files(self._absent_ns(now_ns))
        else:
            self._ask_for_keyframe(now_ns)
        self._check.look(now_ns)
        if self._tap is not None:
            self._tap.flush()
        self._look_after_writer(now_ns)
        # While pictures are being transcoded the files' time is not ours: theirs goes on with the samples.
        if self._timeline.origin_ns is not None and (self.line is None or self.line.is_empty):
            for series in self._series.values():
                self._guarded(partial(series.tick, now_ns - self._timeline.origin_ns))

    def tap(self, tap: Tap) -> None:
        """Hand the samples to `tap` as well from now on."""
        self._tap = tap
        tap.expect(self._selection.kinds)
        self._selection.request_keyframe()

    def update(self, rule: RecordRule) -> None:
        """Go on under another rule from the next cut point: files end there, and those it asks for begin."""
        self._next_rule = rule
        if any(series.is_begun for series in self._series.values()):
            self._selection.request_keyframe()
        else:
            self._guarded(self._change_rule)

    def count_from(self, index: int, began_at_ns: int) -> None:
        """Count a playlist's cycle from when it began, nanoseconds of Unix time: an earlier epoch did."""
        for series in self._series.values():
            series.count_from(index, began_at_ns - self._wall_ns(0))

    def suspend(self, *, suspended: bool) -> None:
        """Record nothing for a while, or go on: an interruption of the stream, declared as a pause (rule R52)."""
        if suspended == self._is_suspended:
            return
        self._is_suspended = suspended
        if suspended:
            self._timeline.conclude(self._now_ns)
            for kind in Kind:
                self._timeline.interrupt(kind, Cause.PAUSE, SUSPENDED)
            # Whoever is recorded afterwards comes back, be it the same publisher.
            self._is_interrupted = self._is_new_publisher = True
        else:
            self._awaits_keyframe = True
            self._is_interrupted = not self._selection.is_attached
            self._selection.request_keyframe()

    def wind_up(self) -> bool:
        """Write what is still held, as far as it is there; return whether `stop` would lose nothing any more."""
        if self._is_over or self.line is None:
            return True
        self._timeline.finish()
        self._hand_on()
        return self.line.is_empty

    def stop(self) -> None:
        """Write what is still held and end the file; nothing is recorded afterwards."""
        if not self._is_over:
            self._timeline.conclude(self._now_ns)
            self._end_files()
            if self.line is not None:
                self.line.give_up()
                self._hand_on()
                self.line.end()
            self._is_over = True

    def abort(self) -> None:
        """Leave the open file as a crash would; nothing is emitted any more."""
        self._is_over = True
        if self.line is not None:
            self.line.end()
        for series in self._series.values():
            series.abort()

    def _change_rule(self) -> None:
        """Let the next rule be in force: what opened under the one before and is no longer asked for ends here."""
        if self._next_rule is None:
            return
        self._follow(self._next_rule)
        for wanted in self._series.keys() - cuts_of(self._next_rule).keys():
            self._series[wanted].close()
            del self._series[wanted]
        self._rule, self._next_rule = self._next_rule, None

    def _follow(self, rule: RecordRule) -> None:
        """Let there be a series for each format of a rule, cut as it says."""
        self._timeline.keep_damaged = rule.keep_damaged
        channels = max((series.channels for series in self._series.values()), default=0)
        for wanted, cuts in cuts_of(rule).items():
            if wanted in self._series:
                self._series[wanted].update(cuts)
                continue
            self._series[wanted] = FileSeries(
                cuts,
                new_path=self._new_path,
                emit=self._tell,
                wrote=partial(self._wrote, wanted),
                wall_ns=self._wall_ns,
                indexes=self._indexes,
                zero_ns=self._zero_ns,
                has_room=self._has_room,
            )
            self._series[wanted].channels = channels
            self._series[wanted].expect(self._selection.kinds)

    def _wrote(self, wanted: RecordFormat, sample: Sample) -> None:
        """Note what the first series took: one is enough to see whether samples get lost on their way."""
        self._vigil.wrote(sample)
        if wanted is next(iter(self._series)):
            self._check.wrote(sample)

    def _look_after_writer(self, now_ns: int) -> None:
        """Tell what is wrong; end the files of a writer that is stuck, so that new ones begin (rules R14, R40)."""
        for trouble, since_ns in self._vigil.look(now_ns):
            is_stuck = trouble is Trouble.WRITER_RESTARTED
            # Sound waits for a file to open; pictures that are transcoded in a child are watched there.
            is_writing = any(series.is_open and not series.is_leaving_out for series in self._series.values())
            if is_stuck and (self.line is not None or not is_writing):
                continue
            log.warning(trouble.value, job_id=self._job_id, since_ns=since_ns)
            if is_stuck:
                self._close(list(self._series.values()))
                self._vigil.restarted()
                self._interleaver = Interleaver()
                self._interleaver.expect(self._selection.kinds)
                self._selection.request_keyframe()
            since = UNIX_EPOCH + timedelta(microseconds=since_ns // 1000)
            if self._rule is not None:  # What only forwards has its own states to tell.
                self._emit(RecordingTroubled(trouble, since), MediaFacts(self._wall_ns(0), rule=self._rule))

    def _hear(self, packet: bytes) -> None:
        for series in self._series.values():
            series.hear(packet)

    def _ask_for_keyframe(self, now_ns: int) -> None:
        """Ask for a keyframe if a cut waits for one and none is on its way; the core keeps the rate (rule R15)."""
        is_cut_wanted = self._next_rule is not None or any(series.wants_keyframe for series in self._series.values())
        is_cut_wanted |= self._tap is not None and self._tap.wants_keyframe
        is_late = now_ns - self._keyframe_ns > KEYFRAME_LAG_NS
        if self.line is not None:
            if is_cut_wanted and is_late:
                self.line.force_keyframe()
            is_cut_wanted |= self.line.wants_keyframe
        if (self._awaits_keyframe or is_cut_wanted) and is_late:
            self._selection.request_keyframe()

    def _leave_out(self, publisher: PublisherMedia, dropped: Overflow) -> None:
        """Note frames that the core dropped: what is missing of a recorded track by that is our fault."""
        kind = self._selection.loses(publisher, dropped.mid, dropped.rid)
        if kind is not None and not self._is_suspended:
            self._timeline.leave_out(kind, max(dropped.frames_count, 1), self._last_frame_ns or self._now_ns)

    def _can_keep(self, kind: Kind, frame: EncodedFrame) -> bool:
        """Return whether a frame can be described; pictures that cannot are left out, and those that refer to them."""
        if frame.width * frame.height <= PIXELS_MAX:
            return True
        COUNTS["pictures_refused"] += 1
        self._timeline.leave_out(kind, 1, self._last_frame_ns or frame.received_ns, PICTURE_TOO_LARGE)
        return False

    def _admits(self, kind: Kind, frame: EncodedFrame) -> bool:
        """Return whether a frame is recorded: not while suspended, and afterwards a picture only from a keyframe on."""
        if kind is Kind.VIDEO and not self._is_suspended and frame.is_keyframe:
            self._awaits_keyframe = False
        return not self._is_suspended and not (kind is Kind.VIDEO and self._awaits_keyframe)

    def _absent_ns(self, now_ns: int) -> int:
        """Return how long ago the last frame came. Spec: API section 6.3, from the last to the next frame."""
        return now_ns - self._last_frame_ns if self._last_frame_ns else 0

    def _resume(self, received_ns: int) -> None:
        """Note a frame; the first one after too long an interruption begins a new file.

        A publisher that took the place of one that had long been silent counts as one who came back.
        """
        absent_ns = self._absent_ns(received_ns)
        was_away = self._is_interrupted or absent_ns > SILENT_PUBLISHER_NS
        if was_away and self._is_new_publisher:
            self._end_files(absent_ns)
        self._is_interrupted = self._is_new_publisher = False
        self._last_frame_ns = max(self._last_frame_ns, received_ns)

    def _end_files(self, absent_ns: int | None = None) -> None:
        """End the files that do not go over an interruption so long; without one, all."""
        ending = [
            series
            for series in self._series.values()
            if series.is_begun and (absent_ns is None or not series.goes_over(absent_ns))
        ]
        self._hand_on()
        self._in_turn(partial(self._close, ending if absent_ns is not None else list(self._series.values())))

    def _close(self, ending: Sequence[FileSeries]) -> None:
        """End files with all that came before."""
        if ending:
            self._write(self._interleaver.flush())
        for series in ending:
            self._guarded(series.close)
        if not any(series.is_begun for series in self._series.values()):
            self._guarded(self._change_rule)

    def _hand_on(self) -> None:
        """Let what is placed go to the files, as far as it need not wait for a picture that is being transcoded."""
        samples = self._timeline.take()
        if self.line is None:
            self._write(self._interleaver.push(samples))
            return
        self.line.push(samples, self._now_ns)
        for step in self.line.ready(self._now_ns):
            if isinstance(step, Sample):
                self._write(self._interleaver.push([step]))
            else:
                step()

    def _in_turn(self, work: Callable[[], None]) -> None:
        """Do something once everything before it has gone to the files."""
        if self.line is None:
            work()
            return
        self.line.then(work)
        self._hand_on()

    def _write(self, samples: Sequence[Sample]) -> None:
        def write() -> None:
            for sample in samples:
                if self._next_rule and any(series.may_cut_at(sample) for series in self._series.values()):
                    self._change_rule()
                for series in self._series.values():
                    series.push(sample)
                if not self._series:
                    self._check.wrote(sample)

        if self._tap is not None and not self._is_over:
            self._tap.push(samples)
        self._guarded(write)

    def _guarded(self, work: Callable[[], None]) -> None:
        """Do file work; a fault of the disk ends this recording and no other."""
        if self._is_over:
            return
        try:
            work()
        except SoloistError as error:
            self.abort()
            self._fail(error)

    def _tell(self, fact: Fact) -> None:
        for found in (self._timeline.missing, self.line.missing if self.line else [], self._vigil.missing):
            self._absences.add(found)
            found.clear()
        placements = tuple(filter(None, (self._timeline.placement(kind) for kind in Kind)))
        missing = self._absences.of(fact)
        if isinstance(fact, FileEnded):
            missing += self._ended_early(fact.summary, missing)
        assert self._rule is not None, "files are made by a rule"  # noqa: S101 - for the type checker
        self._emit(fact, MediaFacts(self._wall_ns(0), missing, placements, rule=self._rule))

    def _ended_early(self, summary: FileSummary, told: Sequence[Missing]) -> tuple[Missing, ...]:
        """Return what a file lacks at its end and nothing told of: where one track goes on longer than the other."""
        found = []
        for kind in summary.codecs:
            end_ns = summary.ends_ns.get(kind, summary.start_ns)
            end_ns = max([end_ns, *(m.end_ns for m in told if m.kind is kind and m.start_ns <= end_ns)])
            if summary.end_ns - end_ns > END_TOLERANCE_NS:
                found.append(Missing(kind, end_ns, summary.end_ns, *self._timeline.cause(kind)))
        return tuple(found)

    def _wall_ns(self, ns: int) -> int:
        return (self._timeline.origin_ns or 0) + ns


def _kind_of(publisher: PublisherMedia, mid: str) -> Kind:
    return next((track.kind for track in publisher.tracks if track.mid == mid), Kind.VIDEO)


def _rate_hz(kind: Kind) -> int:
    return 48_000 if kind is Kind.AUDIO else 90_000
