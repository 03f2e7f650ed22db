//! Records sent in a peer's name: before, amid and after its handshake they change nothing.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::time::Instant;

use soloist_dtls::crypto_provider;
use str0m::crypto::dtls::{DtlsCert, DtlsInstance, DtlsOutput, DtlsVersion};

const EPOCHS: [u16; 4] = [0, 1, 2, 65_535];

struct Side {
    instance: Box<dyn DtlsInstance>,
    keys: Option<Vec<u8>>,
    has_heard_goodbye: bool,
}

impl Side {
    fn new(certificate: &DtlsCert, is_active: bool) -> Self {
        let made = crypto_provider().dtls_provider.new_dtls(certificate, Instant::now(), DtlsVersion::Dtls12, None);
        let mut instance = made.expect("an association can be made");
        instance.set_active(is_active);
        Self { instance, keys: None, has_heard_goodbye: false }
    }

    fn outgoing(&mut self) -> Vec<Vec<u8>> {
        let (mut datagrams, mut buffer) = (Vec::new(), vec![0; 4_000]);
        loop {
            match self.instance.poll_output(&mut buffer) {
                DtlsOutput::Packet(packet) => datagrams.push(packet.to_vec()),
                DtlsOutput::KeyingMaterial(keys, _) => self.keys = Some(keys.as_ref().to_vec()),
                DtlsOutput::CloseNotify => self.has_heard_goodbye = true,
                DtlsOutput::Timeout(_) => return datagrams,
                _ => {}
            }
        }
    }

    fn hear(&mut self, datagram: &[u8]) {
        self.instance.handle_packet(datagram).expect("the association goes on");
    }
}

/// Client and server, and what is forged in each one's name before each datagram of the other.
struct Pair {
    client: Side,
    server: Side,
    forged: Vec<Vec<u8>>,
}

impl Pair {
    fn new(forged: Vec<Vec<u8>>) -> Self {
        let certificate = crypto_provider().dtls_provider.generate_certificate().expect("a certificate can be made");
        Self { client: Side::new(&certificate, true), server: Side::new(&certificate, false), forged }
    }

    /// Carry what both have to say, with forgeries before each datagram, until neither says more.
    fn talk(&mut self) {
        let mut is_quiet = false;
        while !is_quiet {
            is_quiet = true;
            for from_client in [true, false] {
                let (from, to) = if from_client {
                    (&mut self.client, &mut self.server)
                } else {
                    (&mut self.server, &mut self.client)
                };
                for datagram in from.outgoing() {
                    is_quiet = false;
                    self.forged.iter().for_each(|forged| to.hear(forged));
                    to.hear(&datagram);
                    self.forged.iter().for_each(|forged| to.hear(forged));
                }
            }
        }
    }

    fn shake_hands(&mut self) {
        self.client.instance.handle_packet(&[]).expect("a client can set off");
        self.talk();
        assert!(self.client.keys.is_some() && self.client.keys == self.server.keys);
    }
}

fn record(kind: u8, version: u16, epoch: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
    let mut record = vec![kind];
    record.extend(version.to_be_bytes());
    record.extend(epoch.to_be_bytes());
    record.extend([0, 0, 0, 0, 0, 9]);
    record.extend(length.to_be_bytes());
    record.extend(payload);
    record
}

/// Every record type that means something and some that do not, in each epoch, of 0 to 64 bytes.
fn all_short_records() -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    for kind in [0, 19, 20, 21, 22, 23, 24, 25, 26, 63, 255] {
        for epoch in EPOCHS {
            for length in 0..=64_u8 {
                // As an alert the payload says: fatal, handshake failure.
                let payload: Vec<u8> = [2, 40, 1, 0].into_iter().cycle().take(usize::from(length)).collect();
                records.push(record(kind, 0xfefd, epoch, &payload));
            }
        }
    }
    records
}

#[test]
fn no_short_record_of_any_type_and_epoch_disturbs_a_handshake() {
    Pair::new(all_short_records()).shake_hands();
}

#[test]
fn no_short_record_of_any_type_and_epoch_ends_an_association_and_its_goodbye_is_heard() {
    let mut pair = Pair::new(Vec::new());
    pair.shake_hands();
    pair.forged = all_short_records();
    pair.forged.push(record(21, 0xfefd, 1, &[0; 200]));
    pair.client.instance.send_application_data(b"still here").expect("it is established");
    pair.talk();
    assert!(!pair.client.has_heard_goodbye && !pair.server.has_heard_goodbye);
    pair.client.instance.close().expect("a goodbye can be said");
    pair.talk();
    assert!(pair.server.has_heard_goodbye);
}

#[test]
fn damaged_and_foreign_hellos_before_the_peers_own_are_forgotten() {
    let mut stranger = Pair::new(Vec::new()).client;
    stranger.instance.handle_packet(&[]).expect("a client can set off");
    let hello = stranger.outgoing().remove(0);
    let damaged = (25..hello.len()).map(|at| {
        let mut damaged = hello.clone();
        damaged[at] ^= 0xff;
        damaged
    });
    for datagram in damaged {
        let mut pair = Pair::new(Vec::new());
        pair.server.hear(&datagram);
        if pair.server.outgoing().is_empty() {
            pair.shake_hands();
        }
    }
}

#[test]
fn a_datagram_makes_a_handshake_begin_again_once_however_many_hellos_it_holds() {
    let mut pair = Pair::new(Vec::new());
    pair.client.instance.handle_packet(&[]).expect("a client can set off");
    let hello = pair.client.outgoing().remove(0);
    let broken = record(22, 0xfefd, 0, &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    pair.server.hear(&[broken.repeat(40), hello.clone()].concat());
    assert!(pair.server.outgoing().is_empty());
    pair.server.hear(&hello);
    for answer in pair.server.outgoing() {
        pair.client.hear(&answer);
    }
    pair.talk();
    assert!(pair.client.keys.is_some() && pair.client.keys == pair.server.keys);
}
