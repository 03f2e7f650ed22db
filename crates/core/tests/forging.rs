//! Datagrams sent under a publisher's address by who does not know its keys: the recording is the same with and without.
//!
//! Every scenario runs twice from the same seed, once with forgeries before and after each of the publisher's datagrams, from
//! the first STUN request on. What the core hands over has to be equal item by item: frames, their bytes, times and flags,
//! sender reports, and what was counted as lost, recovered and asked for.

mod support;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use soloist_core::net::Protocol;
use soloist_core::{CloseReason, Codec, Datagram, Frame, Item, SenderReport, SessionId, Stats};
use support::media::{Sent, digest, publish};
use support::network::Weather;
use support::{Forger, Rig, Scenario, publisher_address, receiver_address};

const EPOCHS: [u16; 4] = [0, 1, 2, 65_535];
/// Records of a DTLS datagram's neighbours, of the whole table of types, epochs and lengths.
const RECORDS_AT_ONCE: usize = 200;
const HEARD_MAX: usize = 400;

#[test]
fn who_has_a_session_too_cannot_draw_a_publishers_datagrams_into_it() {
    let mut rig = Rig::connected(Scenario::default());
    let check = rig.neighbours_check(SessionId(2));
    rig.forger = Some(Box::new(move |_| [vec![check.clone()], Vec::new()]));
    let sent = publish(&mut rig, Codec::Vp8, 3, 30, 0);
    let kept = (rig.frames_of(Codec::Vp8).len(), rig.frames_of(Codec::Opus).len());
    assert_eq!(kept, (sent.pictures.len(), sent.sounds.len()));
    assert!(rig.engine.outbox().stats.datagrams_forged > 0);
}

#[test]
fn an_address_whose_session_has_fallen_silent_is_the_next_ones() {
    let mut rig = Rig::connected(Scenario::default());
    let check = rig.neighbours_check(SessionId(2));
    rig.now += Duration::from_secs(4);
    assert!(!rig.reach_receiver(&check));
    rig.now += Duration::from_secs(2);
    assert!(rig.reach_receiver(&check));
}

/// Who sees the publisher's datagrams and sends variations of them.
struct Attacker {
    random: u64,
    heard: Vec<Vec<u8>>,
    next_record: usize,
    records: Vec<Vec<u8>>,
}

impl Attacker {
    fn new(seed: u64) -> Self {
        Self { random: seed, heard: Vec::new(), next_record: 0, records: short_records() }
    }

    fn forger(mut self) -> Forger {
        Box::new(move |genuine| {
            let before = self.around(genuine);
            let kept = if matches!(genuine[0], 128..=191) { genuine } else { &[] };
            if !kept.is_empty() {
                self.heard.push(kept.to_vec());
                let surplus = self.heard.len().saturating_sub(HEARD_MAX);
                self.heard.drain(..surplus);
            }
            [before, self.around(genuine).into_iter().chain(self.repeated()).collect()]
        })
    }

    fn around(&mut self, genuine: &[u8]) -> Vec<Vec<u8>> {
        let mut forged = match genuine[0] {
            0..=3 => self.stun_like(genuine),
            128..=191 => self.media_like(genuine),
            _ => Vec::new(),
        };
        forged.extend(self.damaged(genuine));
        let records = if matches!(genuine[0], 20..=63) { RECORDS_AT_ONCE } else { 8 };
        forged.extend(self.some_records(records));
        forged.extend(self.media_of_nobody());
        forged
    }

    /// Authentic packets once more, as they were.
    fn repeated(&mut self) -> Vec<Vec<u8>> {
        let turns = if self.heard.is_empty() { 0 } else { 3 };
        let mut places = || self.below(self.heard.len());
        let places: Vec<usize> = (0..turns).map(|_| places()).collect();
        places.into_iter().map(|at| self.heard[at].clone()).collect()
    }

