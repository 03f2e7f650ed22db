//! Sans-IO WebRTC receive core: datagrams and time in, encoded frames and datagrams out.
//!
//! Knows ICE-lite, DTLS, SRTP, NACK, TWCC and keyframe requests (through str0m), what an offer must hold, which session a
//! datagram belongs to, and how long frames may wait for their reader. Knows no socket, no clock, no thread and no
//! Python: every call carries `now`, every limit is an argument.
//!
//! The path of a datagram: [`Engine`] finds its [`session::Session`], the session asks its
//! [`intake::Intake`] whether it is the publisher's, hands it to str0m and turns what comes back into [`Item`]s, the [`Queue`] holds them until their reader comes.
#![forbid(unsafe_code)]

pub mod backlog;
pub mod beginning;
pub mod bucket;
pub mod checks;
pub mod clock;
pub mod codec;
pub mod engine;
pub mod error;
pub mod framing;
pub mod intake;
pub mod item;
pub mod keyframes;
pub mod layer;
pub mod losses;
pub mod machine;
pub mod offer;
pub mod outbox;
pub mod pace;
pub mod picture;
pub mod policing;
pub mod portion;
pub mod queue;
pub mod roles;
pub mod routing;
pub mod rtp;
pub mod session;
pub mod srtp;
pub mod stats;
pub mod transport_sequence;
pub mod undrained;

pub use clock::Clock;
pub use codec::{Codec, Kind};
pub use engine::{Datagram, Engine};
pub use error::OfferError;
pub use item::{CloseReason, Frame, Item, SenderReport, SessionId, Track};
pub use machine::{Settings, Wishes, crypto};
pub use outbox::Outbox;
pub use policing::Budget;
pub use queue::Queue;
pub use session::Session;
pub use stats::Stats;
/// How a datagram travelled.
pub use str0m::net;
