//! Handshakes in which a datagram is lost, in both roles.
//!
//! OpenSSL looks at the wall clock for its retransmissions, so these tests take the quarter of a second a repeated flight
//! takes; they poll meanwhile, as the I/O thread does.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use soloist_dtls::crypto_provider;
use str0m::crypto::dtls::{DtlsCert, DtlsInstance, DtlsOutput, DtlsVersion};

const LIMIT: Duration = Duration::from_secs(5);

struct Side {
    instance: Box<dyn DtlsInstance>,
    keys: Option<Vec<u8>>,
    sent: usize,
}

impl Side {
    fn new(certificate: &DtlsCert, is_active: bool) -> Self {
        let provider = crypto_provider().dtls_provider;
        let made = provider.new_dtls(certificate, Instant::now(), DtlsVersion::Dtls12, None);
        let mut instance = made.expect("an association can be made");
        instance.set_active(is_active);
        if is_active {
            instance.handle_packet(&[]).expect("a client can set off");
        }
        Self { instance, keys: None, sent: 0 }
    }

    /// Return what the side has to send, with the number of each datagram.
    fn outgoing(&mut self) -> Vec<(usize, Vec<u8>)> {
        self.instance.handle_timeout(Instant::now()).expect("the handshake goes on");
        let mut datagrams = Vec::new();
        let mut buffer = vec![0; 4_000];
        loop {
            match self.instance.poll_output(&mut buffer) {
                DtlsOutput::Packet(packet) => {
                    datagrams.push((self.sent, packet.to_vec()));
                    self.sent += 1;
                }
                DtlsOutput::KeyingMaterial(keys, _) => self.keys = Some(keys.as_ref().to_vec()),
                DtlsOutput::Timeout(_) => return datagrams,
                _ => {}
            }
        }
    }
}

/// Shake hands while `is_lost(from_client, number)` decides what arrives; return how long it took.
fn shake_hands(is_lost: impl Fn(bool, usize) -> bool) -> Option<Duration> {
    let provider = crypto_provider().dtls_provider;
    let certificate = provider.generate_certificate().expect("a certificate can be made");
    let (mut client, mut server) = (Side::new(&certificate, true), Side::new(&certificate, false));
    let begin = Instant::now();
    while begin.elapsed() < LIMIT {
        for from_client in [true, false] {
            let (from, to) = if from_client { (&mut client, &mut server) } else { (&mut server, &mut client) };
            for (number, datagram) in from.outgoing() {
                if !is_lost(from_client, number) {
                    to.instance.handle_packet(&datagram).expect("the handshake goes on");
                }
            }
        }
        if client.keys.is_some() && client.keys == server.keys {
            return Some(begin.elapsed());
        }
        std::thread::yield_now();
    }
    None
}

#[test]
fn a_handshake_without_loss_gives_both_sides_the_same_keys() {
    assert!(shake_hands(|_, _| false).is_some());
}

#[test]
fn any_one_lost_datagram_of_either_side_is_made_up_for() {
    let lost_by = |from_client: bool| (0..6).map(move |number| (from_client, number));
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = lost_by(true)
            .chain(lost_by(false))
            .map(|lost| (lost, scope.spawn(move || shake_hands(|side, number| (side, number) == lost))))
            .collect();
        runs.into_iter().map(|(lost, run)| (lost, run.join().ok().flatten())).collect()
    });
    for (lost, took) in outcomes {
        assert!(took.is_some(), "client, number {lost:?} lost: not within {LIMIT:?}");
    }
}

#[test]
fn a_peer_that_listens_late_is_still_reached() {
    for late_is_client in [false, true] {
        let begin = Instant::now();
        let took =
            shake_hands(|from_client, _| from_client != late_is_client && begin.elapsed() < Duration::from_millis(250));
        assert!(took.is_some(), "not within {LIMIT:?}");
    }
}

#[test]
fn two_flights_lost_in_a_row_are_made_up_for() {
    let took = shake_hands(|_, number| number < 2);
    assert!(took.is_some(), "not within {LIMIT:?}");
}