    /// The publisher's packet with one field changed, its tag as it was.
    fn media_like(&mut self, genuine: &[u8]) -> Vec<Vec<u8>> {
        let mut forged = Vec::new();
        let mut with = |edit: &dyn Fn(&mut Vec<u8>)| {
            let mut packet = genuine.to_vec();
            edit(&mut packet);
            if packet != genuine {
                forged.push(packet);
            }
        };
        let foreign = self.next().to_be_bytes();
        with(&|packet| packet[8..12].copy_from_slice(&foreign[..4]));
        with(&|packet| packet[8..12].fill(0));
        for pt in [self.next().to_be_bytes()[0] & 0x7f, 96, 97, 98, 100, 111, 127] {
            with(&|packet| packet[1] = packet[1] & 0x80 | pt);
            with(&|packet| {
                packet[1] = packet[1] & 0x80 | pt;
                packet[8..12].copy_from_slice(&foreign[4..]);
            });
        }
        for leap in [1, 7, 101, 1_025, 3_001, 32_767, 32_768, 40_000, 65_535_u16] {
            with(&|packet| {
                let number = u16::from_be_bytes([packet[2], packet[3]]).wrapping_add(leap);
                packet[2..4].copy_from_slice(&number.to_be_bytes());
            });
        }
        with(&|packet| packet[4..8].copy_from_slice(&foreign[..4]));
        for flags in [0x80, 0x81, 0x90, 0xa0, 0xb0, 0x8f, 0x9f] {
            with(&|packet| packet[0] = flags);
        }
        // What the header extension says: mid, rid, transport-wide number, and the form of its elements.
        for at in 12..genuine.len().min(40) {
            with(&|packet| packet[at] ^= foreign[0] | 1);
        }
        forged
    }

    /// Packets made of nothing but what an offer tells: payload types, SSRCs, mid and rid.
    fn media_of_nobody(&mut self) -> Vec<Vec<u8>> {
        let random = self.next().to_be_bytes();
        let mut forged = Vec::new();
        let ssrc = self.heard.last().map_or([0, 0, 0, 1], |packet| [packet[8], packet[9], packet[10], packet[11]]);
        for ssrc in [ssrc, [random[0], random[1], random[2], random[3]]] {
            for pt in [96, 97, 98, 99, 100, 111, 112, 127] {
                let id = random[5] % 14 + 1;
                let mut packet = vec![0x90, pt, random[6], random[7], 0, 0, 0, 1];
                packet.extend(ssrc);
                packet.extend([0xbe, 0xde, 0, 1, id << 4 | 2, b'a' + random[4] % 26, b'0', b'1']);
                packet.extend([0x55; 40]);
                forged.push(packet);
            }
            // Goodbye, sender report, receiver report, a loss report, and requests for keyframes.
            for (count, kind, words) in [(1, 203, 1), (0, 200, 6), (1, 201, 7), (1, 205, 3), (1, 206, 2), (4, 206, 4)] {
                let mut packet = vec![0x80 | count, kind, 0, words];
                packet.extend(ssrc);
                packet.resize(4 + 4 * usize::from(words), random[3]);
                packet.extend([0; 16]);
                packet.extend([0x80, 0, 0, random[4]]);
                packet.extend([0; 10]);
                forged.push(packet);
            }
        }
        forged
    }

    /// STUN without the password.
    fn stun_like(&mut self, genuine: &[u8]) -> Vec<Vec<u8>> {
        let mut forged = Vec::new();
        let at = 20 + self.below(genuine.len() - 20);
        for edit in [(1, 0x01), (0, 0x01), (1, 0x11), (at, 0x01), (genuine.len() - 12, 0xff)] {
            let mut message = genuine.to_vec();
            message[edit.0] ^= edit.1;
            forged.push(message);
        }
        // Its head alone: no name, no integrity.
        forged.push([&genuine[..2], &[0, 0], &genuine[4..20]].concat());
        forged
    }

    /// The publisher's datagram cut off, or with a bit turned.
    fn damaged(&mut self, genuine: &[u8]) -> Vec<Vec<u8>> {
        // A handshake message is not proven to be the peer's before the handshake ends; see ADR 15.
        if !matches!(genuine[0], 128..=191) || genuine.len() < 14 {
            return Vec::new();
        }
        let (at, length) = (self.below(genuine.len()), 12 + self.below(genuine.len() - 12));
        let mut turned = genuine.to_vec();
        turned[at] ^= 1 << (self.next() % 8);
        vec![turned, genuine[..length].to_vec(), [genuine, &[0]].concat()]
    }

