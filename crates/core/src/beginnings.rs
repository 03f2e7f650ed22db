//! The first packets of each stream, held for a moment and put in order.
//!
//! str0m begins a stream with whichever packet comes first and drops what belongs before it, though the network may only
//! have let the second packet overtake the first. So the first ones wait here, and go on in the order of their numbers,
//! each with the time of its arrival. Pure: time is an argument. Spec: RFC 3550 §5.1; rule R12.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::Input;
use str0m::net::{Protocol, Receive};

use crate::rtp::RtpHeader;

/// How much later than the packet that came first one that belongs before it may come.
const PATIENCE: Duration = Duration::from_millis(40);
/// Packets of one stream that are held; a keyframe may be that long, and what has overtaken so many is lost.
const PACKETS_MAX: usize = 128;
/// Streams whose beginning is held, per session; beyond it someone is sending noise.
const STREAMS_MAX: usize = 32;

/// One packet, as it came.
#[derive(Debug)]
pub struct Held {
    pub header: RtpHeader,
    arrived_at: Instant,
    protocol: Protocol,
    source: SocketAddr,
    destination: SocketAddr,
    pub payload: Vec<u8>,
}

impl Held {
    /// Return what the machine would have been given at its arrival; None if it is malformed.
    pub fn input(&self) -> Option<Input<'_>> {
        let receive = Receive::new(self.protocol, self.source, self.destination, &self.payload).ok()?;
        Some(Input::Receive(self.arrived_at, receive))
    }
}

#[derive(Debug)]
struct Beginning {
    ssrc: u32,
    due_at: Instant,
    packets: Vec<Held>,
}

/// The beginnings of one session's streams.
#[derive(Debug, Default)]
pub struct Beginnings {
    begun: Vec<u32>,
    held: Vec<Beginning>,
}

impl Beginnings {
    /// Hold a packet that is among the first of its stream; tell whether it is.
    pub fn hold(&mut self, header: RtpHeader, receive: &Receive<'_>, payload: &[u8], now: Instant) -> bool {
        if !self.begun.contains(&header.ssrc) && self.begun.len() < STREAMS_MAX {
            self.begun.push(header.ssrc);
            self.held.push(Beginning { ssrc: header.ssrc, due_at: now + PATIENCE, packets: Vec::new() });
        }
        let Some(beginning) = self.held.iter_mut().find(|beginning| beginning.ssrc == header.ssrc) else {
            return false;
        };
        let Receive { proto: protocol, source, destination, .. } = *receive;
        beginning.packets.push(Held {
            header,
            arrived_at: now,
            protocol,
            source,
            destination,
            payload: payload.into(),
        });
        if beginning.packets.len() >= PACKETS_MAX {
            beginning.due_at = now;
        }
        true
    }

    /// Return when the first of them has waited long enough.
    pub fn due_at(&self) -> Option<Instant> {
        self.held.iter().map(|beginning| beginning.due_at).min()
    }

    /// Take out the packets of a stream that has waited long enough, in the order of their numbers; empty if none has.
    pub fn take_due(&mut self, now: Instant) -> Vec<Held> {
        let Some(at) = self.held.iter().position(|beginning| beginning.due_at <= now) else {
            return Vec::new();
        };
        let mut packets = self.held.remove(at).packets;
        let came_first = packets.first().map_or(0, |packet| packet.header.sequence);
        packets.sort_by_key(|packet| packet.header.sequence.wrapping_sub(came_first).cast_signed());
        packets
    }
}

#[cfg(test)]
mod tests {
    use super::{Beginnings, PACKETS_MAX, PATIENCE, STREAMS_MAX};
    use crate::rtp::RtpHeader;
    use std::net::SocketAddr;
    use std::time::Instant;
    use str0m::net::{Protocol, Receive};

    fn hold(beginnings: &mut Beginnings, ssrc: u32, sequence: u16, now: Instant) -> bool {
        let [s1, s0] = sequence.to_be_bytes();
        let packet = [0x80, 111, s1, s0, 0, 0, 0, 1, 0, 0, 0, 1, 0x55];
        let address = SocketAddr::from(([10, 0, 0, 1], 5_000));
        let receive = Receive::new(Protocol::Udp, address, address, &packet);
        receive.is_ok_and(|receive| beginnings.hold(RtpHeader { pt: 111, sequence, ssrc }, &receive, &packet, now))
    }

    fn numbers(beginnings: &mut Beginnings, now: Instant) -> Vec<u16> {
        beginnings.take_due(now).iter().map(|held| held.header.sequence).collect()
    }

    #[test]
    fn what_was_overtaken_goes_on_first_also_across_the_wrap() {
        let (mut beginnings, now) = (Beginnings::default(), Instant::now());
        for sequence in [1, 65_535, 2, 0] {
            assert!(hold(&mut beginnings, 7, sequence, now));
        }
        assert_eq!(numbers(&mut beginnings, now + PATIENCE / 2), []);
        assert_eq!(numbers(&mut beginnings, now + PATIENCE), [65_535, 0, 1, 2]);
    }

    #[test]
    fn only_the_first_moment_of_each_stream_is_held() {
        let (mut beginnings, now) = (Beginnings::default(), Instant::now());
        assert!(hold(&mut beginnings, 7, 1, now) && hold(&mut beginnings, 8, 1, now + PATIENCE));
        assert_eq!(numbers(&mut beginnings, now + PATIENCE), [1]);
        assert!(!hold(&mut beginnings, 7, 2, now + PATIENCE));
        assert_eq!(beginnings.due_at(), Some(now + 2 * PATIENCE));
    }

    #[test]
    fn neither_many_packets_nor_many_streams_fill_the_memory() {
        let (mut beginnings, now) = (Beginnings::default(), Instant::now());
        for sequence in 0..u16::MAX {
            if hold(&mut beginnings, 7, sequence, now) && beginnings.due_at() == Some(now) {
                break;
            }
        }
        assert_eq!(numbers(&mut beginnings, now).len(), PACKETS_MAX);
        let held = (100..200).filter(|ssrc| hold(&mut beginnings, *ssrc, 1, now)).count();
        assert_eq!(held, STREAMS_MAX - 1);
    }
}
