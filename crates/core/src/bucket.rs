//! A token bucket that, once empty, stays shut until a good part of it is back.
//!
//! Refusing in stretches rather than every other packet leaves whole pictures and runs of sound between them. Kept as the
//! time up to which everything taken is paid for, so that it needs no filling. Pure: time is an argument.

/// How much has to be back before a bucket that was empty opens again: a quarter of a second's worth.
const REOPENS_NS: i64 = 250_000_000;
const SECOND_NS: i64 = 1_000_000_000;

/// Admits units at a steady rate, and a burst above it.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    cost_ns: i64,
    burst_ns: i64,
    paid_until_ns: i64,
    is_shut: bool,
}

impl Bucket {
    /// Admit `per_s` units a second in the long run, and `burst_s` seconds' worth at once; zero admits nothing.
    pub fn new(per_s: u32, burst_s: u8) -> Self {
        let cost_ns = SECOND_NS.checked_div(i64::from(per_s)).unwrap_or(i64::MAX);
        Self { cost_ns, burst_ns: i64::from(burst_s) * SECOND_NS, paid_until_ns: i64::MIN, is_shut: false }
    }

    /// Tell whether `units` may pass at `now_ns`, on any axis that is always the same; takes nothing yet.
    pub fn admits(&mut self, units: usize, now_ns: i64) -> bool {
        let owed_ns = self.paid_until_ns.saturating_sub(now_ns).max(0);
        let is_empty = owed_ns.saturating_add(self.price(units)) > self.burst_ns;
        self.is_shut = is_empty || (self.is_shut && owed_ns > self.burst_ns - REOPENS_NS);
        !self.is_shut
    }

    /// Take what was admitted.
    pub fn take(&mut self, units: usize, now_ns: i64) {
        self.paid_until_ns = self.paid_until_ns.max(now_ns).saturating_add(self.price(units));
    }

    /// Put back what was taken and turned out to be somebody else's.
    pub fn put_back(&mut self, units: usize) {
        self.paid_until_ns = self.paid_until_ns.saturating_sub(self.price(units));
    }

    fn price(&self, units: usize) -> i64 {
        self.cost_ns.saturating_mul(i64::try_from(units).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::{Bucket, SECOND_NS};

    /// Offer `per_s` units for `seconds`; return how many passed, and in how many runs.
    fn passed(bucket: &mut Bucket, per_s: i64, seconds: i64) -> (i64, i64) {
        let (mut count, mut runs, mut was_open) = (0, 0, false);
        for index in 0..per_s * seconds {
            let now_ns = index * SECOND_NS / per_s;
            let is_open = bucket.admits(1, now_ns);
            if is_open {
                bucket.take(1, now_ns);
                count += 1;
                runs += i64::from(!was_open);
            }
            was_open = is_open;
        }
        (count, runs)
    }

    #[test]
    fn what_stays_within_the_rate_passes_whole() {
        assert_eq!(passed(&mut Bucket::new(500, 1), 500, 60), (30_000, 1));
    }

    #[test]
    fn a_flood_passes_at_the_rate_and_in_stretches() {
        let (count, runs) = passed(&mut Bucket::new(500, 3), 25_000, 20);
        assert!((11_000..=11_500).contains(&count), "{count}");
        assert!((65..=90).contains(&runs), "{runs}");
    }

    #[test]
    fn a_burst_after_a_silence_passes_whole() {
        let mut bucket = Bucket::new(100, 2);
        for index in 0..200 {
            assert!(bucket.admits(1, 7), "{index}");
            bucket.take(1, 7);
        }
        assert!(!bucket.admits(1, 7));
    }

    #[test]
    fn what_is_put_back_was_never_taken() {
        let mut bucket = Bucket::new(100, 1);
        for _ in 0..10_000 {
            assert!(bucket.admits(1, 0));
            bucket.take(1, 0);
            bucket.put_back(1);
        }
    }

    #[test]
    fn a_rate_of_zero_admits_nothing() {
        assert!(!Bucket::new(0, 1).admits(1, 0));
    }
}
