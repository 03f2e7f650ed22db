//! Reads what a recorder must know of a coded picture: its size, and whether it carries its parameter sets.
//!
//! Pure functions over untrusted bytes: no panic, no allocation from a decoded length, None where the bytes do not say.

pub mod av1;
mod bits;
pub mod h264;
pub mod vp8;
pub mod vp9;

use crate::codec::Codec;

/// Coded picture size in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureSize {
    pub width: u32,
    pub height: u32,
}

/// Return the size a keyframe declares; None for audio and for bytes that declare none.
pub fn size_of_keyframe(codec: Codec, data: &[u8]) -> Option<PictureSize> {
    match codec {
        Codec::H264 => h264::size(data),
        Codec::Vp8 => vp8::size(data),
        Codec::Vp9 => vp9::size(data),
        Codec::Av1 => av1::size(data),
        Codec::Opus => None,
    }
}

/// Tell whether this is the tiny black picture an SFU sends to flush decoders when a track ends or mutes.
///
/// LiveKit sends 8x8 for VP8 and 2x2 for H.264 (coded 16x16 and cropped); a camera sends neither.
pub const fn is_flush_picture(codec: Codec, size: PictureSize) -> bool {
    match codec {
        Codec::Vp8 => size.width <= 8 && size.height <= 8,
        Codec::H264 => size.width <= 2 && size.height <= 2,
        _ => false,
    }
}
