//! What waits of one session, and what of it was dropped.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use crate::bucket::Bucket;
use crate::codec::Kind;
use crate::item::{Frame, Item, LayerName};

/// Bytes charged for an item besides its data.
const ITEM_BYTES: usize = 256;
/// Seconds' worth of frames that may come at once: what waited behind a loss comes in one go.
const BURST_S: u8 = 3;
/// Sender reports a session may have handed on a second, of all its streams; senders send one per stream.
const REPORTS_PER_S: u32 = 50;

/// Return the bytes an item is charged.
pub fn cost_of(item: &Item) -> usize {
    match item {
        Item::Frame(frame) => cost_of_frame(frame),
        _ => ITEM_BYTES,
    }
}

/// Return the bytes a frame is charged.
pub fn cost_of_frame(frame: &Frame) -> usize {
    frame.data.len().saturating_add(ITEM_BYTES)
}

/// What of a layer was dropped and not told yet.
#[derive(Debug, Clone, Copy, Default)]
struct Dropped {
    frames: u64,
    packets: u64,
}

/// An item that waits.
#[derive(Debug)]
pub struct Waiting {
    /// Counts all items of the queue.
    pub number: u64,
    pub since: Instant,
    pub item: Item,
}

/// How many frames a session may have handed on a second.
#[derive(Debug)]
struct Rates {
    audio: Bucket,
    video: Bucket,
    reports: Bucket,
}

/// The items of one session, in order.
#[derive(Debug)]
pub struct Backlog {
    items: VecDeque<Waiting>,
    bytes: usize,
    /// The layers whose last frame was dropped. One of video goes on with a keyframe.
    dropping: HashMap<LayerName, Dropped>,
    rates: Rates,
    /// It loses what it brings until it has caught up.
    pub is_late: bool,
}

impl Backlog {
    pub fn new(audio_frames_per_s: u32, pictures_per_s: u32) -> Self {
        let rates = Rates {
            audio: Bucket::new(audio_frames_per_s, BURST_S),
            video: Bucket::new(pictures_per_s, BURST_S),
            reports: Bucket::new(REPORTS_PER_S, BURST_S),
        };
        Self { items: VecDeque::new(), bytes: 0, dropping: HashMap::new(), rates, is_late: false }
    }

    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub fn front(&self) -> Option<&Waiting> {
        self.items.front()
    }

    /// Tell whether a frame comes within the rate of its kind; one that does is counted.
    pub fn is_within_rate(&mut self, frame: &Frame) -> bool {
        let bucket = match frame.codec.kind() {
            Kind::Audio => &mut self.rates.audio,
            Kind::Video => &mut self.rates.video,
        };
        let is_within = bucket.admits(1, frame.received_ns);
        if is_within {
            bucket.take(1, frame.received_ns);
        }
        is_within
    }

    /// Tell whether a sender report comes within the rate; one that does is counted.
    pub fn may_report(&mut self, received_ns: i64) -> bool {
        let is_within = self.rates.reports.admits(1, received_ns);
        if is_within {
            self.rates.reports.take(1, received_ns);
        }
        is_within
    }

    pub fn push(&mut self, waiting: Waiting) {
        self.bytes = self.bytes.saturating_add(cost_of(&waiting.item));
        self.items.push_back(waiting);
    }

    pub fn pop(&mut self) -> Option<Item> {
        let waiting = self.items.pop_front()?;
        self.bytes -= cost_of(&waiting.item);
        Some(waiting.item)
    }

    /// Tell whether a layer must begin anew before it may go on.
    pub fn is_dropping(&self, layer: &LayerName) -> bool {
        self.dropping.contains_key(layer)
    }

    /// Note that a frame of a layer is dropped.
    pub fn drop_frame(&mut self, layer: LayerName) {
        self.dropping.entry(layer).or_default().frames += 1;
    }

    /// End the dropping of a layer; return what is to be told before its next frame, None if nothing was dropped.
    pub fn resume(&mut self, layer: &LayerName) -> Option<Option<Item>> {
        let dropped = self.dropping.remove(layer)?;
        Some(dropped.overflow(layer))
    }

    /// Return what was dropped and not told yet; the layers stay in the state they are in.
    pub fn untold(&mut self) -> Vec<Item> {
        self.dropping.iter_mut().filter_map(|(layer, dropped)| std::mem::take(dropped).overflow(layer)).collect()
    }

    /// Drop the newest frames and reports until `goal` bytes are free or none is left; return how many frames that were,
    /// and the layers that went on until now.
    pub fn shed(&mut self, goal: usize) -> (u64, Vec<LayerName>) {
        let (mut facts, mut stopped, mut frames, before) = (Vec::new(), Vec::new(), 0, self.bytes);
        while before - self.bytes < goal {
            let Some(waiting) = self.items.pop_back() else {
                break;
            };
            self.bytes -= cost_of(&waiting.item);
            match waiting.item {
                Item::Frame(frame) => {
                    frames += 1;
                    self.stop(frame.layer, 1, 0, &mut stopped);
                }
                Item::Overflow { layer, frames_count, packets_count } => {
                    self.stop(layer, frames_count, packets_count, &mut stopped);
                }
                Item::SenderReport(_) => {}
                Item::Connected { .. } | Item::Closed { .. } => facts.push(waiting),
            }
        }
        for fact in facts.into_iter().rev() {
            if matches!(fact.item, Item::Closed { .. }) {
                for item in self.untold() {
                    self.push(Waiting { item, ..fact });
                }
            }
            self.push(fact);
        }
        (frames, stopped)
    }

    fn stop(&mut self, layer: LayerName, frames: u64, packets: u64, stopped: &mut Vec<LayerName>) {
        let dropped = self.dropping.entry(layer).or_insert_with_key(|layer| {
            stopped.push(layer.clone());
            Dropped::default()
        });
        dropped.frames += frames;
        dropped.packets += packets;
    }
}

impl Dropped {
    fn overflow(self, layer: &LayerName) -> Option<Item> {
        let has_any = self.frames > 0 || self.packets > 0;
        let overflow = Item::Overflow { layer: layer.clone(), frames_count: self.frames, packets_count: self.packets };
        has_any.then_some(overflow)
    }
}
