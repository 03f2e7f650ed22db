"""Clocks of one publisher: from RTP time to our wall clock, by sender reports or, without them, by arrival.

Two lines are fitted. `StreamClock` fits one RTP stream's time stamps to the sender's wall clock, through every sender
report (rule R1). `SenderClock` fits the sender's wall clock to ours, by the least delayed of its recent reports; it is
shared by all streams of a publisher, so that an error in it moves sound and picture together.
Knows nothing of files or frames' contents. Integers only: nanoseconds and RTP ticks (rule R13).
Spec: RFC 3550 §6.4.1 (sender reports), §6.4.4 (their use).
"""

from collections import deque
from dataclasses import dataclass, replace

from soloist.model.media import SenderReport

NS = 1_000_000_000
REPORTS_KEPT_COUNT = 256
RECENT_REPORTS_COUNT = 30
CREEP_PER = 1000
"""The least delay is forgotten by 1 ms/s, more than any clock drifts."""
SCATTER_NS = 1_000_000
"""Reports of a sender that computes them lie within microseconds of a line; those stamped at sending do not."""
EXACT_REPORTS_COUNT_MIN = 3
"""Fewer reports do not show how far they scatter."""
BREAK_NS = 500_000_000
"""No jitter or drift puts a report this far off the line of the others."""
FRESH_NS = NS
"""How long arrivals are watched after a break of the reports, to see whether they tell of the same."""
SLOPE_REPORTS_COUNT_MIN = 4
SLOPE_SPAN_NS_MIN = 10 * NS


def ticks_to_ns(ticks: int, rate_hz: int) -> int:
    """Return `ticks` of a `rate_hz` clock in nanoseconds, rounded to the nearest."""
    return (ticks * NS * 2 + rate_hz) // (2 * rate_hz)


def ns_to_ticks(ns: int, rate_hz: int) -> int:
    """Return `ns` in ticks of a `rate_hz` clock, rounded to the nearest."""
    return (ns * rate_hz * 2 + NS) // (2 * NS)


@dataclass(frozen=True, slots=True)
class ReportLine:
    """NTP = zero + span + error, where span is RTP time since zero and error = intercept + slope * span."""

    rtp_zero: int
    ntp_zero: int
    intercept_ns: int
    slope_ppb: int
    """Drift in parts per 1e9."""
    spread_ns: int = 0
    """Between the reports furthest above and below the line."""

    def error_ns(self, span_ns: int) -> int:
        """Return how far the sender's wall clock is ahead of its RTP clock after `span_ns`."""
        return self.intercept_ns + span_ns * self.slope_ppb // NS


class SenderClock:
    """The sender's wall clock against ours: the smallest (arrival - NTP) of the recent reports."""

    def __init__(self) -> None:
        self._recent: deque[int] = deque(maxlen=RECENT_REPORTS_COUNT)

    def reported(self, report: SenderReport) -> None:
        """Take one report of any of the publisher's streams into account."""
        self._recent.append(report.received_ns - report.ntp_ns)

    @property
    def offset_ns(self) -> int | None:
        """Nanoseconds to add to the sender's wall clock to get ours; None before any report."""
        return min(self._recent) if self._recent else None


