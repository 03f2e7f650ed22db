//! Which records of a datagram OpenSSL is given.
//!
//! Whoever knows a publisher's address can send records in its name. OpenSSL drops most of what is wrong with them, but
//! takes some for the end: a record too short for its cipher, an alert in plain text. So a record is judged by its header
//! first, and dropped without a trace if it cannot be of use. Pure. Spec: RFC 6347 §4.1, §4.1.2.7.

const HEADER_BYTES: usize = 13;
const HANDSHAKE_HEADER_BYTES: usize = 12;
/// Length of a Finished message, the only one that is encrypted. Spec: RFC 5246 §7.4.9.
const FINISHED_BYTES: usize = HANDSHAKE_HEADER_BYTES + 12;
/// Largest payload of a record, with room for what a cipher adds. Spec: RFC 6347 §4.1 and RFC 5246 §6.2.3.
const PAYLOAD_MAX: usize = 16_384 + 2_048;
/// Largest handshake message; a certificate chain of a publisher is a few thousand bytes.
const MESSAGE_MAX: usize = 65_536;
const VERSION_MAJOR: u8 = 0xfe;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

/// What records an association takes now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Handshake messages: in plain text all but the last one.
    Handshake {
        /// Ours is the client's part.
        is_client: bool,
    },
    /// Nothing in plain text. A peer that missed our last flight repeats its own, whose end is encrypted.
    Established,
}

/// Return the records of a datagram that may be authentic, and how many others it holds.
///
/// `overhead` is what the cipher adds to a payload at least, bytes.
pub fn sound(datagram: &[u8], stage: Stage, overhead: usize) -> (Vec<&[u8]>, u64) {
    let (mut records, mut refused, mut rest) = (Vec::new(), 0, datagram);
    while !rest.is_empty() {
        let Some((record, after)) = split(rest) else {
            return (records, refused + 1);
        };
        if is_sound(record, stage, overhead) {
            records.push(record);
        } else {
            refused += 1;
        }
        rest = after;
    }
    (records, refused)
}

/// Split off the first record; None if there is no whole one.
fn split(datagram: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::from(u16::from_be_bytes([*datagram.get(11)?, *datagram.get(12)?]));
    (length <= PAYLOAD_MAX && length > 0).then(|| datagram.split_at_checked(HEADER_BYTES + length))?
}

fn is_sound(record: &[u8], stage: Stage, overhead: usize) -> bool {
    let [kind, major, _, e1, e0, ..] = *record else {
        return false;
    };
    let payload = &record[HEADER_BYTES..];
    if major != VERSION_MAJOR {
        return false;
    }
    match (u16::from_be_bytes([e1, e0]), kind, stage) {
        (1, ALERT | HANDSHAKE | APPLICATION_DATA, Stage::Established) => payload.len() >= overhead,
        (1, HANDSHAKE, Stage::Handshake { .. }) => payload.len() >= overhead + FINISHED_BYTES,
        (0, CHANGE_CIPHER_SPEC, Stage::Handshake { .. }) => payload == [1],
        (0, HANDSHAKE, Stage::Handshake { is_client }) => holds_messages(payload, is_client),
        // An alert in plain text proves nothing about who sent it; a peer that gave up falls silent as well.
        _ => false,
    }
}

/// Tell whether a payload consists of handshake messages, or parts of some, that the other part may send.
/// Spec: RFC 6347 §4.2.2.
fn holds_messages(payload: &[u8], is_client: bool) -> bool {
    let mut rest = payload;
    while !rest.is_empty() {
        let Some((header, body)) = rest.split_at_checked(HANDSHAKE_HEADER_BYTES) else {
            return false;
        };
        let number = |at: usize| header[at..at + 3].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let (length, offset, part) = (number(1), number(6), number(9));
        let is_empty_part = part == 0 && length > 0;
        if !is_expected(header[0], is_client) || length > MESSAGE_MAX || offset + part > length || is_empty_part {
            return false;
        }
        let Some(after) = body.get(part..) else {
            return false;
        };
        rest = after;
    }
    true
}

