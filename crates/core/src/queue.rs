//! The bounded store between the receive core and its reader.
//!
//! Policy when full: what is stored stays, in order. Video may fill all but a sixteenth of the room, the rest is kept for
//! audio, which is small and cannot be asked for again. A video layer that meets the limit is dropped up to its next
//! keyframe that fits, audio frame by frame. Each drop is told by an `Overflow` item and the frame after it carries
//! `follows_gap`. Facts about sessions and sender reports are small and few, and always stored.

use std::collections::{HashMap, VecDeque};

use crate::codec::Kind;
use crate::item::{Frame, Item, LayerName, SessionId};

/// Bytes charged for an item besides its data.
const ITEM_BYTES: usize = 256;
/// Share of the room kept free of video.
const AUDIO_SHARE: usize = 16;

/// What became of a pushed item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    Stored,
    /// A frame was dropped; a video layer now wants a keyframe.
    Dropped,
}

/// Items in order of arrival, of all sessions.
#[derive(Debug)]
pub struct Queue {
    items: VecDeque<(SessionId, Item)>,
    bytes: usize,
    bytes_max: usize,
    bytes_peak: usize,
    dropping: HashMap<(SessionId, LayerName), u64>,
    dropped_total: u64,
}

impl Queue {
    /// Hold at most `bytes_max` bytes of frames.
    pub fn new(bytes_max: usize) -> Self {
        Self { items: VecDeque::new(), bytes: 0, bytes_max, bytes_peak: 0, dropping: HashMap::new(), dropped_total: 0 }
    }

    /// Store an item, or drop it by the policy.
    pub fn push(&mut self, session: SessionId, item: Item) -> Pushed {
        match item {
            Item::Frame(frame) => self.push_frame(session, frame),
            Item::Closed { .. } => {
                self.tell_drops(Some(session));
                self.dropping.retain(|(owner, _), _| *owner != session);
                self.store(session, item, ITEM_BYTES)
            }
            _ => self.store(session, item, ITEM_BYTES),
        }
    }

