//! H.264 parameter sets an offer carries out of band.

use super::Payload;
use crate::codec::Codec;

/// Decode the H.264 parameter sets of a payload's fmtp line; unreadable ones are left out. Spec: RFC 6184 §8.1.
pub fn parameter_sets(payload: &Payload) -> Vec<Vec<u8>> {
    if payload.codec != Codec::H264 {
        return Vec::new();
    }
    let sets = payload.fmtp.split(';').find_map(|pair| pair.trim().strip_prefix("sprop-parameter-sets="));
    sets.unwrap_or_default().split(',').filter_map(decode_base64).filter(|set| !set.is_empty()).collect()
}

/// Decode standard base64 (RFC 4648 §4); padding may be absent.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0_u32, 0_u32);
    for byte in text.trim().trim_end_matches('=').bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            decoded.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    Some(decoded)
}
