//! Whether a packet of media is authentic, asked before anything else looks at it.
//!
//! str0m 0.24 maps an SSRC, resets depacketizers and makes registers for whatever a packet's header says, and finds out
//! afterwards whether the publisher sent it; so did we. So each packet is verified here first, with keys derived from the
//! same handshake, and str0m, like the rest of the session, only sees those that were sent by who knows the keys, each of
//! them once. What was decrypted or digested on the way is kept in [`opened`] until str0m asks for the same, so that
//! nothing is done twice. A refused packet leaves no trace but a count. See docs/adr/0015-unauthenticated-packets.md.
//!
//! Spec: RFC 3711 §3.3 (order of checks), §3.4 (SRTCP), RFC 7714 §8, §9.

pub mod keys;
pub mod opened;
pub mod window;

use soloist_dtls::Keys;
use str0m::crypto::{AeadAes128Gcm, Aes128CmSha1_80, CryptoProvider};

use crate::rtp::RtpHeader;
use keys::{GCM_TAG_BYTES, HMAC_TAG_BYTES, Key, Protocol};
use opened::Opened;
use window::Window;

/// Streams remembered per protocol and session; a publisher has a handful, and only its own packets add one.
const STREAMS_MAX: usize = 128;
const RTCP_HEADER_BYTES: usize = 8;
const RTCP_INDEX_BYTES: usize = 4;
/// Marks a report as encrypted, beside its 31-bit index.
const ENCRYPTED: u32 = 1 << 31;

/// What a packet is.
#[derive(Debug)]
pub enum Judgement {
    /// The publisher's, for the first time.
    Authentic(Opened),
    /// Possibly the publisher's, but it came before or is too old to tell; the network repeats packets as well.
    Repeated,
    /// Anybody's.
    Forged,
}

/// The streams of one protocol, by SSRC.
#[derive(Debug, Default)]
struct Streams {
    ssrcs: Vec<u32>,
    windows: Vec<Window>,
}

impl Streams {
    fn get(&self, ssrc: u32) -> Option<&Window> {
        self.windows.get(self.place(ssrc)?)
    }

    fn note(&mut self, ssrc: u32, index: u64) {
        if let Some(place) = self.place(ssrc) {
            self.windows[place].note(index);
            return;
        }
        if self.ssrcs.len() >= STREAMS_MAX {
            self.ssrcs.remove(0);
            self.windows.remove(0);
        }
        self.ssrcs.push(ssrc);
        self.windows.push(Window::new(index));
    }

    fn place(&self, ssrc: u32) -> Option<usize> {
        self.ssrcs.iter().position(|known| *known == ssrc)
    }
}

/// What stands before one session's media.
#[derive(Debug)]
pub struct Guard {
    rtp: Key,
    rtcp: Key,
    rtp_streams: Streams,
    rtcp_streams: Streams,
}

impl Guard {
    /// Return None for a profile that is not ours.
    pub fn new(provider: &CryptoProvider, keys: &Keys) -> Option<Self> {
        Some(Self {
            rtp: Key::of_peer(provider, keys, Protocol::Rtp)?,
            rtcp: Key::of_peer(provider, keys, Protocol::Rtcp)?,
            rtp_streams: Streams::default(),
            rtcp_streams: Streams::default(),
        })
    }

    /// Judge an RTP packet. What `Authentic` holds is to live until str0m has had the packet.
    pub fn judge_rtp(&mut self, header: RtpHeader, packet: &[u8]) -> Judgement {
        let Some(header_bytes) = header_bytes(packet) else {
            return Judgement::Forged;
        };
        let Some(window) = self.rtp_streams.get(header.ssrc) else {
            return self.judge_first(header, packet, header_bytes);
        };
        match window.index_of(header.sequence) {
            Some(index) if window.is_new(index) => self.open_rtp(header, packet, header_bytes, index),
            Some(_) => Judgement::Repeated,
            None => Judgement::Forged,
        }
    }

    /// Judge the first packet of a stream, which another may have overtaken across the first wrap of the numbers.
    fn judge_first(&mut self, header: RtpHeader, packet: &[u8], header_bytes: usize) -> Judgement {
        let index = u64::from(header.sequence);
        let judgement = self.open_rtp(header, packet, header_bytes, index);
        if matches!(judgement, Judgement::Authentic(_)) || header.sequence >= 1 << 15 {
            return judgement;
        }
        self.open_rtp(header, packet, header_bytes, index + (1 << 16))
    }