    fn some_records(&mut self, count: usize) -> Vec<Vec<u8>> {
        let first = self.next_record;
        self.next_record += count;
        (first..first + count).map(|at| self.records[at % self.records.len()].clone()).collect()
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next()).unwrap_or(0) % limit
    }

    fn next(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

/// DTLS records of every type, in each epoch, of 0 to 64 bytes; those of types that mean something stand more often.
fn short_records() -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    for length in 0..=64_u8 {
        for epoch in EPOCHS {
            for kind in (20..=63).chain([20, 21, 22, 23]) {
                let [e1, e0] = epoch.to_be_bytes();
                let mut record = vec![kind, 0xfe, 0xfd, e1, e0, 0, 0, 0, 0, 0, 9, 0, length];
                // As an alert it says: fatal, handshake failure; as a handshake message nothing.
                record.extend([2, 40, 1, 0].iter().cycle().take(usize::from(length)));
                records.push(record);
            }
        }
    }
    records
}

/// What a run came to.
struct Outcome {
    /// Layer by layer: which of two layers' frames of one millisecond comes first is a matter of str0m's hash maps.
    items: Vec<Item>,
    stats: Stats,
    sent: Sent,
}

fn run(scenario: Scenario, seed: Option<u64>) -> Outcome {
    fastrand::seed(1);
    let codec = scenario.codec;
    let mut rig = Rig::new(scenario);
    rig.forger = seed.map(|seed| Attacker::new(seed).forger());
    rig.run_for(Duration::from_secs(1));
    assert!(rig.is_connected, "not connected within a second");
    let sent = publish(&mut rig, codec, 2, 60, 0);
    rig.publisher.close().ok();
    rig.run_for(Duration::from_secs(1));
    let stats = rig.engine.outbox().stats;
    let mut items: Vec<Item> = rig.items.into_iter().map(without_wall_clock).collect();
    items.sort_by_key(layer);
    Outcome { items, stats, sent }
}

/// The publisher of tests stamps its reports by the wall clock, which no two runs share.
fn without_wall_clock(item: Item) -> Item {
    match item {
        Item::SenderReport(report) => Item::SenderReport(SenderReport { ntp_ns: 0, ..report }),
        other => other,
    }
}

/// Return the layer of an item; none before the first, `~` after the last.
fn layer(item: &Item) -> String {
    match item {
        Item::Frame(Frame { layer, .. })
        | Item::SenderReport(SenderReport { layer, .. })
        | Item::Overflow { layer, .. } => format!("{} {:?}", layer.mid, layer.rid),
        Item::Connected { .. } => String::new(),
        Item::Closed { .. } => "~".into(),
    }
}

fn counted(stats: &Stats) -> [u64; 5] {
    [stats.packets_lost, stats.packets_recovered, stats.plis_sent, stats.nacks_sent, stats.frames_dropped]
}

/// Compare runs with and without forgeries.
fn same_with_forgeries(scenario: impl Fn() -> Scenario, name: &str) {
    let alone = run(scenario(), None);
    let frames = alone.items.iter().filter(|item| matches!(item, Item::Frame(_))).count();
    assert_eq!(frames, alone.sent.pictures.len() + alone.sent.sounds.len(), "{name}, without anybody's doing");
    assert!(matches!(alone.items.last(), Some(Item::Closed { .. })), "{name}: the publisher's goodbye is heard");
    for seed in [3, 1_234_567] {
        let attacked = run(scenario(), Some(seed));
        let differs = alone.items.iter().zip(&attacked.items).position(|(item, other)| item != other);
        assert_eq!((attacked.items.len(), differs), (alone.items.len(), None), "{name}, seed {seed}");
        assert_eq!(counted(&attacked.stats), counted(&alone.stats), "{name}, seed {seed}");
        let refused = attacked.stats.datagrams_forged - alone.stats.datagrams_forged;
        assert!(refused > 20_000, "{name}, seed {seed}: {refused} refused");
    }
}

#[test]
fn forgeries_change_nothing_of_a_recording() {
    same_with_forgeries(Scenario::default, "VP8 and redundant sound");
}

#[test]
fn forgeries_change_nothing_of_h264_without_redundancy() {
    same_with_forgeries(|| Scenario { codec: Codec::H264, with_red: false, ..Scenario::default() }, "H.264");
}

