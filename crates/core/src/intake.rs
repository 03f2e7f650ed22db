//! What comes under a publisher's address as media, until it has proved authentic.
//!
//! Before the handshake is done there are no keys to prove it with. A publisher that is the server of its handshake may
//! send media right after its last flight and be overtaken by it, so the newest such packets wait for the keys. The oldest
//! give way: what was sent in the publisher's name before it could send anything does not take its place.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use soloist_dtls::Tap;
use str0m::crypto::CryptoProvider;
use str0m::net::Receive;

use crate::beginning::Held;
use crate::rtp::RtpHeader;
use crate::srtp::opened::Opened;
use crate::srtp::{Guard, Judgement};
use crate::stats::Stats;

/// Packets that wait for the keys.
const EARLY_MAX: usize = 128;

/// A packet of which is proven who sent it.
#[derive(Debug)]
pub struct Proven {
    /// None for RTCP.
    pub header: Option<RtpHeader>,
    /// To live until str0m has had the packet.
    pub opened: Opened,
}

/// One session's.
#[derive(Debug)]
pub struct Intake {
    crypto: Arc<CryptoProvider>,
    tap: Arc<Tap>,
    guard: Option<Guard>,
    early: VecDeque<Held>,
}

impl Intake {
    pub const fn new(crypto: Arc<CryptoProvider>, tap: Arc<Tap>) -> Self {
        Self { crypto, tap, guard: None, early: VecDeque::new() }
    }

    /// Tell whether a datagram is SRTP or SRTCP by its first byte. Spec: RFC 7983 §7.
    pub fn is_media(payload: &[u8]) -> bool {
        payload.first().is_some_and(|first| (128..=191).contains(first))
    }

    /// Judge a datagram of media; None if it is nobody's, came before, or waits for the keys.
    pub fn prove(&mut self, now: Instant, receive: &Receive<'_>, payload: &[u8], stats: &mut Stats) -> Option<Proven> {
        let header = RtpHeader::parse(payload);
        let Some(guard) = &mut self.guard else {
            if let Some(header) = header {
                if self.early.len() >= EARLY_MAX {
                    self.early.pop_front();
                }
                self.early.push_back(Held::new(header, receive, payload, now));
            }
            return None;
        };
        let judgement = match header {
            Some(header) => guard.judge_rtp(header, payload),
            None => guard.judge_rtcp(payload),
        };
        match judgement {
            Judgement::Authentic(opened) => return Some(Proven { header, opened }),
            Judgement::Repeated => stats.datagrams_repeated += 1,
            Judgement::Forged => stats.datagrams_forged += 1,
        }
        None
    }

    /// Look what the handshake has come to after a datagram of it; return what waited if the keys are there now.
    pub fn look_for_keys(&mut self, stats: &mut Stats) -> VecDeque<Held> {
        stats.datagrams_forged += self.tap.take_refused();
        if self.guard.is_some() {
            return VecDeque::new();
        }
        self.guard = self.tap.keys().and_then(|keys| Guard::new(&self.crypto, keys));
        if self.guard.is_some() { std::mem::take(&mut self.early) } else { VecDeque::new() }
    }
}
