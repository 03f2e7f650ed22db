//! H.264 access units in Annex B form: NAL units, parameter sets, picture size.
//!
//! Spec: ISO/IEC 14496-10 §7.3.1 (NAL unit), §7.3.2.1 (SPS), Annex B (start codes).

use super::PictureSize;
use super::bits::BitReader;

const NAL_SPS: u8 = 7;
const NAL_PPS: u8 = 8;
const START_CODE: [u8; 4] = [0, 0, 0, 1];
/// Longest parameter set worth keeping, bytes; real ones are under 100.
const PARAMETER_SET_BYTES_MAX: usize = 1_024;
/// Profiles whose SPS carries the chroma fields. Spec: §7.3.2.1.1.
const PROFILES_WITH_CHROMA: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// Iterate over the NAL units of an access unit, without start codes.
pub fn nal_units(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = skip_start_code(data);
    std::iter::from_fn(move || {
        let unit_and_rest = rest?;
        let end = find_start_code(unit_and_rest).unwrap_or(unit_and_rest.len());
        let unit = unit_and_rest.get(..end)?;
        rest = unit_and_rest.get(end..).and_then(skip_start_code);
        let trailing = unit.iter().rev().take_while(|byte| **byte == 0).count();
        unit.get(..unit.len() - trailing)
    })
    .filter(|unit| !unit.is_empty())
}

/// Return the size in the first sequence parameter set of an access unit, cropping applied.
pub fn size(data: &[u8]) -> Option<PictureSize> {
    nal_units(data).find(|unit| nal_type(unit) == NAL_SPS).and_then(size_of_sps)
}

/// Tell whether an access unit carries parameter sets of both kinds.
pub fn has_parameter_sets(data: &[u8]) -> bool {
    [NAL_SPS, NAL_PPS].iter().all(|kind| nal_units(data).any(|unit| nal_type(unit) == *kind))
}

/// The latest parameter sets seen in a stream, so that every keyframe can carry its own.
#[derive(Debug, Default, Clone)]
pub struct ParameterSets {
    sps: Option<Vec<u8>>,
    pps: Option<Vec<u8>>,
}

impl ParameterSets {
    /// Remember one parameter set, without start code; anything else is ignored.
    pub fn keep(&mut self, unit: &[u8]) {
        if unit.len() > PARAMETER_SET_BYTES_MAX {
            return;
        }
        let kept = match nal_type(unit) {
            NAL_SPS => &mut self.sps,
            NAL_PPS => &mut self.pps,
            _ => return,
        };
        if kept.as_deref() != Some(unit) {
            *kept = Some(unit.to_vec());
        }
    }

    /// Remember the parameter sets of a keyframe, and return the keyframe with those it lacks put in front.
    ///
    /// None means the keyframe is complete as it is, or nothing is known that could complete it.
    pub fn complete(&mut self, keyframe: &[u8]) -> Option<Vec<u8>> {
        let (mut has_sps, mut has_pps) = (false, false);
        for unit in nal_units(keyframe) {
            has_sps |= nal_type(unit) == NAL_SPS;
            has_pps |= nal_type(unit) == NAL_PPS;
            self.keep(unit);
        }
        let missing_sps = self.sps.as_deref().filter(|_| !has_sps);
        let missing_pps = self.pps.as_deref().filter(|_| !has_pps);
        if missing_sps.is_none() && missing_pps.is_none() {
            return None;
        }
        let mut whole = Vec::with_capacity(keyframe.len() + 2 * (PARAMETER_SET_BYTES_MAX + START_CODE.len()));
        for unit in [missing_sps, missing_pps].into_iter().flatten() {
            whole.extend_from_slice(&START_CODE);
            whole.extend_from_slice(unit);
        }
        whole.extend_from_slice(keyframe);
        Some(whole)
    }
}

fn nal_type(unit: &[u8]) -> u8 {
    unit.first().map_or(0, |header| header & 0x1f)
}

