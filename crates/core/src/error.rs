//! Why an offer cannot be answered.

use std::fmt;

/// The offer cannot be answered; the text names the part at fault and the remedy, and holds no address or secret.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OfferError {
    /// Not SDP, or a line without which nothing can be set up is absent or unreadable.
    Malformed(String),
    /// Valid SDP, but nothing in it can be recorded.
    NothingToRecord(String),
    /// The session asked about has ended or never existed.
    SessionGone,
    /// The core failed on this offer; it is ours to mend.
    Internal(String),
}

impl fmt::Display for OfferError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(reason) => write!(formatter, "the SDP offer is unusable: {reason}"),
            Self::NothingToRecord(reason) => {
                write!(formatter, "the SDP offer has nothing to record: {reason}")
            }
            Self::SessionGone => write!(formatter, "the session has ended or never existed"),
            Self::Internal(reason) => write!(formatter, "the receive core failed on this SDP offer: {reason}"),
        }
    }
}

impl std::error::Error for OfferError {}
