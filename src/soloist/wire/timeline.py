"""The heart: frames and sender reports of several RTP streams in, samples of two logical tracks on one timeline out.

A logical track outlives the RTP streams that feed it: a replaced publisher, a switched layer or a reconnect only
changes `stream`, the key of the RTP stream now feeding it. Sample times are RTP times minus a base; the base is found
once per stream (by sender report, else by arrival) and afterwards only slewed, by at most 1 ms a second (R1-R3, R13).
What is missing becomes a `Missing` with its cause. Reads no clock: time enters with frames, reports and `tick`.

States of a stream: held (its first frames wait until its clock settles), then placed.
Spec: RFC 3550 §5.1 (RTP time stamps), §6.4.1 (sender reports).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from soloist.model.media import EncodedFrame, Kind, Sample, SenderReport
from soloist.model.timing import Cause, Missing
from soloist.wire.clock import NS, SenderClock, StreamClock, ns_to_ticks, ticks_to_ns
from soloist.wire.evidence import PACKET_BYTES, Hearing, is_loss
from soloist.wire.left_out import CLOCK_TOO_FAST, OVERLOAD, Loss
from soloist.wire.logical_track import (
    AUDIO_TOLERANCE_NS,
    STEP_NS,
    StreamKey,
    Track,
    declared_from,
    frame_ticks,
    last_certain,
    lead_ticks,
    packets_in,
    slew,
    stood_still,
)
from soloist.wire.opus import packet_ticks

SETTLE_NS = 600_000_000
"""How long a new stream's first frames wait for a sender report before arrival has to do."""
SLEW_DEADBAND_NS = 2_000_000
STALL_NS = 2 * NS
"""Disagreement between RTP time and arrival that is a stalled or jumped clock, not jitter (rules R5, R7)."""
AHEAD_NS_MAX = 2_500_000_000
"""How far a track may be ahead of arrival: nothing is captured after it came, and the first frames, which the others
are placed by, may have come late."""
EARLY_NS_MAX = 2_500_000_000
"""How long before it came a stream's first frame may have been captured: nothing holds back more just after the
handshake, which went the same way."""
LEAP_NS = 60 * NS
"""No network holds a packet back for so long: what is further off goes by another clock."""
PROBATION_NS = NS
"""How long frames that came too late are held to see whether the network was slow or the sender's clock stood still."""
SUSPECTS_MAX = 4096
"""More frames than a backlog of a minute has; a sender that stays late by ever less would have more and more held."""
CREEP_PER = 1000
"""The least delay seen is forgotten at this rate: 1 ms/s, more than any clock drifts."""
VIDEO_TOLERANCE_NS = 2 * NS
"""A picture may stand this long without anything being missing: screens are sent at one frame a second."""
START_TOLERANCE_NS = 50_000_000
"""Tracks that begin this close together begin together: a picture is not missing for a packet's length."""
OVERLAP_NS_MAX = 200_000_000
"""How much of a new publisher's stream may belong before the old one's end: it gives way, and those after it are
where they were captured. One further off goes by another clock and begins where it ended; layers go by one clock."""


@dataclass(frozen=True, slots=True)
class Placement:
    """How a stream came by its place on the timeline, for the manifest."""

    kind: Kind
    stream: StreamKey
    placed_by: str
    """sender_report or arrival (rule R3)."""
    rtp_ticks: int
    pts_ns: int
    skew_ppm: float