/// Return where the next start code begins, at its first zero byte.
fn find_start_code(data: &[u8]) -> Option<usize> {
    data.windows(3).position(|window| window == [0, 0, 1])
}

fn skip_start_code(data: &[u8]) -> Option<&[u8]> {
    let at = find_start_code(data)?;
    data.get(at + 3..)
}

fn size_of_sps(unit: &[u8]) -> Option<PictureSize> {
    let payload = without_emulation_prevention(unit.get(1..)?);
    let mut reader = BitReader::new(&payload);
    let profile = reader.bits(8)?;
    reader.skip(16)?;
    reader.exp_golomb()?;
    let chroma = if PROFILES_WITH_CHROMA.contains(&profile) { read_chroma(&mut reader)? } else { Chroma::DEFAULT };
    reader.exp_golomb()?;
    skip_picture_order(&mut reader)?;
    reader.exp_golomb()?;
    reader.skip(1)?;
    let width = reader.exp_golomb()?.checked_add(1)?.checked_mul(16)?;
    let map_units = reader.exp_golomb()?.checked_add(1)?;
    let frame_only = reader.bit()?;
    let field_factor = if frame_only { 1 } else { 2 };
    if !frame_only {
        reader.skip(1)?;
    }
    reader.skip(1)?;
    let height = map_units.checked_mul(16)?.checked_mul(field_factor)?;
    let crop = if reader.bit()? { read_crop(&mut reader)? } else { [0; 4] };
    let [left, right, top, bottom] = crop;
    let (unit_x, unit_y) = chroma.crop_units();
    Some(PictureSize {
        width: width.checked_sub(left.checked_add(right)?.checked_mul(unit_x)?)?,
        height: height.checked_sub(top.checked_add(bottom)?.checked_mul(unit_y.checked_mul(field_factor)?)?)?,
    })
}

#[derive(Clone, Copy)]
struct Chroma {
    format_idc: u32,
    separate_planes: bool,
}

impl Chroma {
    const DEFAULT: Self = Self { format_idc: 1, separate_planes: false };

    /// Return the cropping units in luma samples, across and down. Spec: §7.4.2.1.1, table 6-1.
    const fn crop_units(self) -> (u32, u32) {
        match (self.separate_planes, self.format_idc) {
            (false, 1) => (2, 2),
            (false, 2) => (2, 1),
            _ => (1, 1),
        }
    }
}

fn read_chroma(reader: &mut BitReader<'_>) -> Option<Chroma> {
    let format_idc = reader.exp_golomb()?;
    let separate_planes = format_idc == 3 && reader.bit()?;
    reader.exp_golomb()?;
    reader.exp_golomb()?;
    reader.skip(1)?;
    if reader.bit()? {
        let lists = if format_idc == 3 { 12 } else { 8 };
        for index in 0..lists {
            if reader.bit()? {
                skip_scaling_list(reader, if index < 6 { 16 } else { 64 })?;
            }
        }
    }
    Some(Chroma { format_idc, separate_planes })
}

