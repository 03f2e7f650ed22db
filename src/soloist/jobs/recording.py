"""The one page where source, timeline and sinks meet: one job's media, on the media thread.

A `Recording` is a subscriber of the job's room. It routes frames to the timeline, merges the samples, and lets a file
series cut them. It tells the event loop what happened through `emit`; files are finished, moved and journaled there
(`filing.py`). All methods but the constructor run on the media thread; none blocks on more than a local write.
Spec: API section 6.3 (interruptions); rules R12, R14, R16, R41, R46.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from soloist.jobs.cutting import Cuts, Fact, FileEnded, FileOpened, FileSeries, FileSummary
from soloist.jobs.selection import Selection
from soloist.jobs.selfcheck import SelfCheck
from soloist.model.errors import SoloistError
from soloist.model.job import Job
from soloist.model.media import EncodedFrame, Kind, Sample
from soloist.model.rule import RecordFormat, RecordRule
from soloist.model.timing import Cause, Missing
from soloist.sources.ingest import REPLACED, PublisherMedia
from soloist.sources.items import Media, is_frame, is_report
from soloist.wire.clock import NS
from soloist.wire.interleave import Interleaver
from soloist.wire.timeline import Placement, Timeline

DETACH_WORDS = {"left": "participant_left", "timeout": "participant_lost", "failed": "transport_failed"}
SUSPENDED = "suspended"
"""Why media is missing that the customer ordered not to be recorded."""
SILENT_PUBLISHER_NS = 5 * NS
"""A publisher that was replaced after so long a silence had been lost, not replaced."""
END_TOLERANCE_NS = 100_000_000
"""Tracks that end this close together end together: a picture lasts longer than a packet of sound."""


@dataclass(frozen=True, slots=True)
class TimelineFacts:
    """What the timeline knows of a file."""

    origin_ns: int
    missing: tuple[Missing, ...] = ()
    """What is missing from the file on, oldest first."""
    placements: tuple[Placement, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaFacts(TimelineFacts):
    """What is known beside a file fact, taken at the same moment."""

    rule: RecordRule
    """The rule in force: that of a file is the one it was opened under."""


Emit = Callable[[Fact, MediaFacts], None]


class Recording:
    """Records what one participant publishes, until `stop`."""

    def __init__(
        self,
        job: Job,
        *,
        new_path: Callable[[int, str], Path],
        emit: Emit,
        fail: Callable[[SoloistError], None],
        first_index: int = 0,
    ) -> None:
        """`new_path(index, extension)` names the next spool file; `emit` and `fail` are called on the media thread."""
        self._selection = Selection(job)
        self._timeline = Timeline()
        self._interleaver = Interleaver()
        self._check = SelfCheck(job.job_id)
        self._emit = emit
        self._fail = fail
        self._missing: list[Missing] = []
        self._rule = job.rule
        self._merge_gap_ns = merge_gap_ns(job.rule)
        self._last_frame_ns = 0
        """Arrival of the last frame that was recorded; 0 before any."""
        self._is_interrupted = False
        """True from when nobody publishes what is recorded until the next frame."""
        self._is_new_publisher = False
        self._is_suspended = False
        self._awaits_keyframe = False
        """True from when a suspended recording goes on until its picture can."""
        self._is_over = False
        self._series = FileSeries(
            cuts_of(job.rule),
            new_path=new_path,
            emit=self._tell,
            wrote=self._check.wrote,
            wall_ns=self._wall_ns,
            first_index=first_index,
        )
        if job.suspended:
            self.suspend(suspended=True)

    def on_attached(self, publisher: PublisherMedia) -> None:
        """Take a publisher in: its tracks decide what files declare, its reports place its frames."""
        mids = self._selection.attach(publisher)
        self._is_new_publisher |= bool(mids)
        self._timeline.expect(publisher.session, mids)
        self._series.expect(self._selection.kinds)
        self._interleaver.expect(self._selection.kinds)
        for track in publisher.tracks:
            for rid in track.rids or (None,):
                for report in publisher.reports(track.mid, rid):
                    self._timeline.report(publisher.session, report, _rate_hz(track.kind))

    def on_detached(self, publisher: PublisherMedia, reason: str) -> None:
        """Let a publisher go; an interruption begins unless another took its place."""
        before = self._selection.kinds
        self._selection.detach(publisher)
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
                if kind is not None and self._admits(kind, item):
                    self._resume(item.received_ns)
                    self._check.came(kind, item)
                    if kind is Kind.AUDIO:
                        self._series.hear(item.data)
                    self._timeline.push(publisher.session, item, kind)
            elif is_report(item):
                self._timeline.report(publisher.session, item, _rate_hz(_kind_of(publisher, item.mid)))
            else:
                self._timeline.interrupt(_kind_of(publisher, item.mid), Cause.FAULT, "overload")
        self._write(self._interleaver.push(self._timeline.take()))

    def on_tick(self, now_ns: int) -> None:
        """Let time pass: place what waits, ask for overdue keyframes, end a file whose participant stays away."""
        if self._is_over:
            return
        self._timeline.tick(now_ns)
        self._selection.reconsider(now_ns)
        self._write(self._interleaver.push(self._timeline.take()))
        if self._is_interrupted:
            if self._series.is_begun and self._absent_ns(now_ns) > self._merge_gap_ns:
                self._end_file()
        elif self._series.wants_keyframe or self._awaits_keyframe:
            self._selection.request_keyframe()
        self._check.look(now_ns)
        if self._timeline.origin_ns is not None:
            self._guarded(lambda: self._series.tick(now_ns - (self._timeline.origin_ns or 0)))

    def update(self, rule: RecordRule) -> None:
        """Go on under another rule: the current file ends at the next keyframe."""
        self._rule = rule
        self._merge_gap_ns = merge_gap_ns(rule)
        self._series.update(cuts_of(rule))
        self._selection.request_keyframe()

    def suspend(self, *, suspended: bool) -> None:
        """Record nothing for a while, or go on: an interruption of the stream, declared as a pause (rule R52)."""
        if suspended == self._is_suspended:
            return
        self._is_suspended = suspended
        if suspended:
            for kind in Kind:
                self._timeline.interrupt(kind, Cause.PAUSE, SUSPENDED)
            # Whoever is recorded afterwards comes back, be it the same publisher.
            self._is_interrupted = self._is_new_publisher = True
        else:
            self._awaits_keyframe = True
            self._is_interrupted = not self._selection.is_attached
            self._selection.request_keyframe()

    def stop(self) -> None:
        """Write what is still held and end the file; nothing is recorded afterwards."""
        if not self._is_over:
            self._timeline.finish()
            self._end_file()
            self._is_over = True

    def abort(self) -> None:
        """Leave the open file as a crash would; nothing is emitted any more."""
        self._is_over = True
        self._series.abort()

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
        if was_away and self._is_new_publisher and absent_ns > self._merge_gap_ns and self._series.is_begun:
            self._end_file()
        self._is_interrupted = self._is_new_publisher = False
        self._last_frame_ns = max(self._last_frame_ns, received_ns)

    def _end_file(self) -> None:
        self._write(self._interleaver.push(self._timeline.take()))
        self._write(self._interleaver.flush())
        self._guarded(self._series.close)

    def _write(self, samples: Sequence[Sample]) -> None:
        def write() -> None:
            for sample in samples:
                self._series.push(sample)

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
        self._missing += self._timeline.missing
        self._timeline.missing.clear()
        if isinstance(fact, FileOpened):
            self._missing = [missing for missing in self._missing if missing.end_ns > fact.start_ns]
        placements = tuple(filter(None, (self._timeline.placement(kind) for kind in Kind)))
        missing = tuple(self._missing) + (self._ended_early(fact.summary) if isinstance(fact, FileEnded) else ())
        self._emit(fact, MediaFacts(self._wall_ns(0), missing, placements, rule=self._rule))

    def _ended_early(self, summary: FileSummary) -> tuple[Missing, ...]:
        """Return what a file lacks at its end, where one track goes on longer than the other."""
        found = []
        for kind in summary.codecs:
            end_ns = summary.ends_ns.get(kind, summary.start_ns)
            if summary.end_ns - end_ns > END_TOLERANCE_NS:
                found.append(Missing(kind, end_ns, summary.end_ns, *self._timeline.cause(kind)))
        return tuple(found)

    def _wall_ns(self, ns: int) -> int:
        return (self._timeline.origin_ns or 0) + ns


def cuts_of(rule: RecordRule) -> Cuts:
    """Return where a rule's MP4 files begin."""
    config = rule.mp4
    return Cuts(RecordFormat.MP4, rule.audio, config.record_cycle_s * NS if config else 0)


def merge_gap_ns(rule: RecordRule) -> int:
    """Return the longest interruption a rule's MP4 files go over."""
    return rule.mp4.merge_gap_s * NS if rule.mp4 else 0


def _kind_of(publisher: PublisherMedia, mid: str) -> Kind:
    return next((track.kind for track in publisher.tracks if track.mid == mid), Kind.VIDEO)


def _rate_hz(kind: Kind) -> int:
    return 48_000 if kind is Kind.AUDIO else 90_000
