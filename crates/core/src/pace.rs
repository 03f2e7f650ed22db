//! How long the socket loop may rest between two readings.
//!
//! At small numbers of streams the cost of receiving is waking up, not packets. While traffic flows and every session is
//! connected, the loop therefore reads by the clock, up to every 40 ms, instead of at each packet; packets carry the
//! kernel's arrival time, so nothing measured from them suffers. A rest is never longer than a small part of the socket
//! buffer takes to fill, and the loop waits for traffic itself while a handshake is under way or nothing comes. Pure.

use std::time::Duration;

/// Longest rest. It delays answers to STUN and requests for lost packets by as much at most.
const REST_MAX: Duration = Duration::from_millis(40);
/// Shorter rests save nothing.
const REST_MIN: Duration = Duration::from_millis(2);
/// Share of the socket buffer that may fill during a rest.
const BUFFER_SHARE: u64 = 8;
/// How fast a burst may fill the socket buffer, bytes of it per millisecond: a keyframe of a shared screen that comes
/// unpaced over a gigabit, at the two bytes of buffer the kernel counts for each of its own.
const BURST_BYTES_PER_MS: u64 = 100_000;
/// Readings without traffic before the loop waits for traffic instead: a fifth of a second.
const EMPTY_READINGS_MAX: u32 = 5;

/// What to do before the next reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// Sleep until a datagram comes or something is due.
    UntilTraffic,
    /// Sleep this long whatever comes, commands excepted.
    For(Duration),
}

/// Chooses rests from what the readings brought.
#[derive(Debug)]
pub struct Pace {
    buffer_bytes: u64,
    empty_readings: u32,
    rest: Rest,
}

impl Pace {
    /// Begin by waiting for traffic; `buffer_bytes` is what the kernel grants the socket.
    pub const fn new(buffer_bytes: u64) -> Self {
        Self { buffer_bytes, empty_readings: 0, rest: Rest::UntilTraffic }
    }

    /// Note a reading of `bytes` that came in `span`; `may_rest` if it left nothing behind and no session is still
    /// connecting.
    pub fn note(&mut self, bytes: u64, span: Duration, may_rest: bool) {
        self.empty_readings = if bytes == 0 { self.empty_readings.saturating_add(1) } else { 0 };
        self.rest = if may_rest && self.empty_readings <= EMPTY_READINGS_MAX {
            self.rest_for(bytes, span)
        } else {
            Rest::UntilTraffic
        };
    }

    pub const fn rest(&self) -> Rest {
        self.rest
    }

    fn rest_for(&self, bytes: u64, span: Duration) -> Rest {
        let span_us = u64::try_from(span.as_micros()).unwrap_or(u64::MAX).max(1_000);
        let bytes_per_ms = bytes.saturating_mul(1_000) / span_us;
        let fill_ms = (self.buffer_bytes / BUFFER_SHARE).checked_div(bytes_per_ms);
        let burst_ms = self.buffer_bytes / BURST_BYTES_PER_MS;
        let rest = Duration::from_millis(fill_ms.map_or(burst_ms, |ms| ms.min(burst_ms))).min(REST_MAX);
        if rest < REST_MIN { Rest::UntilTraffic } else { Rest::For(rest) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Pace, Rest};
    use std::time::Duration;

    const TURN: Duration = Duration::from_millis(40);

    #[test]
    fn steady_traffic_is_read_by_the_clock() {
        let mut pace = Pace::new(32 << 20);
        pace.note(5_000, TURN, true);
        assert_eq!(pace.rest(), Rest::For(Duration::from_millis(40)));
    }

    #[test]
    fn a_handshake_is_answered_at_once_and_what_a_reading_left_is_read_at_once() {
        let mut pace = Pace::new(32 << 20);
        pace.note(5_000, TURN, false);
        assert_eq!(pace.rest(), Rest::UntilTraffic);
    }

    #[test]
    fn the_rest_shrinks_with_the_room_in_the_socket_buffer() {
        let mut pace = Pace::new(4_000_000);
        pace.note(2_000_000, TURN, true);
        assert_eq!(pace.rest(), Rest::For(Duration::from_millis(10)));
        pace.note(20_000_000, TURN, true);
        assert_eq!(pace.rest(), Rest::UntilTraffic);
    }

    #[test]
    fn a_small_socket_buffer_is_never_left_for_longer_than_a_burst_takes_to_fill_it() {
        let mut pace = Pace::new(425_984);
        pace.note(5_000, TURN, true);
        assert_eq!(pace.rest(), Rest::For(Duration::from_millis(4)));
        let mut tiny = Pace::new(65_536);
        tiny.note(5_000, TURN, true);
        assert_eq!(tiny.rest(), Rest::UntilTraffic);
    }

    #[test]
    fn an_idle_receiver_sleeps_until_traffic_comes() {
        let mut pace = Pace::new(32 << 20);
        pace.note(5_000, TURN, true);
        for _ in 0..5 {
            pace.note(0, TURN, true);
            assert_eq!(pace.rest(), Rest::For(Duration::from_millis(40)));
        }
        pace.note(0, TURN, true);
        assert_eq!(pace.rest(), Rest::UntilTraffic);
    }
}
