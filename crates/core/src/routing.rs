//! Finding the media section of an RTP stream that nothing but its payload type names.
//!
//! Some encoders offer neither the mid header extension nor `a=ssrc` lines. Their streams are told apart by payload type,
//! where it belongs to one section only. Spec: RFC 9143 §9.2.

use std::collections::HashMap;

use str0m::media::Mid;

use crate::offer::{Offer, alias_of_mid};

/// Streams learned per session; beyond it someone is sending noise.
const STREAMS_MAX: usize = 32;
const MID_EXTENSION: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Role {
    mid: Mid,
    is_repair: bool,
}

/// A stream str0m is to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewStream {
    pub mid: Mid,
    pub ssrc: u32,
    /// SSRC of its retransmissions.
    pub rtx: Option<u32>,
}

/// The payload types that name a section, and the streams learned by them.
#[derive(Debug, Default)]
pub struct Routing {
    roles: HashMap<u8, Role>,
    seen: Vec<u32>,
    mains: HashMap<Mid, u32>,
}

impl Routing {
    /// Collect the sections that need it; an offer of a browser has none.
    pub fn new(offer: &Offer) -> Self {
        let mut roles: HashMap<u8, Role> = HashMap::new();
        let mut shared = Vec::new();
        for (section, accepted) in offer.accepted() {
            if section.names_streams(MID_EXTENSION) || offer.has_session_extension(MID_EXTENSION) {
                continue;
            }
            let mid = Mid::from(alias_of_mid(&section.mid).as_str());
            for payload in &accepted.payloads {
                let repair = payload.rtx.map(|pt| (pt, true));
                for (pt, is_repair) in
                    [(payload.pt, false)].into_iter().chain(repair).chain(payload.red.map(|pt| (pt, false)))
                {
                    if roles.insert(pt, Role { mid, is_repair }).is_some_and(|former| former.mid != mid) {
                        shared.push(pt);
                    }
                }
            }
        }
        roles.retain(|pt, _| !shared.contains(pt));
        Self { roles, ..Self::default() }
    }

    /// Return the stream a packet is the first of; None for known streams and where this is not needed.
    pub fn learn(&mut self, pt: u8, ssrc: u32) -> Option<NewStream> {
        let role = *self.roles.get(&pt)?;
        if self.seen.contains(&ssrc) || self.seen.len() >= STREAMS_MAX {
            return None;
        }
        if role.is_repair {
            let main = *self.mains.get(&role.mid)?;
            self.seen.push(ssrc);
            return Some(NewStream { mid: role.mid, ssrc: main, rtx: Some(ssrc) });
        }
        self.seen.push(ssrc);
        self.mains.insert(role.mid, ssrc);
        Some(NewStream { mid: role.mid, ssrc, rtx: None })
    }
}
