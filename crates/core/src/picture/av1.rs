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

    /// SVT-AV1, 322x182, main profile: temporal delimiter, sequence header and the beginning of the keyframe.
    const TEMPORAL_UNIT: &[u8] = &[
        0x12, 0x00, 0x0a, 0x0b, 0x00, 0x00, 0x00, 0x04, 0x3d, 0x06, 0xd4, 0x4a, 0xf9, 0x00, 0x40, 0x32, 0x15, 0x10,
        0x00, 0x8b, 0x00, 0x81,
    ];

    #[test]
    fn a_temporal_unit_tells_the_size_of_its_sequence_header() {
        let expected = Some(PictureSize { width: 322, height: 182 });
        assert_eq!(size(TEMPORAL_UNIT), expected);
        assert_eq!(size(&TEMPORAL_UNIT[2..]), expected, "without the delimiter, as publishers send it");
    }

    #[test]
    fn a_unit_longer_than_the_data_tells_nothing() {
        assert_eq!(size(&[0x0a, 0xff, 0xff, 0xff, 0x7f]), None);
        assert_eq!(size(&[]), None::<PictureSize>);
    }
}
