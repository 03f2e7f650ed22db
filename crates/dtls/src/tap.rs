//! What a session learns of its DTLS association beside str0m: the keys its media is protected with, and how many records
//! were refused.
//!
//! str0m makes the association by itself, deep inside a call, and keeps the keys to itself. So each one leaves its tap with
//! the thread that made it, and whoever made the call takes it there.

use std::cell::RefCell;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use str0m::crypto::dtls::SrtpProfile;

/// What both sides derive their media keys from. Spec: RFC 5764 §4.2.
pub struct Keys {
    /// Master keys of client and server, then their salts.
    pub material: Vec<u8>,
    pub profile: SrtpProfile,
    /// The other side is the client of the association.
    pub is_peer_client: bool,
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Keys").field("profile", &self.profile).finish_non_exhaustive()
    }
}

/// One association's side door.
#[derive(Debug, Default)]
pub struct Tap {
    keys: OnceLock<Keys>,
    refused: AtomicU64,
}

thread_local! {
    static LATEST: RefCell<Option<Arc<Tap>>> = const { RefCell::new(None) };
}

impl Tap {
    /// Make one and leave it for `take`.
    pub(crate) fn leave() -> Arc<Self> {
        let tap = Arc::new(Self::default());
        LATEST.set(Some(tap.clone()));
        tap
    }

    /// Return the tap of the association this thread made last; None if it was taken already.
    pub fn take() -> Option<Arc<Self>> {
        LATEST.take()
    }

    /// Return the keys once the handshake is done.
    pub fn keys(&self) -> Option<&Keys> {
        self.keys.get()
    }

    /// Return how many records were refused since the last call.
    pub fn take_refused(&self) -> u64 {
        self.refused.swap(0, Ordering::Relaxed)
    }

    pub(crate) fn tell(&self, keys: Keys) {
        // There is one handshake to an association; a second set of keys would not be str0m's.
        let _ = self.keys.set(keys);
    }

    pub(crate) fn count_refused(&self, refused: u64) {
        self.refused.fetch_add(refused, Ordering::Relaxed);
    }
}