/// Tell whether a handshake message in plain text is one the other part sends. Spec: RFC 6347 §4.3.2.
const fn is_expected(kind: u8, is_client: bool) -> bool {
    if is_client {
        // ServerHello, HelloVerifyRequest, Certificate, ServerKeyExchange, CertificateRequest, ServerHelloDone.
        matches!(kind, 2 | 3 | 11 | 12 | 13 | 14)
    } else {
        // ClientHello, Certificate, CertificateVerify, ClientKeyExchange.
        matches!(kind, 1 | 11 | 15 | 16)
    }
}

#[cfg(test)]
mod tests {
    use super::{Stage, sound};

    const SERVER: Stage = Stage::Handshake { is_client: false };

    fn record(kind: u8, epoch: u16, payload: &[u8]) -> Vec<u8> {
        let [e1, e0] = epoch.to_be_bytes();
        let length = u8::try_from(payload.len()).unwrap_or(u8::MAX);
        let header = [kind, 0xfe, 0xfd, e1, e0, 0, 0, 0, 0, 0, 9, 0, length];
        [&header[..], payload].concat()
    }

    /// A part of `part` bytes of a handshake message.
    fn message(kind: u8, length: u8, offset: u8, part: u8) -> Vec<u8> {
        let mut message = vec![kind, 0, 0, length, 0, 0, 0, 0, offset, 0, 0, part];
        message.resize(12 + usize::from(part), 0x55);
        message
    }

    #[test]
    fn what_is_established_takes_encrypted_records_of_full_length_only() {
        for kind in 0..=255 {
            for epoch in [0, 1, 2, 65_535] {
                for length in 0..64 {
                    let record = record(kind, epoch, &vec![1; length]);
                    let (taken, refused) = sound(&record, Stage::Established, 24);
                    let is_taken = (21..=23).contains(&kind) && epoch == 1 && length >= 24;
                    assert_eq!((taken.len() == 1, refused == 0), (is_taken, is_taken), "{kind} {epoch} {length}");
                }
            }
        }
    }

    #[test]
    fn a_handshake_takes_no_alert_in_plain_text_and_no_message_of_its_own_part() {
        for (payload, is_taken) in [
            (record(21, 0, &[2, 40]), false),
            (record(20, 0, &[1]), true),
            (record(20, 0, &[2]), false),
            (record(23, 0, &[1; 30]), false),
            (record(21, 1, &[1; 60]), false),
            (record(22, 1, &[1; 47]), false),
            (record(22, 1, &[1; 48]), true),
            (record(22, 0, &message(1, 40, 0, 40)), true),
            (record(22, 0, &message(1, 40, 20, 20)), true),
            (record(22, 0, &message(1, 40, 30, 20)), false),
            (record(22, 0, &message(1, 40, 0, 0)), false),
            (record(22, 0, &message(2, 40, 0, 40)), false),
            (record(22, 0, &message(1, 40, 0, 40)[..30]), false),
            (record(22, 0, &[message(11, 3, 0, 3), message(16, 4, 0, 4)].concat()), true),
        ] {
            assert_eq!(sound(&payload, SERVER, 24).0.len() == 1, is_taken, "{payload:02x?}");
        }
        let hello = record(22, 0, &message(2, 40, 0, 40));
        assert_eq!(sound(&hello, Stage::Handshake { is_client: true }, 24), (vec![&hello[..]], 0));
    }

    #[test]
    fn each_record_of_a_datagram_is_judged_alone() {
        let (good, bad) = (record(22, 1, &[0; 40]), record(21, 1, &[2, 0]));
        let datagram = [&good[..], &bad, &good, &[22, 0xfe]].concat();
        assert_eq!(sound(&datagram, Stage::Established, 24), (vec![&good[..], &good], 2));
    }
}
