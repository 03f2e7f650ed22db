//! The first packets of a session, held for a moment and put in order.
//!
//! str0m begins a stream with whichever packet comes first and drops what belongs before it, though the network may only
//! have let the second packet overtake the first. So the first moment of a session's media waits here, all of it, and goes
//! on with each stream in the order of its numbers, each packet with the time of its arrival. Streams that begin later do
//! not wait: congestion feedback goes out meanwhile, and would call them lost. Pure: time is an argument.
//! Spec: RFC 3550 §5.1; rule R12.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::Input;
use str0m::net::{Protocol, Receive};

use crate::rtp::RtpHeader;

/// How much later than the packet that came first one that belongs before it may come.
const PATIENCE: Duration = Duration::from_millis(40);
/// Packets that are held; a keyframe may be that long, and what has overtaken so many is lost.
const PACKETS_MAX: usize = 128;

/// One packet, as it came.
#[derive(Debug)]
pub struct Held {
    pub header: RtpHeader,
    pub arrived_at: Instant,
    protocol: Protocol,
    source: SocketAddr,
    destination: SocketAddr,
    pub payload: Vec<u8>,
}

impl Held {
    pub fn new(header: RtpHeader, receive: &Receive<'_>, payload: &[u8], now: Instant) -> Self {
        let Receive { proto: protocol, source, destination, .. } = *receive;
        Self { header, arrived_at: now, protocol, source, destination, payload: payload.into() }
    }

    /// Return the datagram it came in; None if it is malformed.
    pub fn receive(&self) -> Option<Receive<'_>> {
        Receive::new(self.protocol, self.source, self.destination, &self.payload).ok()
    }

    /// Return what the machine would have been given at its arrival; None if it is malformed.
    pub fn input(&self) -> Option<Input<'_>> {
        Some(Input::Receive(self.arrived_at, self.receive()?))
    }
}

/// The beginning of one session's media.
#[derive(Debug, Default)]
pub struct Beginning {
    held: Vec<Held>,
    due_at: Option<Instant>,
    is_over: bool,
}

impl Beginning {
    /// Hold a packet if it is among the first; tell whether it is.
    pub fn hold(&mut self, header: RtpHeader, receive: &Receive<'_>, payload: &[u8], now: Instant) -> bool {
        if self.is_over {
            return false;
        }
        self.held.push(Held::new(header, receive, payload, now));
        let due_at = *self.due_at.get_or_insert(now + PATIENCE);
        self.due_at = Some(if self.held.len() < PACKETS_MAX { due_at } else { now });
        true
    }

    /// Return when they have waited long enough; None without any.
    pub const fn due_at(&self) -> Option<Instant> {
        self.due_at
    }

    /// Take them out if they have waited until `now`: as they came, but for each stream in the order of its numbers.
    ///
    /// Streams keep their turns among each other. Browsers probe the network with copies of their first packets on the
    /// stream of retransmissions, and a copy that went ahead of what it copies would be the beginning.
    pub fn take_due(&mut self, now: Instant) -> Vec<Held> {
        if self.due_at.is_none_or(|due_at| due_at > now) {
            return Vec::new();
        }
        (self.due_at, self.is_over) = (None, true);
        let mut held = std::mem::take(&mut self.held);
        let came: Vec<RtpHeader> = held.iter().map(|packet| packet.header).collect();
        let first_of = |ssrc| came.iter().position(|header| header.ssrc == ssrc).unwrap_or(0);
        let mut turns: Vec<usize> = (0..held.len()).collect();
        turns.sort_by_cached_key(|turn| first_of(came[*turn].ssrc));
        held.sort_by_cached_key(|Held { header, .. }| {
            let first = first_of(header.ssrc);
            (first, header.sequence.wrapping_sub(came[first].sequence).cast_signed())
        });
        let mut in_turn: Vec<(usize, Held)> = turns.into_iter().zip(held).collect();
        in_turn.sort_by_key(|(turn, _)| *turn);
        in_turn.into_iter().map(|(_, packet)| packet).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Beginning, PACKETS_MAX, PATIENCE};
    use crate::rtp::RtpHeader;
    use std::net::SocketAddr;
    use std::time::Instant;
    use str0m::net::{Protocol, Receive};

    fn hold(beginning: &mut Beginning, ssrc: u32, sequence: u16, now: Instant) -> bool {
        let [s1, s0] = sequence.to_be_bytes();
        let packet = [0x80, 111, s1, s0, 0, 0, 0, 1, 0, 0, 0, 1, 0x55];
        let address = SocketAddr::from(([10, 0, 0, 1], 5_000));
        let receive = Receive::new(Protocol::Udp, address, address, &packet);
        receive.is_ok_and(|receive| beginning.hold(RtpHeader { pt: 111, sequence, ssrc }, &receive, &packet, now))
    }

    fn numbers(beginning: &mut Beginning, now: Instant) -> Vec<(u32, u16)> {
        beginning.take_due(now).iter().map(|held| (held.header.ssrc, held.header.sequence)).collect()
    }

    #[test]
    fn what_was_overtaken_goes_on_first_also_across_the_wrap_and_streams_keep_their_turns() {
        let (mut beginning, now) = (Beginning::default(), Instant::now());
        for (ssrc, sequence) in [(7, 1), (8, 5), (7, 65_535), (7, 2), (8, 4), (7, 0)] {
            assert!(hold(&mut beginning, ssrc, sequence, now));
        }
        assert_eq!(numbers(&mut beginning, now + PATIENCE / 2), []);
        assert_eq!(numbers(&mut beginning, now + PATIENCE), [(7, 65_535), (8, 4), (7, 0), (7, 1), (8, 5), (7, 2)]);
    }

    #[test]
    fn only_the_first_moment_of_a_session_is_held() {
        let (mut beginning, now) = (Beginning::default(), Instant::now());
        assert!(hold(&mut beginning, 7, 1, now));
        assert_eq!(numbers(&mut beginning, now + PATIENCE), [(7, 1)]);
        assert!(!hold(&mut beginning, 7, 2, now + PATIENCE) && !hold(&mut beginning, 8, 1, now + PATIENCE));
        assert_eq!(beginning.due_at(), None);
    }

    #[test]
    fn many_packets_do_not_fill_the_memory() {
        let (mut beginning, now) = (Beginning::default(), Instant::now());
        let count = (0..u16::MAX)
            .take_while(|sequence| hold(&mut beginning, 7, *sequence, now) && beginning.due_at() != Some(now));
        assert_eq!(count.count() + 1, PACKETS_MAX);
        assert_eq!(numbers(&mut beginning, now).len(), PACKETS_MAX);
    }
}
