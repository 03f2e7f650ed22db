//! Which packets of an RTP stream are missing, and what became of them.
//!
//! Packets are watched as they arrive, before anything repairs the stream. A sequence number that was skipped counts as
//! recovered when a delivered frame covers it (a retransmission or redundancy filled it), and as lost when a frame after it
//! was delivered and none covers it. Spec: RFC 3550 §5.1, RFC 4588.

use std::collections::HashMap;

/// Streams watched per session; a three-layer simulcast with sound has four.
const STREAMS_MAX: usize = 32;
/// A jump further than this is a restart of the numbering, not loss.
const JUMP_MAX: u16 = 3_000;

#[derive(Debug)]
struct Stream {
    highest: u16,
    /// Skipped sequence numbers, oldest first.
    missing: Vec<u16>,
}

/// The streams of one session, by SSRC.
#[derive(Debug, Default)]
pub struct LossWatch {
    streams: HashMap<u32, Stream>,
    missing_total: usize,
}

/// How many missing packets a delivered frame settled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settled {
    pub recovered: u64,
    pub lost: u64,
}

impl LossWatch {
    /// Note a media packet that is not a retransmission; tell whether it is the first of its stream.
    pub fn arrived(&mut self, ssrc: u32, sequence: u16) -> bool {
        let Some(stream) = self.streams.get_mut(&ssrc) else {
            let is_watched = self.streams.len() < STREAMS_MAX;
            if is_watched {
                self.streams.insert(ssrc, Stream { highest: sequence, missing: Vec::new() });
            }
            return is_watched;
        };
        let ahead = sequence.wrapping_sub(stream.highest);
        if ahead == 1 {
            stream.highest = sequence;
            return false;
        }
        self.missing_total -= stream.missing.len();
        if ahead > 0 && ahead <= JUMP_MAX {
            stream.missing.extend((1..ahead).map(|step| stream.highest.wrapping_add(step)));
            stream.highest = sequence;
            let surplus = stream.missing.len().saturating_sub(usize::from(JUMP_MAX));
            stream.missing.drain(..surplus);
        } else if stream.highest.wrapping_sub(sequence) <= JUMP_MAX {
            stream.missing.retain(|missing| *missing != sequence);
        } else {
            stream.highest = sequence;
            stream.missing.clear();
        }
        self.missing_total += stream.missing.len();
        false
    }

    /// Tell whether no packet of any stream is missing.
    pub const fn is_clean(&self) -> bool {
        self.missing_total == 0
    }

    /// Settle the missing packets up to the end of a delivered frame made of the packets `first..=last`.
    pub fn delivered(&mut self, ssrc: u32, first: u16, last: u16) -> Settled {
        let mut settled = Settled::default();
        let Some(stream) = self.streams.get_mut(&ssrc) else {
            return settled;
        };
        let before = stream.missing.len();
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
        self.missing_total -= before - stream.missing.len();
        settled
    }
}

#[cfg(test)]
mod tests {
    use super::{LossWatch, Settled};

    fn watch(sequences: impl IntoIterator<Item = u16>) -> LossWatch {
        let mut watch = LossWatch::default();
        for sequence in sequences {
            watch.arrived(7, sequence);
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
}