fn skip_scaling_list(reader: &mut BitReader<'_>, size: u32) -> Option<()> {
    let (mut last, mut next) = (8_i64, 8_i64);
    for _ in 0..size {
        if next != 0 {
            next = (last + reader.signed_exp_golomb()?).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Some(())
}

fn skip_picture_order(reader: &mut BitReader<'_>) -> Option<()> {
    match reader.exp_golomb()? {
        0 => {
            reader.exp_golomb()?;
        }
        1 => {
            reader.skip(1)?;
            reader.exp_golomb()?;
            reader.exp_golomb()?;
            let cycle = reader.exp_golomb()?;
            // The standard allows 255; a larger number is damage.
            for _ in 0..(cycle <= 255).then_some(cycle)? {
                reader.exp_golomb()?;
            }
        }
        _ => {}
    }
    Some(())
}

fn read_crop(reader: &mut BitReader<'_>) -> Option<[u32; 4]> {
    Some([reader.exp_golomb()?, reader.exp_golomb()?, reader.exp_golomb()?, reader.exp_golomb()?])
}

/// Undo emulation prevention of at most one parameter set's worth of bytes. Spec: §7.4.1.
fn without_emulation_prevention(payload: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(payload.len().min(PARAMETER_SET_BYTES_MAX));
    let mut zeros = 0;
    for byte in payload.iter().take(PARAMETER_SET_BYTES_MAX) {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        plain.push(*byte);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::{ParameterSets, PictureSize, nal_units, size};

    /// x264 baseline, 320x180: 180 is not a multiple of 16, so the size is right only if cropping is read.
    const SPS_320X180: &[u8] = &[
        0x67, 0x42, 0xc0, 0x0d, 0xd9, 0x01, 0x41, 0x9f, 0x9e, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03,
        0x03, 0xc0, 0xf1, 0x42, 0xa4, 0x80,
    ];
    const PPS: &[u8] = &[0x68, 0xcb, 0x83, 0xcb, 0x20];
    const IDR: &[u8] = &[0x65, 0x88, 0x84, 0x0a];

    fn annex_b(units: &[&[u8]]) -> Vec<u8> {
        units.iter().flat_map(|unit| [&[0, 0, 0, 1], *unit].concat()).collect()
    }

    #[test]
    fn size_applies_cropping() {
        assert_eq!(size(&annex_b(&[SPS_320X180, PPS, IDR])), Some(PictureSize { width: 320, height: 180 }));
    }

    #[test]
    fn sizes_of_every_profile_and_of_fields_are_read() {
        // x264: high 1920x1080 (coded 1088 rows), high 4:4:4 322x182 (cropping in single samples), fields 720x576.
        let cases: [(&[u8], u32, u32); 3] = [
            (
                &[
                    0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0x84, 0x00, 0x00, 0x03, 0x00,
                    0x04, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc6, 0x58,
                ],
                1_920,
                1_080,
            ),
            (
                &[
                    0x67, 0xf4, 0x00, 0x0d, 0x91, 0x9b, 0x28, 0x2a, 0x33, 0xc7, 0xc5, 0xc2, 0x00, 0x00, 0x03, 0x00,
                    0x02, 0x00, 0x00, 0x03, 0x00, 0x78, 0x1e, 0x28, 0x53, 0x2c,
                ],
                322,
                182,
            ),
            (
                &[
                    0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0xb4, 0x24, 0xd0, 0x80, 0x00, 0x00, 0x03, 0x00, 0x80,
                    0x00, 0x00, 0x1e, 0x0f, 0x8b, 0x16, 0xcb,
                ],
                720,
                576,
            ),
        ];
        for (sps, width, height) in cases {
            assert_eq!(size(&annex_b(&[sps])), Some(PictureSize { width, height }));
        }
    }

    #[test]
    fn a_keyframe_without_parameter_sets_is_completed_from_earlier_ones() {
        let mut sets = ParameterSets::default();
        assert_eq!(sets.complete(&annex_b(&[SPS_320X180, PPS, IDR])), None);

        assert_eq!(sets.complete(&annex_b(&[IDR])), Some(annex_b(&[SPS_320X180, PPS, IDR])));
    }

    #[test]
    fn a_keyframe_stays_as_it_is_when_nothing_is_known() {
        assert_eq!(ParameterSets::default().complete(&annex_b(&[IDR])), None);
    }

    #[test]
    fn three_and_four_byte_start_codes_give_the_same_units() {
        let mixed = [&[0, 0, 1], SPS_320X180, &[0, 0, 0, 1], PPS, &[0, 0, 1], IDR].concat();
        assert_eq!(nal_units(&mixed).collect::<Vec<_>>(), [SPS_320X180, PPS, IDR]);
    }

    #[test]
    fn every_truncation_and_flip_of_an_sps_is_survived() {
        let whole = annex_b(&[SPS_320X180]);
        for length in 0..whole.len() {
            let _ = size(&whole[..length]);
        }
        for index in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[index / 8] ^= 1 << (index % 8);
            let _ = size(&flipped);
        }
    }
}