#[test]
fn forgeries_change_nothing_where_streams_are_told_apart_by_payload_type() {
    let edit_offer = |offer: String| -> String {
        let kept = offer.lines().filter(|line| !line.starts_with("a=ssrc") && !line.contains("sdes:mid"));
        kept.flat_map(|line| [line, "\r\n"]).collect()
    };
    let scenario = move || Scenario { edit_offer, ..Scenario::default() };
    same_with_forgeries(scenario, "no names");
}

/// Which datagrams a bad network loses depends on their order, so two runs are not the same; what is repaired is.
#[test]
fn what_a_bad_network_loses_is_repaired_amid_forgeries() {
    for seed in [5, 99] {
        let weather = Weather::rough(seed, 5);
        let attacked = run(Scenario { weather, ..Scenario::default() }, Some(seed));
        let pictures = attacked.items.iter().filter_map(|item| match item {
            Item::Frame(frame) if frame.codec == Codec::Vp8 => Some((digest(&frame.data), frame.follows_gap)),
            _ => None,
        });
        let pictures: Vec<(u64, bool)> = pictures.collect();
        assert_eq!(pictures, attacked.sent.pictures.iter().map(|sent| (*sent, false)).collect::<Vec<_>>());
        assert!(attacked.stats.packets_recovered > 3, "seed {seed}: {:?}", attacked.stats);
    }
}

#[test]
fn forgeries_change_nothing_whatever_part_the_publisher_plays_in_the_handshake() {
    let active = |offer: String| offer.replace("a=setup:actpass", "a=setup:active");
    same_with_forgeries(move || Scenario { edit_offer: active, ..Scenario::default() }, "active");
    let passive = |offer: String| offer.replace("a=setup:actpass", "a=setup:passive");
    same_with_forgeries(move || Scenario { edit_offer: passive, ..Scenario::default() }, "passive");
}

/// Connect and publish; return the rig with the publisher's STUN requests.
fn overheard() -> (Rig, Vec<Vec<u8>>) {
    let heard: Rc<RefCell<Vec<Vec<u8>>>> = Rc::default();
    let noted = heard.clone();
    fastrand::seed(1);
    let mut rig = Rig::new(Scenario::default());
    rig.forger = Some(Box::new(move |genuine| {
        if genuine.starts_with(&[0, 1]) {
            noted.borrow_mut().push(genuine.to_vec());
        }
        Default::default()
    }));
    rig.run_for(Duration::from_secs(1));
    publish(&mut rig, Codec::Vp8, 5, 60, 0);
    rig.forger = None;
    let heard = heard.borrow().clone();
    assert!(rig.is_connected && heard.len() > 1, "{} requests", heard.len());
    (rig, heard)
}

#[test]
fn a_session_that_hears_only_forgeries_and_repetitions_is_over_after_its_silence() {
    let (mut rig, heard) = overheard();
    rig.network.is_down = true;
    let begin = rig.now;
    while rig.close_reason().is_none() && rig.now < begin + 2 * support::SILENCE {
        for datagram in heard.iter().chain([&[&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat()]) {
            rig.reach_receiver(datagram);
        }
        rig.reach_receiver(&[0x80, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0x55]);
        rig.run_for(Duration::from_millis(500));
    }
    assert_eq!(rig.close_reason(), Some(CloseReason::Timeout));
}

#[test]
fn a_check_sent_again_from_elsewhere_moves_no_session() {
    let (mut rig, heard) = overheard();
    rig.run_for(Duration::from_secs(1));
    for number in 1..200_u16 {
        let thief = SocketAddr::from(([192, 0, 2, 1], number));
        for payload in &heard {
            let datagram =
                Datagram { protocol: Protocol::Udp, source: thief, destination: receiver_address(), payload };
            assert!(!rig.engine.receive(rig.now, datagram));
        }
        assert!(!rig.engine.knows(Protocol::Udp, thief));
        assert!(rig.engine.outbox().transmits.iter().all(|transmit| transmit.destination == publisher_address()));
        rig.drain();
    }
    let before = rig.frames_of(Codec::Vp8).len();
    let sent = publish(&mut rig, Codec::Vp8, 2, 60, 1_000_000);
    assert_eq!(rig.frames_of(Codec::Vp8).len() - before, sent.pictures.len());
}
