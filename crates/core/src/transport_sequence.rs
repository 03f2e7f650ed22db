//! Keeps packets from before the start of the transport-wide numbering away from the machine.
//!
//! str0m 0.24 extends these 16-bit numbers without a floor: after a first packet numbered 5, a late one numbered 65530
//! counts as 2^64 - 6, and the next feedback report is filled with 2^51 missing packets until memory ends. Such a packet
//! is dropped here, as if the network had lost it. Spec: draft-holmer-rmcat-transport-wide-cc-extensions-01; RFC 8285 §4.

use crate::offer::Offer;

pub const URI: &str = "transport-wide-cc-extensions-01";
const FIXED_BYTES: usize = 12;
const ONE_BYTE_FORM: u16 = 0xbede;

/// The numbering of one session; what was dropped leaves no trace in it.
#[derive(Debug, Default)]
pub struct TransportSequence {
    ids: Vec<u8>,
    newest: Option<i64>,
}

impl TransportSequence {
    pub fn new(offer: &Offer) -> Self {
        Self { ids: offer.extension_ids(URI), newest: None }
    }

    /// Tell whether the publisher numbers its packets.
    pub const fn is_in_use(&self) -> bool {
        !self.ids.is_empty()
    }

    /// Tell whether the numbering has begun, or there is none.
    pub const fn is_placed(&self) -> bool {
        self.newest.is_some() || self.ids.is_empty()
    }

    /// Tell whether the machine may see an RTP packet.
    pub fn admits(&self, packet: &[u8]) -> bool {
        let Some(newest) = self.newest else {
            return true;
        };
        // An element may stand twice, and the machine goes by the last one: none may be what it cannot take.
        let mut numbers =
            elements(packet).filter(|(id, _)| self.ids.contains(id)).filter_map(|(_, value)| number_of(value));
        // Half a wrap ahead and half a wrap behind are the same number; the machine may take it for the one behind.
        numbers.all(|number| placed(number, newest) >= 0 && number.wrapping_sub(low_16_bits(newest)) != 1 << 15)
    }

    /// Learn that the machine took a packet, its integrity proven; what anybody else sends must not move the numbering.
    pub fn accepted(&mut self, number: u16) {
        let placed = self.newest.map_or(i64::from(number), |newest| placed(number, newest).max(newest));
        self.newest = Some(placed);
    }
}

fn placed(number: u16, newest: i64) -> i64 {
    newest + i64::from(number.wrapping_sub(low_16_bits(newest)).cast_signed())
}

fn low_16_bits(number: i64) -> u16 {
    u16::try_from(number.rem_euclid(1 << 16)).unwrap_or(0)
}

fn number_of(value: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes([*value.first()?, *value.get(1)?]))
}

/// Iterate over the header extension's elements, id and value, in their one-byte or two-byte form.
/// Spec: RFC 8285 §4.2, §4.3.
fn elements(packet: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let (is_short, mut rest) = extension(packet).unwrap_or((true, &[]));
    std::iter::from_fn(move || {
        while let [0, after @ ..] = rest {
            rest = after;
        }
        let [head, after @ ..] = rest else {
            return None;
        };
        let (id, length, body) = if is_short {
            (head >> 4, usize::from(head & 0x0f) + 1, after)
        } else {
            (*head, usize::from(*after.first()?), after.get(1..)?)
        };
        let value = body.get(..length)?;
        rest = body.get(length..)?;
        Some((id, value))
    })
}

/// Return a packet's header extension, and whether its elements have the one-byte form. Spec: RFC 3550 §5.3.1.
fn extension(packet: &[u8]) -> Option<(bool, &[u8])> {
    let first = *packet.first()?;
    if first & 0x10 == 0 {
        return None;
    }
    let [p1, p0, l1, l0, rest @ ..] = packet.get(FIXED_BYTES + 4 * usize::from(first & 0x0f)..)? else {
        return None;
    };
    let is_short = u16::from_be_bytes([*p1, *p0]) == ONE_BYTE_FORM;
    Some((is_short, rest.get(..4 * usize::from(u16::from_be_bytes([*l1, *l0])))?))
}

#[cfg(test)]
mod tests {
    use super::TransportSequence;

    fn packet(number: u16) -> Vec<u8> {
        let [high, low] = number.to_be_bytes();
        vec![0x90, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xbe, 0xde, 0, 1, 0x31, high, low, 0, 0x55]
    }

    fn admitted(numbers: &[u16]) -> Vec<bool> {
        let mut sequence = TransportSequence { ids: vec![3], newest: None };
        let mut admit = |number: u16| {
            let is_admitted = sequence.admits(&packet(number));
            if is_admitted {
                sequence.accepted(number);
            }
            is_admitted
        };
        numbers.iter().map(|number| admit(*number)).collect()
    }

    #[test]
    fn a_packet_from_before_the_first_number_is_dropped_for_it_would_fill_the_memory() {
        assert_eq!(admitted(&[5, 65_530, 6, 4]), [true, false, true, true]);
        assert_eq!(admitted(&[0, 32_768, 32_767]), [true, false, true]);
    }

    #[test]
    fn a_number_that_stands_twice_is_judged_by_both() {
        let sequence = TransportSequence { ids: vec![3], newest: Some(5) };
        let twice = |first: [u8; 2], second: [u8; 2]| {
            let head = [0x90, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xbe, 0xde, 0, 2];
            [&head[..], &[0x31, first[0], first[1], 0x31, second[0], second[1], 0, 0, 0x55]].concat()
        };
        assert!(sequence.admits(&twice([0, 6], [0, 7])));
        assert!(!sequence.admits(&twice([0, 6], [0xff, 0xfa])));
        assert!(!sequence.admits(&twice([0xff, 0xfa], [0, 6])));
    }

    #[test]
    fn ordinary_wraps_and_late_packets_pass() {
        assert_eq!(admitted(&[65_534, 65_535, 0, 65_533, 1]), [true; 5]);
        assert_eq!(admitted(&[100, 30_000, 60_000, 20, 65_000]), [true; 5]);
    }

    #[test]
    fn packets_without_the_extension_pass() {
        let sequence = TransportSequence { ids: vec![3], newest: Some(1) };
        assert!(sequence.admits(&[0x80; 12]));
        assert!(sequence.admits(&[0x9f, 96]));
        assert!(sequence.admits(&packet(65_530)[..14]));
    }
}
