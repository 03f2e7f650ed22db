//! How much a reader is handed at a time, by how fast it turned out to read, and whether it falls behind.
//!
//! A reader that takes a quarter of a second for each portion comes back often enough for everybody to have a turn within
//! about a second, and for what is posted to it to be done in between. Pure: time is an argument.

use std::time::{Duration, Instant};

/// How long a reader should take for one portion.
const AIM: Duration = Duration::from_millis(250);
/// Items of a portion.
const ITEMS_MIN: usize = 64;
const ITEMS_MAX: usize = 2_048;
/// Items of one session in a portion: a second and a half of a stream.
pub const ITEMS_PER_SESSION_MAX: usize = 128;
const ITEMS_PER_SESSION_MIN: usize = 4;
/// Portions in which everybody who waits should have had a turn.
const ROUND: usize = 4;
/// A longer time between two portions says nothing of how fast the reader reads: it stood still, behind a disk perhaps.
const STOOD_STILL: Duration = Duration::from_secs(2);
/// How many times as much as is read must have come before for it to be known that the reader is slow, not still.
const CLEARLY: f64 = 1.3;
/// How long ago what was offered and read still counts by about a third.
const MEMORY_S: f64 = 1.0;

/// The next portion's size.
#[derive(Debug)]
pub struct Portion {
    items: usize,
    /// What the last one held, and whether more was waiting than it took.
    last: (usize, bool),
    read_at: Option<Instant>,
    /// Frames that came since then, dropped ones among them.
    offered: usize,
    /// Frames offered and items read of late, older ones counting less.
    lately: (f64, f64),
}

impl Default for Portion {
    fn default() -> Self {
        Self { items: ITEMS_MAX, last: (0, false), read_at: None, offered: 0, lately: (0.0, 0.0) }
    }
}

impl Portion {
    /// Note that a frame came, whatever becomes of it.
    pub const fn offer(&mut self) {
        self.offered += 1;
    }

    /// Tell whether more comes than the reader reads. One that stood still reads faster than media comes, and is not.
    pub fn is_falling_behind(&self) -> bool {
        let (offered, read) = self.lately;
        self.last.1 && offered > read
    }

    /// Return how long an item waits that comes behind `waiting` others of its session, while so many sessions wait.
    pub fn wait_behind(&self, waiting: usize, sessions: usize) -> Duration {
        let portions = (waiting * sessions.max(1)) / self.items.max(1);
        AIM * u32::try_from(portions).unwrap_or(u32::MAX)
    }

    /// Note that the reader comes for more at `now`; return how many items it may take in all.
    pub fn begin(&mut self, now: Instant) -> usize {
        let elapsed = self.read_at.map_or(Duration::ZERO, |read_at| now.saturating_duration_since(read_at));
        self.read_at = Some(now);
        let (last, was_cut) = self.last;
        let offered = std::mem::take(&mut self.offered);
        if elapsed < STOOD_STILL {
            let kept = (-elapsed.as_secs_f64() / MEMORY_S).exp();
            self.lately = (self.lately.0 * kept + as_f64(offered), self.lately.1 * kept + as_f64(last));
        } else if self.lately.0 < self.lately.1 * CLEARLY {
            self.lately = (0.0, 0.0);
        }
        let grown = self.items.saturating_mul(2);
        // Only behind a portion that was cut is the time since then what it took to read it.
        self.items = if was_cut { read_within_aim(last, elapsed).min(grown) } else { grown };
        self.items = self.items.clamp(ITEMS_MIN, ITEMS_MAX);
        self.items
    }

    /// Return how many items of each session a portion may hold while so many sessions wait.
    pub fn per_session(&self, waiting: usize) -> usize {
        (self.items * ROUND / waiting.max(1)).clamp(ITEMS_PER_SESSION_MIN, ITEMS_PER_SESSION_MAX)
    }

    /// Note what a portion came to.
    pub const fn end(&mut self, count: usize, is_more_waiting: bool) {
        self.last = (count, is_more_waiting);
    }
}

fn read_within_aim(items: usize, took: Duration) -> usize {
    let aim = AIM.as_micros() * u128::try_from(items).unwrap_or(u128::MAX);
    usize::try_from(aim / took.as_micros().max(1)).unwrap_or(usize::MAX)
}

/// Counts of a portion fit into an f64 without loss.
#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
const fn as_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::{ITEMS_MAX, ITEMS_MIN, Portion};
    use std::time::{Duration, Instant};

    /// Let a reader that needs `per_item` read as long as more is waiting; return the last portion's size.
    fn portion_of(per_item: Duration, portion: &mut Portion, now: &mut Instant) -> usize {
        let mut items = 0;
        for _ in 0..8 {
            items = portion.begin(*now);
            portion.end(items, true);
            *now += per_item * u32::try_from(items).unwrap_or(0);
        }
        items
    }

    /// Let so many frames come within a portion of 250 ms, a thousand of which are read.
    fn offered(portion: &mut Portion, now: &mut Instant, frames: usize) {
        (0..frames).for_each(|_| portion.offer());
        *now += Duration::from_millis(250);
        portion.begin(*now);
        portion.end(1_000, true);
    }

    #[test]
    fn a_reader_is_handed_what_it_reads_in_a_quarter_of_a_second() {
        let (mut portion, mut now) = (Portion::default(), Instant::now());
        assert_eq!(portion_of(Duration::from_millis(1), &mut portion, &mut now), 250);
        assert_eq!(portion_of(Duration::from_micros(200), &mut portion, &mut now), 1_250);
        assert_eq!(portion_of(Duration::from_secs(1), &mut portion, &mut now), ITEMS_MIN);
        portion.end(ITEMS_MIN, false);
        let grown: Vec<usize> = (0..8).map(|_| portion.begin(now)).collect();
        assert_eq!(grown[..2], [128, 256]);
        assert_eq!(grown[7], ITEMS_MAX);
    }

    #[test]
    fn everybody_has_a_turn_within_four_portions_but_for_crowds() {
        let portion = Portion::default();
        for waiting in [1, 10, 100, 1_000, 2_000] {
            assert!(waiting * portion.per_session(waiting) <= 4 * ITEMS_MAX);
        }
        assert_eq!([portion.per_session(0), portion.per_session(100_000)], [128, 4]);
    }

    #[test]
    fn who_is_offered_more_than_it_reads_falls_behind_until_less_comes() {
        let (mut portion, mut now) = (Portion::default(), Instant::now());
        for _ in 0..8 {
            offered(&mut portion, &mut now, 1_200);
        }
        assert!(portion.is_falling_behind());
        assert_eq!(portion.wait_behind(1_000, 2), Duration::from_millis(500));
        for _ in 0..8 {
            offered(&mut portion, &mut now, 800);
        }
        assert!(!portion.is_falling_behind());
    }

    #[test]
    fn who_stood_still_and_reads_faster_than_media_comes_does_not_fall_behind() {
        let (mut portion, mut now) = (Portion::default(), Instant::now());
        offered(&mut portion, &mut now, 300);
        (0..10_000).for_each(|_| portion.offer());
        now += Duration::from_secs(8);
        portion.begin(now);
        for _ in 0..20 {
            portion.end(1_000, true);
            offered(&mut portion, &mut now, 300);
            assert!(!portion.is_falling_behind());
        }
    }
}