class StreamClock:
    """One RTP stream's time stamps against the wall clock."""

    def __init__(self, rate_hz: int, sender: SenderClock) -> None:
        self.rate_hz = rate_hz
        self._sender = sender
        self._reports: deque[tuple[int, int]] = deque(maxlen=REPORTS_KEPT_COUNT)
        self._line: ReportLine | None = None
        self._transit_min_ns: int | None = None
        self._arrived_ns = 0
        self.breaks_count = 0
        """How often its RTP clock stood still or jumped, by its reports."""
        self._broken_ns = 0
        """When its reports began to speak of another time; 0 once arrivals were looked at anew."""
        self._fresh_min_ns: int | None = None
        """The least delay since then."""

    def arrived(self, rtp_ticks: int, received_ns: int) -> bool:
        """Take one frame's arrival into account: the least delayed frame anchors the stream until reports do.

        Return True if enough arrived after a break of the reports to show whether arrivals agree with it.
        """
        transit_ns = received_ns - ticks_to_ns(rtp_ticks, self.rate_hz)
        if self._transit_min_ns is None:
            self._transit_min_ns = transit_ns
        else:
            # The least delay is forgotten slowly, because the two clocks drift.
            creep_ns = max(0, received_ns - self._arrived_ns) // CREEP_PER
            self._transit_min_ns = min(self._transit_min_ns + creep_ns, transit_ns)
        self._arrived_ns = received_ns
        return self._broken_ns > 0 and self._look_anew(transit_ns, received_ns)

    def _look_anew(self, transit_ns: int, received_ns: int) -> bool:
        """After a break only what arrives from then on counts: by what came before, the clock never stood still."""
        self._fresh_min_ns = transit_ns if self._fresh_min_ns is None else min(self._fresh_min_ns, transit_ns)
        if received_ns - self._broken_ns < FRESH_NS:
            return False
        self._transit_min_ns, self._fresh_min_ns, self._broken_ns = self._fresh_min_ns, None, 0
        return True

    def reported(self, report: SenderReport) -> None:
        """Take one sender report of this stream into account, in any order.

        One that lies far off the line of the others says that the sender's RTP clock stood still or jumped: the
        earlier ones speak of a time that is over.
        """
        if self._reports and abs(self._ntp_ns(report.rtp_ticks) - report.ntp_ns) > BREAK_NS:
            self._reports.clear()
            self._broken_ns, self._fresh_min_ns = report.received_ns, None
            self.breaks_count += 1
        self._reports.append((report.rtp_ticks, report.ntp_ns))
        self._line = None

    @property
    def is_reported(self) -> bool:
        """True once a sender report places this stream on the sender's wall clock."""
        return bool(self._reports)

    def wall_by_arrival_ns(self, rtp_ticks: int) -> int | None:
        """Return our wall clock at `rtp_ticks` by arrival alone; None before any frame."""
        if self._transit_min_ns is None:
            return None
        return self._transit_min_ns + ticks_to_ns(rtp_ticks, self.rate_hz)

    def wall_by_report_ns(self, rtp_ticks: int) -> int | None:
        """Return our wall clock at `rtp_ticks` by the line through all reports; None before any.

        Nothing is captured after it arrived. A sender whose reports scatter (browsers' do, for sound) pairs RTP time
        with the moment of sending, which is a packet too late; arrival then knows better, and until there are reports
        enough to tell.
        """
        offset_ns = self._sender.offset_ns
        if not self._reports or offset_ns is None:
            return None
        wall_ns = self._ntp_ns(rtp_ticks) + offset_ns
        is_exact = len(self._reports) >= EXACT_REPORTS_COUNT_MIN and self._fitted().spread_ns <= SCATTER_NS
        arrived_ns = None if is_exact else self.wall_by_arrival_ns(rtp_ticks)
        return wall_ns if arrived_ns is None else min(wall_ns, arrived_ns)

    @property
    def skew_ppm(self) -> float:
        """How much faster the sender's wall clock runs than its RTP clock, in parts per million; for reports only."""
        return self._fitted().slope_ppb / 1000 if self._reports else 0.0

    def _ntp_ns(self, rtp_ticks: int) -> int:
        """Return the sender's wall clock at `rtp_ticks` by the line through its reports."""
        line = self._fitted()
        span_ns = ticks_to_ns(rtp_ticks - line.rtp_zero, self.rate_hz)
        return line.ntp_zero + span_ns + line.error_ns(span_ns)

    def _fitted(self) -> ReportLine:
        if self._line is None:
            self._line = fit_reports(sorted(self._reports), self.rate_hz)
        return self._line


def fit_reports(reports: list[tuple[int, int]], rate_hz: int) -> ReportLine:
    """Fit (RTP ticks, NTP ns) pairs, sorted, at least one.

    Few or close reports fit no slope: their jitter (a browser stamps audio reports with the time of sending) would be
    taken for drift.
    """
    rtp_zero, ntp_zero = reports[0]
    spans = [ticks_to_ns(rtp - rtp_zero, rate_hz) for rtp, _ in reports]
    errors = [ntp - ntp_zero - span for (_, ntp), span in zip(reports, spans, strict=True)]
    count = len(reports)
    span_mean, error_mean = sum(spans) // count, sum(errors) // count
    slope_ppb = 0
    if count >= SLOPE_REPORTS_COUNT_MIN and spans[-1] >= SLOPE_SPAN_NS_MIN:
        covariance = sum((s - span_mean) * (e - error_mean) for s, e in zip(spans, errors, strict=True))
        slope_ppb = covariance * NS // sum((s - span_mean) ** 2 for s in spans)
    line = ReportLine(rtp_zero, ntp_zero, error_mean - span_mean * slope_ppb // NS, slope_ppb)
    rests = [e - line.error_ns(s) for s, e in zip(spans, errors, strict=True)]
    return replace(line, spread_ns=max(rests) - min(rests))
