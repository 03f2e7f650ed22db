//! The plain part of an RTP packet's header. Spec: RFC 3550 §5.1, RFC 5761 §4 (telling RTCP apart).

/// What is readable before decryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpHeader {
    pub pt: u8,
    pub sequence: u16,
    pub ssrc: u32,
}

impl RtpHeader {
    /// Read the header; None for RTCP and for anything that is not RTP.
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let [flags, second, s1, s0, _, _, _, _, c3, c2, c1, c0, ..] = *datagram else {
            return None;
        };
        let is_rtcp = (192..=223).contains(&second);
        (flags >> 6 == 2 && !is_rtcp).then(|| Self {
            pt: second & 0x7f,
            sequence: u16::from_be_bytes([s1, s0]),
            ssrc: u32::from_be_bytes([c3, c2, c1, c0]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::RtpHeader;

    #[test]
    fn rtp_is_read_and_rtcp_is_not() {
        let rtp = [0x80, 0xe0, 0x12, 0x34, 0, 0, 0, 1, 0xde, 0xad, 0xbe, 0xef, 9];
        assert_eq!(RtpHeader::parse(&rtp), Some(RtpHeader { pt: 96, sequence: 0x1234, ssrc: 0xdead_beef }));
        let rtcp = [0x80, 200, 0, 6, 0, 0, 0, 1, 0, 0, 0, 0, 0];
        assert_eq!(RtpHeader::parse(&rtcp), None);
        assert_eq!(RtpHeader::parse(&[0x80]), None);
    }
}
