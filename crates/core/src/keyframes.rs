//! When to ask a publisher for a keyframe.
//!
//! A layer is *waiting* from the moment decoding cannot go on until a keyframe arrives. While it waits it is asked for
//! at once, then after 0.5, 1, 2, 4, 4, ... seconds. Over all layers and requesters of one source together requests are
//! held to one a second in the long run, with a small burst for the start. Rules R14 and R15. Pure: time is an argument.

use std::time::{Duration, Instant};

/// How long arriving video may show nothing decodable before its first keyframe is asked for.
pub const FIRST_KEYFRAME_PATIENCE: Duration = Duration::from_millis(500);
const BACK_OFF_FIRST: Duration = Duration::from_millis(500);
const BACK_OFF_MAX: Duration = Duration::from_secs(4);
/// One more request may be sent per interval in the long run.
const INTERVAL: Duration = Duration::from_secs(1);
/// Requests that may be sent at once after a quiet time: one for each of three layers, and one.
const BURST: u32 = 4;

struct Waiting<K> {
    layer: K,
    due: Instant,
    back_off: Duration,
}

/// The requests of one source; `K` names a layer.
pub struct KeyframePolicy<K> {
    waiting: Vec<Waiting<K>>,
    /// The allowance is full from this instant on; each request moves it on by `INTERVAL`.
    full_at: Option<Instant>,
}

impl<K> Default for KeyframePolicy<K> {
    fn default() -> Self {
        Self { waiting: Vec::new(), full_at: None }
    }
}

impl<K: Copy + Eq> KeyframePolicy<K> {
    /// Note that `layer` needs a keyframe, to be asked for at `due` at the earliest.
    ///
    /// A layer that waits already keeps its turn, or comes sooner if it was not asked yet.
    pub fn need(&mut self, layer: K, due: Instant) {
        match self.waiting.iter_mut().find(|waiting| waiting.layer == layer) {
            Some(waiting) if waiting.back_off == BACK_OFF_FIRST => waiting.due = waiting.due.min(due),
            Some(_) => {}
            None => self.waiting.push(Waiting { layer, due, back_off: BACK_OFF_FIRST }),
        }
    }

    /// Note that a keyframe of `layer` arrived.
    pub fn arrived(&mut self, layer: K) {
        self.waiting.retain(|waiting| waiting.layer != layer);
    }

    pub fn is_waiting(&self, layer: K) -> bool {
        self.waiting.iter().any(|waiting| waiting.layer == layer)
    }

    /// Return one layer to ask for a keyframe now; call again until None.
    ///
    /// A layer that `can_be_asked` denies (its sender paused it, or nothing of it has come yet) is looked at again after
    /// the first back-off and costs nothing of the allowance.
    pub fn take_due(&mut self, now: Instant, can_be_asked: impl Fn(K) -> bool) -> Option<K> {
        for waiting in &mut self.waiting {
            if waiting.due <= now && !can_be_asked(waiting.layer) {
                waiting.due = now + BACK_OFF_FIRST;
            }
        }
        let allowed_at = self.allowed_at(now).unwrap_or(now);
        let waiting = self.waiting.iter_mut().filter(|waiting| waiting.due <= now).min_by_key(|waiting| waiting.due)?;
        if allowed_at > now {
            for waiting in &mut self.waiting {
                waiting.due = waiting.due.max(allowed_at);
            }
            return None;
        }
        waiting.due = now + waiting.back_off;
        waiting.back_off = (waiting.back_off * 2).min(BACK_OFF_MAX);
        let layer = waiting.layer;
        self.full_at = Some(self.full_at.map_or(now, |full_at| full_at.max(now)) + INTERVAL);
        Some(layer)
    }

    /// Return when `take_due` has something next.
    pub fn deadline(&self) -> Option<Instant> {
        self.waiting.iter().map(|waiting| waiting.due).min()
    }

    /// Return when the allowance has a request to spend, None if it has one at any time.
    fn allowed_at(&self, now: Instant) -> Option<Instant> {
        let full_at = self.full_at.filter(|full_at| *full_at > now)?;
        full_at.checked_sub(INTERVAL * (BURST - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::KeyframePolicy;
    use std::time::{Duration, Instant};

    /// Run the policy for `seconds` in steps of 10 ms; return the times of requests in milliseconds.
    fn requests(policy: &mut KeyframePolicy<u8>, start: Instant, seconds: u64) -> Vec<u64> {
        (0..seconds * 100)
            .map(|step| step * 10)
            .flat_map(|ms| {
                let now = start + Duration::from_millis(ms);
                std::iter::from_fn(|| policy.take_due(now, |_| true).map(|_| ms)).collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn a_layer_that_never_answers_is_asked_with_back_off_from_half_a_second_to_four() {
        let (mut policy, start) = (KeyframePolicy::default(), Instant::now());
        policy.need(1, start);
        assert_eq!(requests(&mut policy, start, 17), [0, 500, 1_500, 3_500, 7_500, 11_500, 15_500]);
    }

    #[test]
    fn nothing_is_asked_once_the_keyframe_arrived() {
        let (mut policy, start) = (KeyframePolicy::default(), Instant::now());
        policy.need(1, start);
        assert_eq!(policy.take_due(start, |_| true), Some(1));
        policy.arrived(1);
        assert_eq!(requests(&mut policy, start, 10), []);
        assert_eq!(policy.deadline(), None);
    }

    #[test]
    fn requests_of_all_layers_together_stay_at_one_a_second() {
        let (mut policy, start) = (KeyframePolicy::default(), Instant::now());
        let mut asked = 0_u32;
        for step in 0..60_000_u64 {
            let now = start + Duration::from_millis(step);
            for layer in 0..3_u8 {
                policy.need(layer, now);
            }
            while let Some(layer) = policy.take_due(now, |_| true) {
                asked += 1;
                policy.arrived(layer);
            }
        }
        assert!((60..=64).contains(&asked), "{asked} requests in a minute");
    }

    #[test]
    fn three_layers_are_asked_at_once_at_the_start() {
        let (mut policy, start) = (KeyframePolicy::default(), Instant::now());
        for layer in 0..3_u8 {
            policy.need(layer, start);
        }
        assert_eq!(std::iter::from_fn(|| policy.take_due(start, |_| true)).count(), 3);
    }

    #[test]
    fn a_paused_layer_is_not_asked_and_spends_nothing() {
        let (mut policy, start) = (KeyframePolicy::default(), Instant::now());
        policy.need(1, start);
        for ms in 0..60_000_u64 {
            assert_eq!(policy.take_due(start + Duration::from_millis(ms), |_| false), None);
        }
        let resumed = start + Duration::from_secs(61);
        assert_eq!(policy.take_due(resumed, |_| true), Some(1));
    }

    #[test]
    fn the_deadline_is_when_the_next_request_goes_out() {
        let (mut policy, start) = (KeyframePolicy::default(), Instant::now());
        policy.need(1, start + Duration::from_millis(500));
        assert_eq!(policy.take_due(start, |_| true), None);
        assert_eq!(policy.deadline(), Some(start + Duration::from_millis(500)));
    }
}
