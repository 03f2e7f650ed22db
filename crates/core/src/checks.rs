//! Which of the publisher's connectivity checks were answered already.
//!
//! ICE proves who made a check and not when: whoever sees one can send it again, from another address to draw the session
//! there, or from the publisher's to keep a session alive that nobody is behind. A check names its transaction, which is
//! new with each, so the latest are remembered with where they came from. Spec: RFC 8489 §5, §6.3.1 (retransmissions).

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

type Transaction = [u8; 12];

/// Checks remembered; a connected browser makes one in about 2.5 s.
const CHECKS_MAX: usize = 1_024;

/// The checks of one session that were answered.
#[derive(Debug, Default)]
pub struct Checks {
    sources: HashMap<Transaction, SocketAddr>,
    order: VecDeque<Transaction>,
}

/// Tell whether a datagram is a STUN Binding request by its looks.
pub fn is_request(payload: &[u8]) -> bool {
    payload.starts_with(&[0, 1]) && transaction_of(payload).is_some()
}

/// Tell whether a datagram is the success response to a STUN request.
pub fn is_answer(datagram: &[u8], request: &[u8]) -> bool {
    datagram.starts_with(&[1, 1]) && transaction_of(datagram) == transaction_of(request)
}

fn transaction_of(payload: &[u8]) -> Option<Transaction> {
    payload.get(8..20)?.try_into().ok()
}

impl Checks {
    /// Tell whether a check was answered that came from elsewhere.
    pub fn is_stolen(&self, request: &[u8], source: SocketAddr) -> bool {
        let known = transaction_of(request).and_then(|transaction| self.sources.get(&transaction));
        known.is_some_and(|known| *known != source)
    }

    /// Tell whether a datagram is a check that was answered.
    pub fn knows(&self, payload: &[u8]) -> bool {
        is_request(payload)
            && transaction_of(payload).is_some_and(|transaction| self.sources.contains_key(&transaction))
    }

    /// Note that a check was answered; tell whether it was the first time.
    pub fn answered(&mut self, request: &[u8], source: SocketAddr) -> bool {
        let Some(transaction) = transaction_of(request) else {
            return false;
        };
        if self.sources.insert(transaction, source).is_some() {
            return false;
        }
        self.order.push_back(transaction);
        if self.order.len() > CHECKS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.sources.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{CHECKS_MAX, Checks};
    use std::net::SocketAddr;

    fn request(number: u16) -> Vec<u8> {
        let [high, low] = number.to_be_bytes();
        [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &[high, low]].concat()
    }

    #[test]
    fn a_check_is_new_once_and_stolen_from_elsewhere() {
        let (home, elsewhere) = (SocketAddr::from(([10, 0, 0, 2], 1)), SocketAddr::from(([10, 0, 0, 3], 1)));
        let mut checks = Checks::default();
        assert!(!checks.is_stolen(&request(1), elsewhere));
        assert!(checks.answered(&request(1), home));
        assert!(!checks.answered(&request(1), home));
        assert!(checks.is_stolen(&request(1), elsewhere) && !checks.is_stolen(&request(1), home));
        (2..5_000).for_each(|number| assert!(checks.answered(&request(number), home)));
        assert_eq!((checks.order.len(), checks.sources.len()), (CHECKS_MAX, CHECKS_MAX));
    }
}
