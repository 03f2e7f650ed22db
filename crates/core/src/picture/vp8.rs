//! VP8 frame header. Spec: RFC 6386 §9.1.

use super::PictureSize;

/// Return the size in a keyframe's header; None for other frames. Scaling bits are ignored.
pub fn size(data: &[u8]) -> Option<PictureSize> {
    let [tag, _, _, 0x9d, 0x01, 0x2a, width_low, width_high, height_low, height_high, ..] = *data else {
        return None;
    };
    let is_keyframe = tag & 1 == 0;
    is_keyframe.then(|| PictureSize {
        width: u32::from(u16::from_le_bytes([width_low, width_high]) & 0x3fff),
        height: u32::from(u16::from_le_bytes([height_low, height_high]) & 0x3fff),
    })
}

#[cfg(test)]
mod tests {
    use super::{PictureSize, size};

    #[test]
    fn a_keyframe_tells_its_size_without_the_scaling_bits() {
        let frame = [0x50, 0x42, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x42, 0x68, 0x81, 0x00];
        assert_eq!(size(&frame), Some(PictureSize { width: 640, height: 360 }));
    }

    #[test]
    fn an_interframe_tells_nothing() {
        assert_eq!(size(&[0x51, 0x42, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01]), None);
        assert_eq!(size(&[]), None);
    }
}
