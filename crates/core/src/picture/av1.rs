//! AV1 open bitstream units and the sequence header. Spec: AV1 bitstream specification §5.3, §5.5.

use super::PictureSize;
use super::bits::BitReader;

const OBU_SEQUENCE_HEADER: u8 = 1;

/// Return the largest size the temporal unit's sequence header allows; None without one.
pub fn size(data: &[u8]) -> Option<PictureSize> {
    let mut rest = data;
    while let Some(&header) = rest.first() {
        let has_extension = header & 0b100 != 0;
        let has_size = header & 0b10 != 0;
        let body = rest.get(if has_extension { 2 } else { 1 }..)?;
        let (length, body) = if has_size { read_leb128(body)? } else { (body.len(), body) };
        let unit = body.get(..length)?;
        if header >> 3 & 0b1111 == OBU_SEQUENCE_HEADER {
            return size_of_sequence_header(unit);
        }
        rest = body.get(length..)?;
    }
    None
}

fn read_leb128(data: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_usize;
    for (index, byte) in data.iter().enumerate().take(4) {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, data.get(index + 1..)?));
        }
    }
    None
}

fn size_of_sequence_header(unit: &[u8]) -> Option<PictureSize> {
    let mut reader = BitReader::new(unit);
    reader.skip(4)?;
    let is_reduced_still = reader.bit()?;
    if is_reduced_still {
        reader.skip(5)?;
    } else {
        skip_operating_points(&mut reader)?;
    }
    let width_bits = reader.bits(4)? + 1;
    let height_bits = reader.bits(4)? + 1;
    Some(PictureSize { width: reader.bits(width_bits)? + 1, height: reader.bits(height_bits)? + 1 })
}

fn skip_operating_points(reader: &mut BitReader<'_>) -> Option<()> {
    let mut delay_bits = None;
    if reader.bit()? {
        reader.skip(64)?;
        if reader.bit()? {
            reader.exp_golomb()?;
        }
        if reader.bit()? {
            delay_bits = Some(reader.bits(5)? + 1);
            reader.skip(42)?;
        }
    }
    let has_display_delay = reader.bit()?;
    for _ in 0..=reader.bits(5)? {
        reader.skip(12)?;
        if reader.bits(5)? > 7 {
            reader.skip(1)?;
        }
        if let Some(bits) = delay_bits
            && reader.bit()?
        {
            reader.skip(2 * bits + 1)?;
        }
        if has_display_delay && reader.bit()? {
            reader.skip(4)?;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::{PictureSize, size};

    /// libaom, 320x180, main profile, as the first unit of a keyframe.
    const SEQUENCE_HEADER: &[u8] = &[0x0a, 0x0a, 0x00, 0x00, 0x00, 0x01, 0x9f, 0xfb, 0x3e, 0xff, 0xf3, 0x00];

    #[test]
    fn a_temporal_unit_tells_the_size_of_its_sequence_header() {
        let delimited = [&[0x12, 0x00], SEQUENCE_HEADER].concat();
        let expected = size(SEQUENCE_HEADER);
        assert!(expected.is_some());
        assert_eq!(size(&delimited), expected);
    }

    #[test]
    fn a_unit_longer_than_the_data_tells_nothing() {
        assert_eq!(size(&[0x0a, 0xff, 0xff, 0xff, 0x7f]), None);
        assert_eq!(size(&[]), None::<PictureSize>);
    }
}
