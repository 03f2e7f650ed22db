//! VP9 uncompressed header. Spec: VP9 bitstream specification v0.7 §6.2.

use super::PictureSize;
use super::bits::BitReader;

const FRAME_MARKER: u32 = 2;
const SYNC_CODE: u32 = 0x49_83_42;
const COLOR_SPACE_RGB: u32 = 7;

/// Return the size in a keyframe's header; None for other frames. With spatial layers this is the lowest one's.
pub fn size(data: &[u8]) -> Option<PictureSize> {
    let mut reader = BitReader::new(data);
    if reader.bits(2)? != FRAME_MARKER {
        return None;
    }
    let profile = reader.bits(1)? | reader.bits(1)? << 1;
    if profile == 3 {
        reader.skip(1)?;
    }
    let (shows_existing, is_interframe) = (reader.bit()?, reader.bit()?);
    reader.skip(2)?;
    if shows_existing || is_interframe || reader.bits(24)? != SYNC_CODE {
        return None;
    }
    skip_color_config(&mut reader, profile)?;
    Some(PictureSize { width: reader.bits(16)? + 1, height: reader.bits(16)? + 1 })
}

fn skip_color_config(reader: &mut BitReader<'_>, profile: u32) -> Option<()> {
    if profile >= 2 {
        reader.skip(1)?;
    }
    let has_subsampling = profile == 1 || profile == 3;
    if reader.bits(3)? == COLOR_SPACE_RGB {
        reader.skip(u32::from(has_subsampling))
    } else {
        reader.skip(if has_subsampling { 4 } else { 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::{PictureSize, size};

    #[test]
    fn a_profile_0_keyframe_tells_its_size() {
        // Marker 10, profile 00, key, shown; sync code; color space 2, range 0; 319 and 179 in 16 bits each.
        let frame = [0x82, 0x49, 0x83, 0x42, 0x20, 0x13, 0xf0, 0x0b, 0x30];
        assert_eq!(size(&frame), Some(PictureSize { width: 320, height: 180 }));
    }

    #[test]
    fn a_keyframe_of_libvpx_tells_its_size() {
        let frame = [0x82, 0x49, 0x83, 0x42, 0x00, 0x14, 0x10, 0x0b, 0x56, 0x00, 0x38, 0x24, 0x1c, 0x18];
        assert_eq!(size(&frame), Some(PictureSize { width: 322, height: 182 }));
    }

    #[test]
    fn an_interframe_tells_nothing() {
        assert_eq!(size(&[0x86, 0x49, 0x83, 0x42, 0x20, 0x13, 0xf0, 0x0b, 0x30]), None);
        assert_eq!(size(&[0x82, 0x49]), None);
    }
}
