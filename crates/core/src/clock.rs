//! Turns the monotonic instants of datagrams into Unix time.
//!
//! The offset between the two clocks is fixed at construction, so media time neither jumps nor slews when the machine's
//! wall clock is corrected.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A monotonic clock with a fixed offset to Unix time.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: Instant,
    origin_unix_ns: i64,
}

impl Clock {
    /// Pin `origin` to `origin_unix_ns`, nanoseconds since the Unix epoch.
    pub const fn new(origin: Instant, origin_unix_ns: i64) -> Self {
        Self { origin, origin_unix_ns }
    }

    /// Return nanoseconds since the Unix epoch; saturates in the year 2262.
    pub fn unix_ns(&self, instant: Instant) -> i64 {
        let after = instant.saturating_duration_since(self.origin).as_nanos();
        let before = self.origin.saturating_duration_since(instant).as_nanos();
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let before = i64::try_from(before).unwrap_or(i64::MAX);
        self.origin_unix_ns.saturating_add(after).saturating_sub(before)
    }
}

/// Return a wall clock's time in nanoseconds since the Unix epoch; saturates in the years 1677 and 2262.
pub fn unix_ns(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns),
    }
}

/// Return RTP time as the wire has it.
pub fn low_32_bits(ticks: u64) -> u32 {
    u32::try_from(ticks & u64::from(u32::MAX)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::Clock;
    use std::time::{Duration, Instant};

    #[test]
    fn instants_on_both_sides_of_the_origin_keep_their_distance() {
        let before = Instant::now();
        let origin = before + Duration::from_nanos(7);
        let clock = Clock::new(origin, 1_000_000_000_000);

        assert_eq!(clock.unix_ns(before), 999_999_999_993);
        assert_eq!(clock.unix_ns(origin + Duration::from_nanos(7)), 1_000_000_000_007);
    }
}