class Timeline:
    """One recording's timeline; its origin is the wall clock of the first media of any track."""

    def __init__(self, *, settle_ns: int = SETTLE_NS, keep_damaged: bool = False) -> None:
        self.origin_ns: int | None = None
        """Wall clock of the origin, nanoseconds since the Unix epoch; None until something was placed."""
        self.missing: list[Missing] = []
        """Facts so far; the owner takes them out."""
        self.keep_damaged = keep_damaged
        """Whether pictures that refer to lost ones are kept all the same."""
        self._settle_ns = settle_ns
        self._tracks = {kind: Track(kind, needs_keyframe=kind is Kind.VIDEO) for kind in Kind}
        self._senders: dict[int, SenderClock] = {}
        self._clocks: dict[StreamKey, StreamClock] = {}
        self._hearing = Hearing()
        self._expected: set[tuple[int, str]] = set()
        self._ready: list[Sample] = []
        self.leaps_count = 0
        """How often a clock claimed more time than had passed."""

    def expect(self, session: int, mids: Iterable[str]) -> None:
        """Announce the media sections a publisher will send: a first placement waits for all, up to the limit."""
        self._expected.update((session, mid) for mid in mids)

    def report(self, session: int, report: SenderReport, rate_hz: int) -> None:
        """Take a sender report of any stream, before or after its frames."""
        key = (session, report.mid, report.rid)
        self._hearing.heard(session, report.received_ns)
        self._senders.setdefault(session, SenderClock()).reported(report)
        self._clock(key, rate_hz).reported(report)
        for track in self._tracks.values():
            if track.stream == key:
                self._aim(track)
        self._settle(report.received_ns)

    def push(self, session: int, frame: EncodedFrame, kind: Kind) -> None:
        """Add one frame; frames of one stream come in decode order. What it makes ready is returned by `take`."""
        track = self._tracks[kind]
        key = (session, frame.mid, frame.rid)
        self._hearing.heard(session, frame.received_ns)
        track.left_out.came(frame)
        if track.stream == key and not track.held:
            self._place(track, frame)
            return
        if track.held_stream != key:
            if track.held:
                # What an earlier stream still has waiting comes first: nothing more will be known of its clock.
                self.finish()
            track.held_stream = key
        self._clock(key, frame.rate_hz).arrived(frame.rtp_ticks + lead_ticks(frame, kind), frame.received_ns)
        track.held.append(frame)
        self._settle(frame.received_ns)

    def tick(self, now_ns: int) -> None:
        """Let time pass: what was held for longer than the settling time, or came too late and alone, is placed."""
        self._settle(now_ns)
        for track in self._tracks.values():
            if track.suspects and now_ns - track.suspects[-1].received_ns > PROBATION_NS:
                self._judge(track)

    def interrupt(self, kind: Kind, cause: Cause, detail: str) -> None:
        """Say why what is missing next on this track will be missing; the first word stands until media returns."""
        track = self._tracks[kind]
        if track.interruption is None:
            track.interruption = (cause, detail)

    def leave_out(self, kind: Kind, frames_count: int, came_ns: int, detail: str = OVERLOAD) -> None:
        """Learn that frames of a track were dropped, by us, after those that came; `came_ns` is the last arrival, or 0.

        What follows on the track is placed as if they had been there, and the time they were in is declared.
        """
        self._tracks[kind].left_out.note(Loss(frames_count, came_ns, detail))

    def conclude(self, now_ns: int) -> None:
        """Place what is held, and declare what was left out although no frame shows until when: it is until now."""
        self.finish()
        if self.origin_ns is None:
            return
        for track in self._tracks.values():
            loss = track.left_out.take_all()
            if loss is not None:
                start_ns = min(loss.came_ns - self.origin_ns, 0) if loss.came_ns else 0
                if track.last_pts >= 0:
                    start_ns = ticks_to_ns(last_certain(track), track.rate_hz)
                end_ns = max(now_ns - self.origin_ns - max(track.transit_ns, 0), start_ns + loss.count * 1_000_000)
                self.missing.append(Missing(track.kind, start_ns, end_ns, Cause.FAULT, loss.detail))
                track.left_out.told_ns = end_ns

    def awaits_keyframe(self, kind: Kind) -> bool:
        """Return whether frames of a track are dropped because they refer to pictures that are not there."""
        return self._tracks[kind].needs_keyframe

    def cause(self, kind: Kind) -> tuple[Cause, str]:
        """Return why what is missing on a track now is missing, as far as anyone knows."""
        return self._cause(self._tracks[kind])

    def take(self) -> list[Sample]:
        """Return the samples that became ready since the last call, each track in time order."""
        ready, self._ready = self._ready, []
        return ready

    def finish(self) -> None:
        """Place whatever is still held: nothing more will come."""
        self._settle(None)
        for track in self._tracks.values():
            if track.suspects:
                self._judge(track)

    def forget(self, session: int) -> None:
        """Drop what is known of a session that is over; what it left waiting is placed first."""
        self.finish()
        self._senders.pop(session, None)
        self._hearing.forget(session)
        self._clocks = {key: clock for key, clock in self._clocks.items() if key[0] != session}
        self._expected = {entry for entry in self._expected if entry[0] != session}

    def end_ns(self, kind: Kind) -> int | None:
        """Return where the track's media ends, nanoseconds from the origin; None if it never had any."""
        track = self._tracks[kind]
        return ticks_to_ns(track.end_pts, track.rate_hz) if track.last_pts >= 0 else None

    def placement(self, kind: Kind) -> Placement | None:
        """Return how the stream now feeding a track was placed."""
        track = self._tracks[kind]
        if track.stream is None or track.clock is None:
            return None
        rtp = track.base_ticks + max(track.last_pts, 0)
        pts_ns = ticks_to_ns(max(track.last_pts, 0), track.rate_hz)
        return Placement(kind, track.stream, track.placed_by, rtp, pts_ns, track.clock.skew_ppm)

    def _clock(self, key: StreamKey, rate_hz: int) -> StreamClock:
        clock = self._clocks.get(key)
        if clock is None:
            sender = self._senders.setdefault(key[0], SenderClock())
            clock = self._clocks[key] = StreamClock(rate_hz, sender)
        return clock

    # Settling: from held to placed.

    def _settle(self, now_ns: int | None) -> None:
        waiting = [track for track in self._tracks.values() if track.held]
        if waiting and (now_ns is None or self._all_reported(waiting) or self._waited_enough(waiting, now_ns)):
            anchors = {track.kind: self._anchor(track) for track in waiting}
            if self.origin_ns is None:
                self.origin_ns = min(wall_ns for wall_ns, _ in anchors.values())
            for track in waiting:
                self._release(track, *anchors[track.kind])

    def _all_reported(self, waiting: list[Track]) -> bool:
        """True if every stream that waits has a report, and none that was announced beside it is still to begin."""
        sessions = {track.held_stream[0] for track in waiting if track.held_stream}
        begun = {track.held_stream[:2] for track in waiting if track.held_stream}
        begun |= {track.stream[:2] for track in self._tracks.values() if track.stream}
        announced = {entry for entry in self._expected if entry[0] in sessions}
        return announced <= begun and all(
            track.held_stream and self._clocks[track.held_stream].is_reported for track in waiting
        )

    def _waited_enough(self, waiting: list[Track], now_ns: int) -> bool:
        return now_ns - min(track.held[0].received_ns for track in waiting) >= self._settle_ns

    def _anchor(self, track: Track) -> tuple[int, str]:
        """Return the wall clock of the track's first held frame and by what it was found."""
        assert track.held_stream is not None, "a held frame has a stream"  # noqa: S101 - invariant, for the type checker
        clock = self._clocks[track.held_stream]
        first = track.held[0]
        by_report, by_arrival = clock.wall_by_report_ns(first.rtp_ticks), clock.wall_by_arrival_ns(first.rtp_ticks)
        is_meant = by_arrival is None or (by_report is not None and abs(by_report - by_arrival) < STALL_NS)
        for wall_ns, placed_by in ((by_report if is_meant else None, "sender_report"), (by_arrival, "arrival")):
            if wall_ns is not None and abs(wall_ns - first.received_ns) < EARLY_NS_MAX:
                return wall_ns, placed_by
        return first.received_ns, "arrival"

    def _release(self, track: Track, wall_ns: int, placed_by: str) -> None:
        first = track.held[0]
        assert self.origin_ns is not None and track.held_stream is not None  # noqa: S101, PT018 - set by the caller
        track.rate_hz = first.rate_hz
        pts = ns_to_ticks(wall_ns - self.origin_ns, first.rate_hz)
        is_layer = track.stream is not None and track.stream[0] == track.held_stream[0]
        if not is_layer and track.end_pts - pts > ns_to_ticks(OVERLAP_NS_MAX, first.rate_hz):
            pts = track.end_pts
        track.base_ticks = first.rtp_ticks - pts
        track.stream, track.clock, track.placed_by = track.held_stream, self._clocks[track.held_stream], placed_by
        track.needs_keyframe = track.kind is Kind.VIDEO
        track.slew_ticks, track.slewed_at, track.is_step_due = 0, pts, False
        track.breaks_count = track.clock.breaks_count
        self._acquit(track, 0)
        track.transit_ns = first.received_ns - self.origin_ns - ticks_to_ns(pts, first.rate_hz)
        held, track.held, track.held_stream, track.placed_ns = track.held, [], None, first.received_ns
        for frame in held:
            self._place(track, frame)
        self._aim(track)

    # Placing one frame.

    def _place(self, track: Track, frame: EncodedFrame) -> None:
        late_ns = self._late_ns(track, frame)
        has_jumped = late_ns <= -STALL_NS
        is_too_late = late_ns >= STALL_NS or stood_still(track, frame, late_ns)
        if is_too_late or (track.suspects and not has_jumped):
            self._suspect(track, frame, late_ns)
            return
        if has_jumped:
            self._acquit(track, 0)
            self._move(track, late_ns, "clock_jump")
            self.leaps_count += 1
        elif track.is_step_due:
            self._step(track, frame)
        else:
            creep_ns = max(0, frame.received_ns - track.placed_ns) // CREEP_PER
            track.transit_ns += min(late_ns, creep_ns)
        track.placed_ns, track.late_ns = frame.received_ns, late_ns
        lead = lead_ticks(frame, track.kind)
        if track.clock is not None and track.clock.arrived(frame.rtp_ticks + lead, frame.received_ns):
            self._aim(track)
        self._put(track, frame)

    def _put(self, track: Track, frame: EncodedFrame, *, is_believed: bool = True) -> None:
        """Give a frame its place after those before it; if it is believed, what follows is placed by its clock."""
        is_cut_off = track.left_out.reached(frame)
        pts = slew(track, frame.rtp_ticks) if track.slew_ticks else frame.rtp_ticks - track.base_ticks
        pts_max = ns_to_ticks(frame.received_ns - (self.origin_ns or 0) + AHEAD_NS_MAX, track.rate_hz)
        if pts > pts_max:
            pts = self._hold_back(track, frame)
        if frame.follows_gap or track.needs_keyframe:
            self._weigh(track, frame, pts)
        track.heard_ns = frame.received_ns
        if track.kind is Kind.VIDEO and not self._is_whole(track, frame, is_cut_off=is_cut_off):
            track.seen_end = max(track.seen_end, pts + track.last_ticks)
            return
        # A millisecond apart at least: WebM counts in them, and two pictures of one time are none to its players.
        least = track.last_pts + max(track.rate_hz // 1000, 1) if track.last_pts >= 0 else 0
        if least > pts_max:
            track.left_out.missed(Loss(1, frame.received_ns, CLOCK_TOO_FAST))
            track.needs_keyframe |= track.kind is Kind.VIDEO
            return
        if pts < least:
            if is_believed and pts < track.last_pts - track.rate_hz:
                track.base_ticks = frame.rtp_ticks - track.end_pts
            pts = least
        follows_hole = self._declare(track, pts)
        if track.kind is Kind.AUDIO:
            ticks = packet_ticks(frame.data)
        else:
            ticks = track.last_ticks if follows_hole and track.last_ticks else frame_ticks(track, pts)
        track.last_pts, track.last_ticks = pts, ticks
        track.packets += 1 if track.kind is Kind.AUDIO else 1 + len(frame.data) // PACKET_BYTES
        picture = (frame.codec, frame.width, frame.height, frame.rid)
        self._ready.append(Sample(track.kind, pts, ticks, track.rate_hz, frame.is_keyframe, frame.data, *picture))

    def _late_ns(self, track: Track, frame: EncodedFrame) -> int:
        """Return how much later a frame came than the least delayed one."""
        pts_ns = ticks_to_ns(frame.rtp_ticks - track.base_ticks, track.rate_hz)
        return frame.received_ns - (self.origin_ns or 0) - pts_ns - track.transit_ns

    def _suspect(self, track: Track, frame: EncodedFrame, late_ns: int) -> None:
        """Hold a frame that came too late until it shows what was the matter.

        A network that was stuck delivers its backlog faster than real time, so lateness shrinks and times were right;
        a sender's clock that stood still leaves every later frame just as late (rule R5).
        """
        if track.suspects and abs(late_ns - track.suspected_at[1]) > LEAP_NS:
            # Another clock again: those before it went by the one they showed.
            self._acquit(track, track.suspected_at[1])
            self._place(track, frame)
            return
        if not track.suspects:
            track.suspected_at = (frame.received_ns, late_ns)
        track.suspects.append(frame)
        since_ns, late_then_ns = track.suspected_at
        if len(track.suspects) >= SUSPECTS_MAX:
            self._judge(track)
        elif late_ns < min(STALL_NS, late_then_ns // 2):
            self._acquit(track, 0)
        elif frame.received_ns - since_ns >= PROBATION_NS:
            if late_then_ns - late_ns < min(PROBATION_NS // 2, late_then_ns // 4):
                self._judge(track)
            else:
                track.suspected_at = (frame.received_ns, late_ns)

    def _judge(self, track: Track) -> None:
        """Place suspects that stay late: the clock of their track stood still, or the way has become longer.

        No way becomes two seconds longer. One that did by less, did so for the publisher's other track as well.
        """
        late_ns = self._late_ns(track, track.suspects[-1])
        beside = [
            other.late_ns
            for other in self._tracks.values()
            if other is not track and other.stream and track.stream and other.stream[0] == track.stream[0]
        ]
        has_stood = late_ns >= STALL_NS or any(beside_ns < late_ns // 2 for beside_ns in beside)
        self._acquit(track, late_ns if has_stood else 0)

    def _acquit(self, track: Track, stalled_ns: int) -> None:
        """Place the suspects: as they are, or moved on by how long the sender's clock had stood still."""
        suspects, track.suspects = track.suspects, []
        if suspects and stalled_ns:
            self._move(track, stalled_ns, "clock_stall")
        for frame in suspects:
            track.placed_ns = frame.received_ns
            self._put(track, frame, is_believed=False)

    def _step(self, track: Track, frame: EncodedFrame) -> None:
        """Move a track on to where its reports say it is: its clock stood still for less than a stall."""
        track.is_step_due, track.breaks_count = False, track.clock.breaks_count if track.clock else 0
        wall_ns = track.clock.wall_by_report_ns(frame.rtp_ticks) if track.clock else None
        if wall_ns is not None and self.origin_ns is not None:
            pts_ns = ticks_to_ns(frame.rtp_ticks - track.base_ticks, track.rate_hz)
            self._move(track, wall_ns - self.origin_ns - pts_ns, "clock_stall")

    def _move(self, track: Track, moved_ns: int, detail: str) -> None:
        track.base_ticks -= ns_to_ticks(moved_ns, track.rate_hz)
        track.slew_ticks = 0
        self.interrupt(track.kind, Cause.PAUSE, detail)

    def _hold_back(self, track: Track, frame: EncodedFrame) -> int:
        """Place a frame where it came: by its time stamp it was captured later; return its pts."""
        pts_ns = ticks_to_ns(frame.rtp_ticks - track.base_ticks, track.rate_hz)
        self._move(track, frame.received_ns - (self.origin_ns or 0) - pts_ns, "clock_jump")
        track.transit_ns = 0
        self.leaps_count += 1
        return frame.rtp_ticks - track.base_ticks

    def _weigh(self, track: Track, frame: EncodedFrame, pts: int) -> None:
        """Say why there is nothing between a frame and the one before it, if that is the longest part of a hole."""
        begin = max(track.end_pts, track.seen_end)
        part = pts - begin
        fell_silent = track.stream is not None and self._hearing.fell_silent_at(track.stream[0], track.heard_ns)
        expected = packets_in(track, part)
        if frame.follows_gap and is_loss(frame.packets_lost, expected, fell_silent=fell_silent):
            word = (Cause.GAP, "packets_lost")
        elif part > ns_to_ticks(VIDEO_TOLERANCE_NS, track.rate_hz):
            word = (Cause.PAUSE, "not_sent")
        elif frame.follows_gap and not frame.is_keyframe:
            word = (Cause.GAP, "waiting_keyframe")
        else:
            return
        if track.last_pts >= 0 and (track.word is None or part > begin - track.word_from):
            track.word, track.word_from = word, begin

    def _is_whole(self, track: Track, frame: EncodedFrame, *, is_cut_off: bool) -> bool:
        """Drop pictures that refer to something lost, up to the next keyframe (rule R16)."""
        if frame.is_keyframe:
            track.needs_keyframe = False
        elif (frame.follows_gap or is_cut_off) and not self.keep_damaged:
            track.needs_keyframe = True
        return not track.needs_keyframe

    def _declare(self, track: Track, pts: int) -> bool:
        """Put what is missing before `pts` into words; return whether anything is."""
        tolerance_ns = AUDIO_TOLERANCE_NS if track.kind is Kind.AUDIO else VIDEO_TOLERANCE_NS
        if track.last_pts < 0:
            tolerance_ns = START_TOLERANCE_NS
        elif track.interruption or track.word:
            tolerance_ns = AUDIO_TOLERANCE_NS
        loss = track.left_out.take()
        end = track.end_pts if loss is None else declared_from(track, loss, pts, self.origin_ns or 0)
        is_hole = loss is not None or pts - end > ns_to_ticks(tolerance_ns, track.rate_hz)
        if is_hole:
            self._tell(track, ticks_to_ns(end, track.rate_hz), ticks_to_ns(pts, track.rate_hz), loss)
            track.packets, track.packets_from = 0, pts
        track.interruption = track.word = None
        track.seen_end = 0
        return is_hole

    def _tell(self, track: Track, start_ns: int, end_ns: int, loss: Loss | None) -> None:
        """Put a hole into words: what we left out is ours, whatever else is missing from then on."""
        parts = [(start_ns, self._cause(track))]
        if loss is not None:
            began_ns = loss.came_ns - (self.origin_ns or 0) - max(track.transit_ns, 0)
            is_later = track.interruption is not None and began_ns - start_ns > AUDIO_TOLERANCE_NS
            ours = Cause.FAULT, loss.detail
            parts = [*parts, (min(began_ns, end_ns - 1), ours)] if is_later else [(start_ns, ours)]
        for (from_ns, (cause, detail)), until_ns in zip(parts, [*(ns for ns, _ in parts[1:]), end_ns], strict=True):
            if until_ns > track.left_out.told_ns:
                self.missing.append(Missing(track.kind, max(from_ns, track.left_out.told_ns), until_ns, cause, detail))

    def _cause(self, track: Track) -> tuple[Cause, str]:
        if track.interruption:
            return track.interruption
        if track.last_pts < 0:
            return Cause.GAP, "waiting_keyframe" if track.kind is Kind.VIDEO else "not_sent_yet"
        return track.word or (Cause.PAUSE, "not_sent")

    def _aim(self, track: Track) -> None:
        """Set how far the track has to be slewed for its reports to be met."""
        if track.clock is None or self.origin_ns is None or track.last_pts < 0:
            return
        rtp = track.base_ticks + track.last_pts
        wall_ns = track.clock.wall_by_report_ns(rtp)
        if wall_ns is None:
            return
        error_ns = wall_ns - self.origin_ns - ticks_to_ns(track.last_pts, track.rate_hz)
        if track.placed_by == "arrival" and abs(error_ns) >= STALL_NS:
            return  # These reports speak of another clock than the frames.
        # Without a break the way has become longer, for both tracks; only slewing both keeps them together.
        track.is_step_due = error_ns >= STEP_NS and track.clock.breaks_count > track.breaks_count
        is_worth_it = abs(error_ns) > SLEW_DEADBAND_NS and not track.is_step_due
        track.slew_ticks = ns_to_ticks(error_ns, track.rate_hz) if is_worth_it else 0
        track.slewed_at = track.last_pts
