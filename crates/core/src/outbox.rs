//! What sessions have to say, until the socket loop takes it.

use str0m::net::Transmit;

use crate::item::{Item, SessionId};
use crate::stats::Stats;

/// What leaves a session: datagrams to send and items for the reader.
#[derive(Default)]
pub struct Outbox {
    pub transmits: Vec<Transmit>,
    pub items: Vec<(SessionId, Item)>,
    pub stats: Stats,
}
