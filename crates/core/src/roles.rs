//! What each payload type of an answer carries.

use crate::codec::Kind;
use crate::offer::Offer;

/// What a payload type carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Audio,
    Video {
        /// Its sender answers NACK by sending the same packet again.
        repairs_in_place: bool,
    },
    Repair,
    /// It was not negotiated.
    Unknown,
}

/// Return the role of each payload type.
pub fn roles(offer: &Offer) -> [Role; 128] {
    let mut roles = [Role::Unknown; 128];
    for payload in offer.accepted().flat_map(|(_, accepted)| &accepted.payloads) {
        let role = match payload.codec.kind() {
            Kind::Audio => Role::Audio,
            Kind::Video => Role::Video { repairs_in_place: payload.repairs_in_place() },
        };
        for pt in [payload.pt].into_iter().chain(payload.red) {
            roles[usize::from(pt & 0x7f)] = role;
        }
        if let Some(rtx) = payload.rtx {
            roles[usize::from(rtx & 0x7f)] = Role::Repair;
        }
    }
    roles
}
