//! How much a reader is handed at a time, by how fast it turned out to read.
//!
//! A reader that takes a quarter of a second for each portion comes back often enough for everybody to have a turn within
//! about a second, for what is posted to it to be done in between, and for how long things wait to mean something. Also
//! tells for how long the reader has been reading: standing still does not count, nor as much time afterwards, in which it
//! may catch up. Pure: time is an argument.

use std::time::{Duration, Instant};

/// How long a reader should take for one portion.
const AIM: Duration = Duration::from_millis(250);
/// Items of a portion.
const ITEMS_MIN: usize = 64;
const ITEMS_MAX: usize = 4_096;
/// Items of one session in a portion: a second and a half of a stream.
pub const ITEMS_PER_SESSION_MAX: usize = 128;
const ITEMS_PER_SESSION_MIN: usize = 4;
/// Portions in which everybody who waits should have had a turn.
const ROUND: usize = 4;
/// The most that the time between two portions counts: beyond it the reader stood still.
const READING_MAX: Duration = Duration::from_secs(1);

/// The next portion's size.
#[derive(Debug)]
pub struct Portion {
    items: usize,
    /// What the last one held, if more was waiting than it took.
    last: Option<usize>,
    read_at: Option<Instant>,
    reading: Duration,
    /// How long it stood still and has not had the time to make up for.
    behind: Duration,
}

impl Default for Portion {
    fn default() -> Self {
        Self { items: ITEMS_MAX, last: None, read_at: None, reading: Duration::ZERO, behind: Duration::ZERO }
    }
}

impl Portion {
    /// For how long the reader has been reading.
    pub const fn reading(&self) -> Duration {
        self.reading
    }

    /// Note that the reader comes for more at `now`; return how many items it may take in all.
    pub fn begin(&mut self, now: Instant) -> usize {
        let elapsed = self.read_at.map_or(Duration::ZERO, |read_at| now.saturating_duration_since(read_at));
        self.count(elapsed);
        self.read_at = Some(now);
        let grown = self.items.saturating_mul(2);
        // Only behind a full portion is the time since then what it took to read it.
        self.items = self.last.take().map_or(grown, |last| read_within_aim(last, elapsed).min(grown));
        self.items = self.items.clamp(ITEMS_MIN, ITEMS_MAX);
        self.items
    }

    fn count(&mut self, elapsed: Duration) {
        let (counted, stood_still) = (elapsed.min(READING_MAX), elapsed.saturating_sub(READING_MAX));
        if self.last.is_none() {
            // Nothing was left when it last read.
            self.behind = Duration::ZERO;
        }
        self.reading += counted.saturating_sub(self.behind);
        self.behind = self.behind.saturating_sub(counted) + stood_still;
    }

    /// Return how many items of each session a portion may hold while so many sessions wait.
    pub fn per_session(&self, waiting: usize) -> usize {
        (self.items * ROUND / waiting.max(1)).clamp(ITEMS_PER_SESSION_MIN, ITEMS_PER_SESSION_MAX)
    }

    /// Note what a portion came to.
    pub fn end(&mut self, count: usize, is_more_waiting: bool) {
        self.last = is_more_waiting.then_some(count);
    }
}

fn read_within_aim(items: usize, took: Duration) -> usize {
    let aim = AIM.as_micros() * u128::try_from(items).unwrap_or(u128::MAX);
    usize::try_from(aim / took.as_micros().max(1)).unwrap_or(usize::MAX)
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

    #[test]
    fn a_reader_is_handed_what_it_reads_in_a_quarter_of_a_second() {
        let (mut portion, mut now) = (Portion::default(), Instant::now());
        assert_eq!(portion_of(Duration::from_millis(1), &mut portion, &mut now), 250);
        assert_eq!(portion_of(Duration::from_micros(100), &mut portion, &mut now), 2_500);
        assert_eq!(portion_of(Duration::from_secs(1), &mut portion, &mut now), ITEMS_MIN);
        portion.end(ITEMS_MIN, false);
        let grown: Vec<usize> = (0..8).map(|_| portion.begin(now)).collect();
        assert_eq!(grown[..2], [128, 256]);
        assert_eq!(grown[7], ITEMS_MAX);
    }

    #[test]
    fn everybody_has_a_turn_within_four_portions_but_for_crowds() {
        let portion = Portion::default();
        for waiting in [1, 10, 100, 1_000, 4_000] {
            assert!(waiting * portion.per_session(waiting) <= 4 * ITEMS_MAX);
        }
        assert_eq!([portion.per_session(0), portion.per_session(100_000)], [128, 4]);
    }

    #[test]
    fn standing_still_is_not_reading() {
        let (mut portion, mut now) = (Portion::default(), Instant::now());
        portion.begin(now);
        for pause in [Duration::from_millis(200), Duration::from_secs(60)] {
            now += pause;
            portion.begin(now);
        }
        assert_eq!(portion.reading(), Duration::from_millis(1_200));
    }

    #[test]
    fn making_up_for_having_stood_still_is_not_reading_either() {
        let (mut portion, mut now) = (Portion::default(), Instant::now());
        portion.begin(now);
        now += Duration::from_secs(3);
        portion.begin(now);
        let mut counted = |seconds: u64, is_more_waiting: bool| {
            portion.end(64, is_more_waiting);
            now += Duration::from_secs(seconds);
            portion.begin(now);
            portion.reading().as_secs()
        };
        assert_eq!([counted(1, true), counted(1, true), counted(1, true)], [1, 1, 2]);
        assert_eq!([counted(5, true), counted(1, false)], [3, 4], "who has caught up has nothing to make up for");
    }
}
