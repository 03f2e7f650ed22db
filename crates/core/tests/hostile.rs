//! What strangers and damaged networks send to the port.

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use soloist_core::net::Protocol;
use soloist_core::{CloseReason, Codec, Datagram, Item, Session, SessionId};
use support::media::publish;
use support::network::Weather;
use support::{Rig, Scenario, publisher_address, receiver_address, settings, wishes};

struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn datagram(&mut self) -> Vec<u8> {
        let length = usize::try_from(self.next() % 1_500).unwrap_or(0);
        let mut datagram: Vec<u8> = (0..length).map(|_| self.next().to_le_bytes()[0]).collect();
        // Half of it looks like STUN, DTLS, RTP or RTCP at first sight.
        if let Some(first) = datagram.first_mut()
            && self.next().is_multiple_of(2)
        {
            *first = [0, 1, 20, 22, 0x80, 0x90][usize::try_from(self.next() % 6).unwrap_or(0)];
        }
        datagram
    }
}

fn receive(rig: &mut Rig, source: SocketAddr, payload: &[u8]) {
    let now = rig.now;
    rig.engine.receive(now, Datagram { protocol: Protocol::Udp, source, destination: receiver_address(), payload });
    rig.drain();
}

#[test]
fn noise_from_strangers_is_counted_and_disturbs_nobody() {
    let mut rig = Rig::connected(Scenario::default());
    let mut noise = Noise(42);
    for number in 0..2_000_u16 {
        let stranger = SocketAddr::from(([192, 0, 2, 1], number));
        let datagram = noise.datagram();
        receive(&mut rig, stranger, &datagram);
    }
    assert_eq!(rig.engine.outbox().stats.datagrams_unknown, 2_000);
    let sent = publish(&mut rig, Codec::Vp8, 1, 60, 0);
    assert_eq!(rig.frames_of(Codec::Vp8).len(), sent.pictures.len());
}

#[test]
fn noise_under_the_publishers_address_does_not_end_its_session() {
    let mut rig = Rig::connected(Scenario::default());
    let mut noise = Noise(43);
    for _ in 0..2_000 {
        let datagram = noise.datagram();
        receive(&mut rig, publisher_address(), &datagram);
    }
    assert_eq!(rig.close_reason(), None);
    let sent = publish(&mut rig, Codec::Vp8, 1, 60, 0);
    assert_eq!(rig.frames_of(Codec::Vp8).len(), sent.pictures.len());
}

#[test]
fn noise_before_the_handshake_does_not_prevent_it() {
    let mut rig = Rig::new(Scenario::default());
    let mut noise = Noise(44);
    for _ in 0..500 {
        let datagram = noise.datagram();
        receive(&mut rig, publisher_address(), &datagram);
    }
    rig.run_for(Duration::from_secs(1));
    assert!(rig.is_connected);
}

#[test]
fn a_stun_request_with_a_wrong_password_gives_no_right_to_a_session() {
    let mut rig = Rig::new(Scenario::default());
    let ufrag = rig.answer.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).unwrap_or_default().to_owned();
    let stranger = SocketAddr::from(([192, 0, 2, 1], 9));
    let username = format!("{ufrag}:abcd");
    let mut request = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    request.extend([0, 6, 0, u8::try_from(username.len()).unwrap_or(0)]);
    request.extend(username.bytes());
    request.resize(request.len().next_multiple_of(4), 0);
    request[3] = u8::try_from(request.len() - 20).unwrap_or(0);
    receive(&mut rig, stranger, &request);
    receive(&mut rig, stranger, &[0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    assert_eq!(rig.engine.outbox().stats.datagrams_unknown, 2);
}

#[test]
fn damaged_datagrams_are_lost_ones_and_the_stream_goes_on() {
    let mut rig = Rig::connected(Scenario {
        weather: Weather { damage_percent: 10, ..Weather::rough(5, 0) },
        ..Scenario::default()
    });
    let sent = publish(&mut rig, Codec::Vp8, 6, 30, 0);
    assert_eq!(rig.close_reason(), None);
    let received = rig.frames_of(Codec::Vp8).len();
    assert!(received * 10 > sent.pictures.len() * 9, "{received} of {}", sent.pictures.len());
}

#[test]
fn the_end_of_one_session_leaves_the_others_alone() {
    let mut rig = Rig::connected(Scenario::default());
    let offer = include_str!("vectors/ffmpeg-8.1-whip.sdp");
    let now = rig.now;
    for id in 2..102 {
        let Ok((session, _, _)) = Session::answer(&settings(now), SessionId(id), offer, &wishes(true), now) else {
            unreachable!("the offer can be answered");
        };
        rig.engine.open(now, session);
    }
    assert_eq!(rig.engine.outbox().stats.sessions, 101);
    rig.engine.close(now, SessionId(2));
    let sent = publish(&mut rig, Codec::Vp8, 20, 60, 0);
    assert_eq!(rig.frames_of(Codec::Vp8).len(), sent.pictures.len());
    let timeouts = rig.items.iter().filter(|item| matches!(item, Item::Closed { reason: CloseReason::Timeout, .. }));
    assert_eq!(timeouts.count(), 99);
    assert_eq!(rig.engine.outbox().stats.sessions, 1);
}

#[test]
fn streams_nothing_but_their_payload_type_names_find_their_section() {
    let edit_offer = |offer: String| -> String {
        let kept = offer.lines().filter(|line| !line.starts_with("a=ssrc") && !line.contains("sdes:mid"));
        kept.flat_map(|line| [line, "\r\n"]).collect()
    };
    let mut rig = Rig::connected(Scenario { edit_offer, ..Scenario::default() });
    let sent = publish(&mut rig, Codec::Vp8, 2, 60, 0);
    assert_eq!(rig.frames_of(Codec::Vp8).len(), sent.pictures.len());
    assert_eq!(rig.frames_of(Codec::Opus).len(), sent.sounds.len());
}
