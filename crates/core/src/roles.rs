//! What each payload type of an answer carries.

use crate::codec::Kind;
use crate::offer::Offer;

/// What a payload type carries; unknown ones count as audio, which asks for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Audio,
    Video {
        /// Its sender answers NACK by sending the same packet again.
        repairs_in_place: bool,
    },
    Repair,
}

/// Return the role of each payload type.
pub fn roles(offer: &Offer) -> [Role; 128] {
    let mut roles = [Role::Audio; 128];
    for payload in offer.accepted().flat_map(|(_, accepted)| &accepted.payloads) {
        if payload.codec.kind() == Kind::Video {
            roles[usize::from(payload.pt & 0x7f)] = Role::Video { repairs_in_place: payload.repairs_in_place() };
        }
        if let Some(rtx) = payload.rtx {
            roles[usize::from(rtx & 0x7f)] = Role::Repair;
        }
    }
    roles
}