    /// Take everything, grouped by session in order of first appearance; each session's items keep their order.
    pub fn drain(&mut self) -> Vec<(SessionId, Vec<Item>)> {
        self.tell_drops(None);
        let mut groups: Vec<(SessionId, Vec<Item>)> = Vec::new();
        let mut index_of: HashMap<SessionId, usize> = HashMap::new();
        for (session, item) in self.items.drain(..) {
            let index = *index_of.entry(session).or_insert_with(|| {
                groups.push((session, Vec::new()));
                groups.len() - 1
            });
            if let Some((_, items)) = groups.get_mut(index) {
                items.push(item);
            }
        }
        self.bytes = 0;
        groups
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Return bytes held now.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Return the most bytes ever held.
    pub const fn bytes_peak(&self) -> usize {
        self.bytes_peak
    }

    /// Return how many frames were dropped since the start.
    pub const fn dropped_total(&self) -> u64 {
        self.dropped_total
    }

    fn push_frame(&mut self, session: SessionId, mut frame: Frame) -> Pushed {
        let cost = frame.data.len().saturating_add(ITEM_BYTES);
        let is_video = frame.codec.kind() == Kind::Video;
        let room = if is_video { self.bytes_max - self.bytes_max / AUDIO_SHARE } else { self.bytes_max };
        let key = (session, frame.layer.clone());
        let dropped = self.dropping.get(&key).copied();
        let must_wait = is_video && dropped.is_some() && !frame.is_keyframe;
        if must_wait || self.bytes.saturating_add(cost) > room {
            *self.dropping.entry(key).or_insert(0) += 1;
            self.dropped_total += 1;
            return Pushed::Dropped;
        }
        if let Some(frames_count) = self.dropping.remove(&key) {
            frame.follows_gap = true;
            if frames_count > 0 {
                let layer = frame.layer.clone();
                self.store(session, Item::Overflow { layer, frames_count }, ITEM_BYTES);
            }
        }
        self.store(session, Item::Frame(frame), cost)
    }

    fn store(&mut self, session: SessionId, item: Item, cost: usize) -> Pushed {
        self.bytes = self.bytes.saturating_add(cost);
        self.bytes_peak = self.bytes_peak.max(self.bytes);
        self.items.push_back((session, item));
        Pushed::Stored
    }

    /// Report the drops not reported yet, of one session or of all; the layers stay in the state they are in.
    fn tell_drops(&mut self, only: Option<SessionId>) {
        let untold: Vec<_> = self
            .dropping
            .iter_mut()
            .filter(|((session, _), count)| **count > 0 && only.is_none_or(|only| only == *session))
            .map(|((session, layer), count)| (*session, layer.clone(), std::mem::take(count)))
            .collect();
        for (session, layer, frames_count) in untold {
            self.store(session, Item::Overflow { layer, frames_count }, ITEM_BYTES);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Pushed, Queue};
    use crate::codec::Codec;
    use crate::item::{CloseReason, Frame, Item, LayerName, SessionId};

    const SESSION: SessionId = SessionId(1);

    fn frame(codec: Codec, rtp_ticks: i64, is_keyframe: bool) -> Item {
        Item::Frame(Frame {
            layer: LayerName { mid: codec.name().into(), rid: None },
            codec,
            rtp_ticks,
            is_keyframe,
            follows_gap: false,
            packets_lost: 0,
            received_ns: 0,
            width: 0,
            height: 0,
            data: vec![0; 1_000].into(),
        })
    }

    /// Describe items as `ticks` for frames (`!` after a gap) and `-count` for overflows.
    fn described(queue: &mut Queue) -> Vec<String> {
        let items = queue.drain().into_iter().flat_map(|(_, items)| items);
        items
            .map(|item| match item {
                Item::Frame(frame) => format!("{}{}", frame.rtp_ticks, if frame.follows_gap { "!" } else { "" }),
                Item::Overflow { frames_count, .. } => format!("-{frames_count}"),
                other => format!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn a_full_queue_drops_a_video_layer_to_its_next_keyframe() {
        let mut queue = Queue::new(4_500);
        let pushed: Vec<_> = (0..6).map(|ticks| queue.push(SESSION, frame(Codec::H264, ticks, ticks == 0))).collect();
        assert_eq!(pushed[2], Pushed::Stored);
        assert_eq!(pushed[3], Pushed::Dropped);
        assert_eq!(described(&mut queue), ["0", "1", "2", "-3"]);

        queue.push(SESSION, frame(Codec::H264, 6, false));
        queue.push(SESSION, frame(Codec::H264, 7, true));
        queue.push(SESSION, frame(Codec::H264, 8, false));
        assert_eq!(described(&mut queue), ["-1", "7!", "8"]);
    }

    #[test]
    fn audio_goes_on_in_the_room_kept_for_it() {
        let mut queue = Queue::new(32 * 1_256);
        for ticks in 0..40 {
            queue.push(SESSION, frame(Codec::Vp8, ticks, ticks == 0));
        }
        assert_eq!(queue.push(SESSION, frame(Codec::Opus, 0, true)), Pushed::Stored);
        assert_eq!(queue.push(SESSION, frame(Codec::Opus, 1, true)), Pushed::Stored);
        assert_eq!(queue.push(SESSION, frame(Codec::Opus, 2, true)), Pushed::Dropped);
        assert_eq!(queue.dropped_total(), 11);
    }

    #[test]
    fn audio_after_a_drop_follows_a_gap_and_needs_no_keyframe() {
        let mut queue = Queue::new(1_300);
        queue.push(SESSION, frame(Codec::Opus, 0, true));
        queue.push(SESSION, frame(Codec::Opus, 1, true));
        assert_eq!(described(&mut queue), ["0", "-1"]);
        queue.push(SESSION, frame(Codec::Opus, 2, true));
        assert_eq!(described(&mut queue), ["2!"]);
    }

    #[test]
    fn the_memory_held_never_exceeds_the_limit_by_more_than_small_items() {
        let mut queue = Queue::new(10_000);
        for ticks in 0..1_000 {
            queue.push(SESSION, frame(Codec::H264, ticks, ticks % 30 == 0));
            queue.push(SESSION, frame(Codec::Opus, ticks, true));
        }
        assert!(queue.bytes_peak() <= 10_000);
    }

    #[test]
    fn items_are_grouped_by_session_and_keep_their_order() {
        let mut queue = Queue::new(1_000_000);
        for (session, ticks) in [(2, 0), (1, 1), (2, 2), (1, 3)] {
            queue.push(SessionId(session), frame(Codec::Opus, ticks, true));
        }
        let ticks: Vec<(u64, Vec<i64>)> = queue
            .drain()
            .into_iter()
            .map(|(session, items)| {
                let ticks = items.iter().filter_map(|item| match item {
                    Item::Frame(frame) => Some(frame.rtp_ticks),
                    _ => None,
                });
                (session.0, ticks.collect())
            })
            .collect();
        assert_eq!(ticks, [(2, vec![0, 2]), (1, vec![1, 3])]);
        assert!(queue.is_empty());
    }

    #[test]
    fn closing_reports_the_drops_first_and_forgets_the_session() {
        let mut queue = Queue::new(1_300);
        queue.push(SESSION, frame(Codec::Opus, 0, true));
        queue.push(SESSION, frame(Codec::Opus, 1, true));
        queue.push(SESSION, Item::Closed { reason: CloseReason::Closed, received_ns: 0 });
        let told = described(&mut queue);
        assert_eq!(told[..2], ["0", "-1"]);
        assert!(told[2].starts_with("Closed"));
        assert_eq!(described(&mut queue), Vec::<String>::new());
    }
}