    fn open_rtp(&mut self, header: RtpHeader, packet: &[u8], header_bytes: usize, index: u64) -> Judgement {
        let roc = u32::try_from(index >> 16).unwrap_or(u32::MAX);
        let opened = match &mut self.rtp {
            Key::Gcm { cipher, salt } => {
                if packet.len() < header_bytes + GCM_TAG_BYTES {
                    return Judgement::Forged;
                }
                let (head, input) = packet.split_at(header_bytes);
                let iv = AeadAes128Gcm::rtp_iv(*salt, header.ssrc, roc, header.sequence);
                opened::decrypted(iv, input, GCM_TAG_BYTES, |plain| cipher.opens(&iv, &[head], input, plain))
            }
            Key::Hmac { key, sha1 } => {
                let Some((message, tag)) = split_tag(packet, header_bytes, HMAC_TAG_BYTES) else {
                    return Judgement::Forged;
                };
                let roc = roc.to_be_bytes();
                let digest = sha1.sha1_hmac(key, &[message, &roc]);
                // Compares in constant time.
                let is_right = Aes128CmSha1_80::rtp_verify(|_, _| digest, key, message, index, tag);
                is_right.then(|| opened::digested(*key, message, roc, digest))
            }
        };
        opened.map_or(Judgement::Forged, |opened| {
            self.rtp_streams.note(header.ssrc, index);
            Judgement::Authentic(opened)
        })
    }

    /// Judge an RTCP packet; str0m decrypts it once more, as there are few of them.
    pub fn judge_rtcp(&mut self, packet: &[u8]) -> Judgement {
        let Some(report) = Report::parse(packet, matches!(self.rtcp, Key::Gcm { .. })) else {
            return Judgement::Forged;
        };
        let index = u64::from(report.index);
        if self.rtcp_streams.get(report.ssrc).is_some_and(|window| !window.is_new(index)) {
            return Judgement::Repeated;
        }
        if !report.is_authentic(&mut self.rtcp) {
            return Judgement::Forged;
        }
        self.rtcp_streams.note(report.ssrc, index);
        Judgement::Authentic(Opened::default())
    }
}

/// The parts of an SRTCP packet. Spec: RFC 3711 §3.4, RFC 7714 §9 (where the tag comes before the index).
struct Report<'a> {
    ssrc: u32,
    index: u32,
    is_encrypted: bool,
    /// All before index and tag.
    body: &'a [u8],
    marked_index: &'a [u8],
    /// All before the tag, where the index is part of it.
    signed: &'a [u8],
    tag: &'a [u8],
    /// Body and tag, which lie side by side with GCM.
    sealed: &'a [u8],
}

impl<'a> Report<'a> {
    fn parse(packet: &'a [u8], is_gcm: bool) -> Option<Self> {
        let tag_bytes = if is_gcm { GCM_TAG_BYTES } else { HMAC_TAG_BYTES };
        let body_bytes = packet.len().checked_sub(tag_bytes + RTCP_INDEX_BYTES)?;
        let (body, trailer) = packet.split_at(body_bytes);
        let (marked_index, tag) = if is_gcm {
            let (tag, index) = trailer.split_at(tag_bytes);
            (index, tag)
        } else {
            trailer.split_at(RTCP_INDEX_BYTES)
        };
        let ssrc = u32::from_be_bytes(body.get(4..RTCP_HEADER_BYTES)?.try_into().ok()?);
        let marked = u32::from_be_bytes(marked_index.try_into().ok()?);
        Some(Self {
            ssrc,
            index: marked & !ENCRYPTED,
            is_encrypted: marked & ENCRYPTED != 0,
            body,
            marked_index,
            signed: &packet[..body_bytes + RTCP_INDEX_BYTES],
            tag,
            sealed: &packet[..body_bytes + tag_bytes],
        })
    }

    fn is_authentic(&self, key: &mut Key) -> bool {
        match key {
            Key::Hmac { key, sha1 } => {
                Aes128CmSha1_80::rtcp_verify(|key, parts| sha1.sha1_hmac(key, parts), key, self.signed, self.tag)
            }
            Key::Gcm { cipher, salt } => {
                let iv = AeadAes128Gcm::rtcp_iv(*salt, self.ssrc, self.index);
                let (aads, input) = if self.is_encrypted {
                    ([&self.body[..RTCP_HEADER_BYTES], self.marked_index], &self.sealed[RTCP_HEADER_BYTES..])
                } else {
                    ([self.body, self.marked_index], self.tag)
                };
                cipher.opens(&iv, &aads, input, &mut vec![0; input.len() - GCM_TAG_BYTES])
            }
        }
    }
}

/// Split a packet before its tag; None if there is no room for one after the header.
fn split_tag(packet: &[u8], header_bytes: usize, tag_bytes: usize) -> Option<(&[u8], &[u8])> {
    let message_bytes = packet.len().checked_sub(tag_bytes).filter(|bytes| *bytes >= header_bytes)?;
    Some(packet.split_at(message_bytes))
}

/// Return the length of an RTP packet's header with its extension, bytes; None if it is cut off. Spec: RFC 3550 §5.1, §5.3.1.
fn header_bytes(packet: &[u8]) -> Option<usize> {
    let first = *packet.first()?;
    let fixed = 12 + 4 * usize::from(first & 0x0f);
    let bytes = if first & 0x10 == 0 {
        fixed
    } else {
        let words = packet.get(fixed + 2..fixed + 4)?;
        fixed + 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]))
    };
    (bytes <= packet.len()).then_some(bytes)
}

#[cfg(test)]
mod tests;
