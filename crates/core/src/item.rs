//! What the core hands to its reader: frames, sender reports and facts about sessions.

use std::sync::Arc;

use str0m::error::RtcError;

use crate::codec::{Codec, Kind};

/// Number of a session, unique within one receiver and never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// A media section the publisher sends and the answer accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    pub mid: Arc<str>,
    pub kind: Kind,
    /// Accepted, preferred first, each once.
    pub codecs: Vec<Codec>,
    /// Simulcast layers announced; empty for a single encoding.
    pub rids: Vec<Arc<str>>,
}

/// The RTP stream an item belongs to: a media section, and the layer within it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LayerName {
    pub mid: Arc<str>,
    pub rid: Option<Arc<str>>,
}

/// One encoded frame, never decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub layer: LayerName,
    pub codec: Codec,
    /// RTP time stamp unwrapped to 64 bits, in the codec's clock rate; continuous within the layer.
    pub rtp_ticks: i64,
    /// Decoding can start here; always true for audio.
    pub is_keyframe: bool,
    /// Something before it in this layer was lost for good.
    pub follows_gap: bool,
    /// Packets of this layer missing for good right before it, by its numbering; 0 where the numbering began anew.
    pub packets_lost: u64,
    /// Arrival of the first packet, nanoseconds since the Unix epoch.
    pub received_ns: i64,
    /// Coded width in pixels; 0 unless this is a video keyframe.
    pub width: u32,
    /// Coded height in pixels; 0 unless this is a video keyframe.
    pub height: u32,
    pub data: Arc<[u8]>,
}

/// One RTCP sender report. Spec: RFC 3550 §6.4.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderReport {
    pub layer: LayerName,
    /// On the same axis as the frames of the layer.
    pub rtp_ticks: i64,
    /// The sender's wall clock, nanoseconds since the Unix epoch.
    pub ntp_ns: i64,
    /// Arrival, nanoseconds since the Unix epoch.
    pub received_ns: i64,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// Either side said goodbye.
    Closed,
    /// Nothing valid was heard for the silence limit.
    Timeout,
    /// The DTLS handshake failed or the certificate did not match the offer's fingerprint.
    Dtls,
    /// A fault inside the session; other sessions go on.
    Failed,
}

impl CloseReason {
    /// Return why a session ends after an error of its machine; None where the error is damage in a single frame.
    pub const fn of(error: &RtcError) -> Option<Self> {
        match error {
            RtcError::Packet(..) => None,
            RtcError::Dtls(_) | RtcError::RemoteSdp(_) => Some(Self::Dtls),
            _ => Some(Self::Failed),
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::Dtls => "dtls",
            Self::Failed => "failed",
        }
    }
}

/// One thing the reader is told about a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    Frame(Frame),
    SenderReport(SenderReport),
    Connected {
        received_ns: i64,
    },
    /// Nothing of the session follows.
    Closed {
        reason: CloseReason,
        received_ns: i64,
    },
    /// Media was dropped at this place: the reader did not come in time, or the session sent more than it may.
    Overflow {
        layer: LayerName,
        frames_count: u64,
        /// Packets refused before they were frames, of this layer or of another of its kind.
        packets_count: u64,
    },
}
