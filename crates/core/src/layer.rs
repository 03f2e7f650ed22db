//! What is remembered of one RTP stream: its unwrapped time axis, its parameter sets, its sequence numbers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::codec::Codec;
use crate::picture::h264::{ParameterSets, has_parameter_sets};
use crate::picture::{self, PictureSize};

/// A layer without frames for this long is paused by its sender; asking it for keyframes would only disturb the others.
const PAUSED_AFTER: Duration = Duration::from_secs(2);
/// More packets in two seconds than a paused layer has: senders pad with old ones.
const PADDING_MAX: u64 = 20;

/// Extends 32-bit RTP time stamps to 64 bits on one axis, across wraps and for values a little out of order.
#[derive(Debug, Default, Clone, Copy)]
pub struct TickAxis {
    newest: Option<i64>,
}

impl TickAxis {
    /// Place `ticks` on the axis and move the axis on; the first value is its own place.
    pub fn advance(&mut self, ticks: u32) -> i64 {
        let placed = self.place(ticks).unwrap_or(i64::from(ticks));
        self.newest = Some(self.newest.map_or(placed, |newest| newest.max(placed)));
        placed
    }

    /// Place `ticks` within half a wrap of the newest value; None before the first. Spec: RFC 3550 §5.1.
    pub fn place(&self, ticks: u32) -> Option<i64> {
        let newest = self.newest?;
        let newest_wrapped = u32::try_from(newest.rem_euclid(1 << 32)).ok()?;
        let distance = ticks.wrapping_sub(newest_wrapped).cast_signed();
        Some(newest + i64::from(distance))
    }
}

/// A sender report that came before the first frame of its layer.
#[derive(Debug, Clone, Copy)]
pub struct EarlyReport {
    pub ticks: u32,
    pub ntp_ns: i64,
    pub received_ns: i64,
}

/// State of one layer of one session.
#[derive(Debug, Default)]
pub struct Layer {
    pub axis: TickAxis,
    pub early_report: Option<EarlyReport>,
    pub last_frame_at: Option<Instant>,
    pub has_keyframe: bool,
    /// Packets missing for good since the last frame that was handed over.
    pub packets_lost: u64,
    /// Of the last frame.
    pub codec: Option<Codec>,
    /// Extended sequence number of the last packet of the last frame.
    newest_sequence: Option<u64>,
    parameter_sets: ParameterSets,
}

/// What a keyframe turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Keyframe {
    /// A picture to record, complete with its parameter sets.
    Picture { data: Arc<[u8]>, size: Option<PictureSize> },
    /// A picture nobody can show: its parameter sets were lost, and none came before.
    Undescribed { data: Arc<[u8]> },
    /// The tiny picture an SFU flushes decoders with; not part of the recording.
    Flush,
}

impl Layer {
    /// Remember H.264 parameter sets the SDP carried (sprop-parameter-sets). Spec: RFC 6184 §8.1.
    pub fn keep_parameter_sets(&mut self, sets: &[Vec<u8>]) {
        for set in sets {
            self.parameter_sets.keep(set);
        }
    }

    /// Note which packets a frame is made of; tell whether they follow those of the frame before it, with none between.
    pub fn continues(&mut self, first: u64, last: u64) -> bool {
        self.newest_sequence.replace(last).is_some_and(|newest| newest.wrapping_add(1) == first)
    }

    /// Tell whether its sender has paused it.
    pub fn is_paused(&self, now: Instant) -> bool {
        self.last_frame_at.is_some_and(|at| now.saturating_duration_since(at) > PAUSED_AFTER)
    }

    /// Tell whether VP9 of which `packets` came lately brought no picture for so long as if it were paused; from then on
    /// it counts as one that has yet to begin, and those packets as lost.
    pub fn lost_its_way(&mut self, packets: u64, now: Instant) -> bool {
        let is_lost = self.codec == Some(Codec::Vp9) && packets > PADDING_MAX && self.is_paused(now);
        if is_lost {
            self.last_frame_at = None;
            self.packets_lost += packets;
        }
        is_lost
    }

    /// Complete a video keyframe and read its size.
    pub fn inspect_keyframe(&mut self, codec: Codec, data: Arc<[u8]>) -> Keyframe {
        let size = picture::size_of_keyframe(codec, &data);
        if size.is_some_and(|size| picture::is_flush_picture(codec, size)) {
            return Keyframe::Flush;
        }
        let completed = if codec == Codec::H264 { self.parameter_sets.complete(&data) } else { None };
        match completed {
            Some(whole) => {
                let size = size.or_else(|| picture::size_of_keyframe(codec, &whole));
                Keyframe::Picture { data: whole.into(), size }
            }
            None if codec == Codec::H264 && !has_parameter_sets(&data) => Keyframe::Undescribed { data },
            None => Keyframe::Picture { data, size },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Keyframe, Layer, TickAxis};
    use crate::codec::Codec;

    #[test]
    fn h264_without_parameter_sets_is_no_picture_before_some_are_known() {
        let lone: std::sync::Arc<[u8]> = [0, 0, 0, 1, 0x65, 0x88].into();
        let mut layer = Layer::default();
        let undescribed = Keyframe::Undescribed { data: lone.clone() };
        assert_eq!(layer.inspect_keyframe(Codec::H264, lone.clone()), undescribed);
        layer.keep_parameter_sets(&[vec![0x67, 0x42, 0xc0, 0x1e], vec![0x68, 0xce]]);
        assert!(matches!(layer.inspect_keyframe(Codec::H264, lone), Keyframe::Picture { data, .. } if data.len() > 6));
    }

    #[test]
    fn ticks_go_on_growing_across_the_32_bit_wrap() {
        let mut axis = TickAxis::default();
        let placed: Vec<i64> = [u32::MAX - 1_000, u32::MAX, 2_000, 5_000].map(|ticks| axis.advance(ticks)).into();
        assert_eq!(placed, [4_294_966_295, 4_294_967_295, 4_294_969_296, 4_294_972_296]);
    }

    #[test]
    fn a_late_value_from_before_the_wrap_is_placed_before_it() {
        let mut axis = TickAxis::default();
        axis.advance(u32::MAX - 10);
        axis.advance(20);
        assert_eq!(axis.advance(u32::MAX), 4_294_967_295);
        assert_eq!(axis.advance(21), 4_294_967_317);
    }

    #[test]
    fn a_hundred_wraps_are_counted() {
        let mut axis = TickAxis::default();
        let mut ticks = 0_u32;
        let mut last = axis.advance(ticks);
        for _ in 0..1_000 {
            ticks = ticks.wrapping_add(1 << 29);
            let placed = axis.advance(ticks);
            assert_eq!(placed - last, 1 << 29);
            last = placed;
        }
    }

    #[test]
    fn a_flush_picture_is_not_recorded() {
        let flush: &[u8] = &[0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x08, 0x00, 0x08, 0x00, 0x00];
        assert_eq!(Layer::default().inspect_keyframe(Codec::Vp8, flush.into()), Keyframe::Flush);
    }
}
