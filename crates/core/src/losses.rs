//! Which packets of an RTP stream are missing, and what became of them.
//!
//! Packets are watched as they arrive, before anything repairs the stream. A sequence number that was skipped counts as
//! recovered when a delivered frame covers it (a retransmission or redundancy filled it), and as lost when a frame after it
//! was delivered and none covers it. Numbers that leap further than a sender can have sent since the packet before are a
//! new numbering and no loss; those skipped while nothing arrived at all are. Pure: time is an argument.
//! Spec: RFC 3550 §5.1, RFC 4588.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Streams watched per session; a three-layer simulcast with sound has four.
const STREAMS_MAX: usize = 32;
/// A jump further than this, between packets that came one after the other, is a restart of the numbering.
const JUMP_MAX: u16 = 3_000;
/// Packets a sender sends in a millisecond at most: 29 Mbit/s of packets of 1,200 bytes.
const PACKETS_PER_MS_MAX: u128 = 3;

#[derive(Debug)]
struct Stream {
    highest: u16,
    arrived_at: Instant,
    /// Skipped sequence numbers, oldest first; no more than `JUMP_MAX`.
    missing: Vec<u16>,
    /// Older skipped ones, which no retransmission will fill any more.
    given_up: u64,
}

impl Stream {
    fn pending(&self) -> usize {
        self.missing.len() + usize::from(self.given_up > 0)
    }

    fn skip_to(&mut self, sequence: u16, ahead: u16) {
        self.missing.extend((1..ahead).map(|step| self.highest.wrapping_add(step)));
        self.highest = sequence;
        let surplus = self.missing.len().saturating_sub(usize::from(JUMP_MAX));
        self.given_up += self.missing.drain(..surplus).len() as u64;
    }
}

/// The streams of one session, by SSRC.
#[derive(Debug, Default)]
pub struct LossWatch {
    streams: HashMap<u32, Stream>,
    pending_total: usize,
}

/// How many missing packets a delivered frame settled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settled {
    pub recovered: u64,
    pub lost: u64,
}

impl LossWatch {
    /// Note a media packet that is not a retransmission; tell whether it is the first of its stream.
    pub fn arrived(&mut self, ssrc: u32, sequence: u16, now: Instant) -> bool {
        let Some(stream) = self.streams.get_mut(&ssrc) else {
            let is_watched = self.streams.len() < STREAMS_MAX;
            if is_watched {
                let stream = Stream { highest: sequence, arrived_at: now, missing: Vec::new(), given_up: 0 };
                self.streams.insert(ssrc, stream);
            }
            return is_watched;
        };
        let ahead = sequence.wrapping_sub(stream.highest);
        let elapsed = now.saturating_duration_since(stream.arrived_at);
        stream.arrived_at = now;
        if ahead == 1 {
            stream.highest = sequence;
            return false;
        }
        self.pending_total -= stream.pending();
        if ahead > 0 && can_be_ahead(ahead, elapsed) {
            stream.skip_to(sequence, ahead);
        } else if stream.highest.wrapping_sub(sequence) <= JUMP_MAX {
            stream.missing.retain(|missing| *missing != sequence);
        } else {
            stream.highest = sequence;
            stream.missing.clear();
            stream.given_up = 0;
        }
        self.pending_total += stream.pending();
        false
    }

    /// Tell whether no packet of any stream is missing.
    pub const fn is_clean(&self) -> bool {
        self.pending_total == 0
    }

    /// Settle the missing packets up to the end of a delivered frame made of the packets `first..=last`.
    pub fn delivered(&mut self, ssrc: u32, first: u16, last: u16) -> Settled {
        let mut settled = Settled::default();
        let Some(stream) = self.streams.get_mut(&ssrc) else {
            return settled;
        };
        let before = stream.pending();
        settled.lost = std::mem::take(&mut stream.given_up);
        stream.missing.retain(|missing| {
            let is_after = missing.wrapping_sub(last).wrapping_sub(1) < 1 << 15;
            if !is_after {
                let is_covered = missing.wrapping_sub(first) <= last.wrapping_sub(first);
                if is_covered {
                    settled.recovered += 1;
                } else {
                    settled.lost += 1;
                }
            }
            is_after
        });
        self.pending_total -= before - stream.pending();
        settled
    }
}

/// Tell whether a sender can have sent so many packets since the last one came.
fn can_be_ahead(ahead: u16, elapsed: Duration) -> bool {
    ahead <= JUMP_MAX || (ahead < 1 << 15 && u128::from(ahead) <= elapsed.as_millis() * PACKETS_PER_MS_MAX)
}

#[cfg(test)]
mod tests {
    use super::{LossWatch, Settled};
    use std::time::{Duration, Instant};

    /// Packets that come one after the other.
    fn watch(sequences: impl IntoIterator<Item = u16>) -> LossWatch {
        let (mut watch, now) = (LossWatch::default(), Instant::now());
        for sequence in sequences {
            watch.arrived(7, sequence, now);
        }
        watch
    }

    #[test]
    fn a_reordered_packet_is_neither_lost_nor_recovered() {
        let mut watch = watch([1, 3, 2, 4]);
        assert!(watch.is_clean());
        assert_eq!(watch.delivered(7, 1, 4), Settled::default());
    }

    #[test]
    fn a_gap_inside_a_delivered_frame_was_recovered_one_before_it_was_lost() {
        let mut watch = watch([65_534, 2, 5]);
        assert_eq!(watch.delivered(7, 1, 5), Settled { recovered: 3, lost: 2 });
        assert!(watch.is_clean());
    }

    #[test]
    fn what_is_missing_after_the_frame_stays_open() {
        let mut watch = watch([10, 12, 14]);
        assert_eq!(watch.delivered(7, 10, 12), Settled { recovered: 1, lost: 0 });
        assert!(!watch.is_clean());
    }

    #[test]
    fn a_restart_of_the_numbering_is_not_loss() {
        let watch = watch([100, 101, 40_000, 40_001]);
        assert!(watch.is_clean());
    }

    #[test]
    fn what_was_sent_while_nothing_arrived_is_lost_however_much_it_is() {
        let mut watch = watch([65_000, 65_001]);
        watch.arrived(7, 4_465, Instant::now() + Duration::from_secs(12));
        assert_eq!(watch.delivered(7, 4_465, 4_465), Settled { recovered: 0, lost: 4_999 });
        assert!(watch.is_clean());
    }

    #[test]
    fn more_than_a_sender_can_have_sent_meanwhile_is_a_new_numbering() {
        let mut watch = watch([65_000, 65_001]);
        watch.arrived(7, 4_465, Instant::now() + Duration::from_secs(1));
        assert!(watch.is_clean());
    }
}
