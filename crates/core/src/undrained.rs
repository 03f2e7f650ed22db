//! How much the machine may take before it is drained.
//!
//! Its output may wait, so that packets read together are drained together. But what waits goes out in one datagram,
//! and of several congestion reports in one datagram Chromium heeds the last only: the packets of the others, the
//! probes of its first moment among them, stay without an answer. So no two of them wait. Pure: time is an argument.

use std::time::{Duration, Instant};

const INPUTS_MAX: usize = 64;
/// How far apart str0m's congestion reports are.
const REPORT_INTERVAL: Duration = Duration::from_millis(50);

/// What the machine has taken since it was last drained.
#[derive(Debug, Default)]
pub struct Undrained {
    inputs: usize,
    since: Option<Instant>,
}

impl Undrained {
    /// Note an input of the time `at`.
    pub fn note(&mut self, at: Instant) {
        self.inputs += 1;
        self.since.get_or_insert(at);
    }

    pub const fn is_empty(&self) -> bool {
        self.inputs == 0
    }

    pub const fn is_full(&self) -> bool {
        self.inputs >= INPUTS_MAX
    }

    /// Tell whether an input of the time `at` could bring a second report.
    pub fn must_go_before(&self, at: Instant) -> bool {
        self.since.is_some_and(|since| at >= since + REPORT_INTERVAL)
    }
}
