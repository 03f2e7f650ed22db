//! Fuzzing: arbitrary bytes from the network never panic, never hang and never grow memory (rule R24).
//!
//! Each target is a plain `fn(&[u8]) -> u64`; the number tells behaviours apart and steers the mutations. The short runs
//! below belong to the unit tier; `make fuzz` runs the same targets for millions of inputs. What each covers, and what was
//! found, is in docs/fuzzing.md.
#![allow(clippy::expect_used, clippy::missing_panics_doc, reason = "a test fails by panicking")]

mod driver;
mod plain;
mod rig;
mod seeds;

use std::cell::{Cell, RefCell};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use driver::{Target, drive};
use rig::{Publisher, Rig, datagrams, packed, settings, wishes};
use soloist_core::layer::{Keyframe, Layer, TickAxis};
use soloist_core::{Codec, Session, SessionId, Settings, picture};

/// A used session is replaced after so many inputs, so that a finding depends on few of them.
const INPUTS_PER_SESSION: u32 = 1_000;

/// A session and how many inputs it has taken.
type Held = RefCell<Option<(Rig, u32)>>;

thread_local! {
    static SETTINGS: Settings = settings(Instant::now());
    static OFFER: String = SETTINGS.with(|settings| Publisher::new(settings, Instant::now()).offer);
    static ANSWERED: Held = const { RefCell::new(None) };
    static CONNECTED: Held = const { RefCell::new(None) };
    static SEQUENCE: Cell<u16> = const { Cell::new(0) };
    static REPORTS: Cell<u32> = const { Cell::new(0) };
}

/// The SDP a stranger posts.
fn offer(data: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(data);
    SETTINGS.with(|settings| {
        let mut hasher = DefaultHasher::new();
        match Session::answer(settings, SessionId(1), &text, &wishes(), Instant::now()) {
            Ok((_, answer, tracks)) => {
                assert!(answer.starts_with("v=0\r\n"), "an answer that is no SDP");
                assert!(answer.len() < 64 * 1_024, "an answer of {} bytes", answer.len());
                (tracks.len(), answer.matches("a=rtpmap").count(), answer.matches("a=rid").count()).hash(&mut hasher);
                for track in tracks {
                    (track.kind.name(), track.codecs.len(), track.rids.len()).hash(&mut hasher);
                }
            }
            Err(error) => {
                let words = error.to_string();
                assert!(words.len() < 64 * 1_024, "an error of {} bytes", words.len());
                words.chars().filter(char::is_ascii_lowercase).take(48).for_each(|c| c.hash(&mut hasher));
            }
        }
        hasher.finish()
    })
}

/// STUN and anything else before a session is connected, integrity codes all valid.
fn stun(data: &[u8]) -> u64 {
    ANSWERED.with(|held| {
        with_held(held, answered, |rig| {
            let ufrag = rig.ufrag.clone();
            rig.feed(&edited(data, |payload| replaced(payload, seeds::UFRAG, ufrag.as_bytes())))
        })
    })
}

/// DTLS records after a valid binding request: OpenSSL's handshake on hostile flights.
fn dtls(data: &[u8]) -> u64 {
    let mut rig = answered();
    let ufrag = rig.ufrag.clone();
    let request = seeds::stun_seeds().swap_remove(0);
    rig.feed(&edited(&request, |payload| replaced(payload, seeds::UFRAG, ufrag.as_bytes())));
    rig.feed(data)
}

/// RTP of a connected publisher that reaches the depacketizers whatever it holds.
fn rtp(data: &[u8]) -> u64 {
    with_connected(|rig| rig.feed(&edited(data, |payload| [payload, &[0; plain::TAG_BYTES]].concat())))
}

/// Redundant sound (RFC 2198): packets of one stream in order, some left out. Each part of an input is how many numbers
/// are skipped (1 byte), a length (1 byte), and the payload: block headers and blocks, or what looks like them.
fn red(data: &[u8]) -> u64 {
    let (mut rest, mut packets) = (data, Vec::new());
    while let [skipped, length, payload @ ..] = rest {
        let (payload, after) = payload.split_at(usize::from(*length).min(payload.len()));
        rest = after;
        let sequence = SEQUENCE.get().wrapping_add(1 + u16::from(skipped & 0x0f));
        SEQUENCE.set(sequence);
        packets.push(seeds::red_packet(sequence, payload));
    }
    with_connected(|rig| {
        let sent = packed(&packets);
        rig.feed(&edited(&sent, |payload| [payload, &[0; plain::TAG_BYTES]].concat()))
    })
}

/// RTCP of a connected publisher, decrypted whatever it holds. Each packet has an index of its own, or it would be taken
/// for a repetition.
fn rtcp(data: &[u8]) -> u64 {
    with_connected(|rig| {
        rig.feed(&edited(data, |payload| {
            REPORTS.set(REPORTS.get() + 1);
            [payload, &[0; plain::TAG_BYTES], &(1_u32 << 31 | REPORTS.get()).to_be_bytes()].concat()
        }))
    })
}

/// A keyframe as the depacketizers leave it: its size, and its parameter sets.
fn pictures(data: &[u8]) -> u64 {
    let Some((which, body)) = data.split_first() else {
        return 0;
    };
    let codecs = [Codec::H264, Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::Opus];
    let codec = codecs[usize::from(*which) % codecs.len()];
    let mut hasher = DefaultHasher::new();
    let size = picture::size_of_keyframe(codec, body);
    size.map(|size| (size.width.checked_ilog2(), size.height.checked_ilog2())).hash(&mut hasher);
    picture::h264::nal_units(body).count().min(6).hash(&mut hasher);
    let mut layer = Layer::default();
    layer.keep_parameter_sets(&[body.get(..24).unwrap_or(body).to_vec()]);
    for _ in 0..2 {
        if let Keyframe::Picture { data, .. } = layer.inspect_keyframe(codec, body.into()) {
            assert!(data.len() <= body.len() + 2 * 1_032, "a keyframe grew by more than its parameter sets");
            (data.len() - body.len()).hash(&mut hasher);
        }
    }
    let mut axis = TickAxis::default();
    for ticks in body.chunks_exact(4) {
        let ticks = u32::from_be_bytes([ticks[0], ticks[1], ticks[2], ticks[3]]);
        let placed = axis.advance(ticks);
        assert_eq!(placed.rem_euclid(1 << 32), i64::from(ticks), "a time stamp was changed");
    }
    hasher.finish()
}

fn answered() -> Rig {
    SETTINGS.with(|settings| OFFER.with(|offer| Rig::answered(settings, offer, Instant::now())))
}

fn connected() -> (Rig, Vec<Vec<u8>>) {
    SETTINGS.with(|settings| {
        let now = Instant::now();
        let mut publisher = Publisher::new(settings, now);
        (publisher.connect(settings, now), publisher.sent)
    })
}

fn with_connected(work: impl FnOnce(&mut Rig) -> u64) -> u64 {
    CONNECTED.with(|held| with_held(held, || connected().0, work))
}

/// Run `work` on a kept session, which is replaced when it has ended or served long enough.
fn with_held(held: &Held, new: impl FnOnce() -> Rig, work: impl FnOnce(&mut Rig) -> u64) -> u64 {
    let mut held = held.borrow_mut();
    if held.as_mut().is_none_or(|(rig, inputs)| rig.has_ended() || *inputs >= INPUTS_PER_SESSION) {
        *held = Some((new(), 0));
    }
    held.as_mut().map_or(0, |(rig, inputs)| {
        *inputs += 1;
        work(rig)
    })
}

/// Return an input with every datagram changed by `edit`.
fn edited(data: &[u8], edit: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut whole = Vec::new();
    for (delay, source, payload) in datagrams(data) {
        let one = packed(&[edit(payload)]);
        whole.extend([delay, source]);
        whole.extend(&one[2..]);
    }
    whole
}

fn replaced(payload: &[u8], what: &[u8], by: &[u8]) -> Vec<u8> {
    let Some(at) = payload.windows(what.len()).position(|window| window == what) else {
        return payload.to_vec();
    };
    let mut by = by.to_vec();
    by.resize(what.len(), b':');
    [&payload[..at], &by, &payload[at + what.len()..]].concat()
}

/// What a publisher sends to connect, recorded anew in every run because its keys are.
fn dtls_seeds() -> Vec<Vec<u8>> {
    let flights: Vec<Vec<u8>> = connected().1.into_iter().filter(|payload| payload[0] >= 20).collect();
    let mut all: Vec<Vec<u8>> = flights.iter().map(|flight| packed(std::slice::from_ref(flight))).collect();
    all.push(packed(&flights));
    all
}

#[test]
fn no_offer_makes_the_core_panic() {
    drive(&Target {
        name: "offer",
        run: offer,
        seeds: Vec::new(),
        words: &[
            b"a=sendonly\r\n",
            b"a=recvonly\r\n",
            b"m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\n",
            b"m=audio 0 RTP/SAVPF 111\r\n",
            b"a=rid:h send\r\n",
            b"a=simulcast:send h;m;l\r\n",
            b"a=mid:0\r\n",
            b"a=bundle-only\r\n",
            b"a=rtcp-mux\r\n",
            b"a=ssrc-group:SIM 1 2 3\r\n",
            b"a=ssrc-group:FID 1 2\r\n",
            b"a=ssrc:4294967295 cname:x\r\n",
            b"a=group:BUNDLE 0 1\r\n",
            b"a=fmtp:96 sprop-parameter-sets=Z0LADdkB,aMuDyyA=\r\n",
            b"a=rtpmap:96 H264/90000\r\n",
            b"a=rtpmap:111 opus/48000/2\r\n",
            b"a=setup:active\r\n",
            b"a=extmap:14 urn:ietf:params:rtp-hdrext:sdes:mid\r\n",
            b"a=rtcp-fb:* nack pli\r\n",
            b"a=fingerprint:sha-256 ",
            b"a=ice-ufrag:",
            b"a=ice-pwd:",
            b"\r\n",
            b"v=0\r\n",
            b"65536",
            b"-1",
            b"\xf0\x9f\x8e\xa5",
        ],
        short: 4_000,
        long: 1_000_000,
    });
}

#[test]
fn no_stun_makes_the_core_panic() {
    drive(&Target {
        name: "stun",
        run: stun,
        seeds: seeds::stun_seeds(),
        words: &[
            seeds::UFRAG,
            &[0, 8, 0, 20],
            &[0x80, 0x28, 0, 4],
            &[0, 0x25, 0, 0],
            &[0, 6],
            &[0x21, 0x12, 0xa4, 0x42],
        ],
        short: 3_000,
        long: 1_500_000,
    });
}

#[test]
fn no_dtls_makes_the_core_panic() {
    drive(&Target {
        name: "dtls",
        run: dtls,
        seeds: dtls_seeds(),
        words: &[
            &[22, 0xfe, 0xfd],
            &[21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40],
            &[20, 0xfe, 0xfd],
            &[0, 14],
        ],
        short: 300,
        long: 40_000,
    });
}

#[test]
fn no_rtp_makes_the_core_panic() {
    drive(&Target {
        name: "rtp",
        run: rtp,
        seeds: seeds::rtp_seeds(),
        words: &[
            &[0xbe, 0xde],
            &[0x7c, 0x85],
            &[0x78],
            &[0, 0, 0x20, 1],
            &[0, 0, 0x10, 1],
            &[0x90, 0x80],
            &[0x9d, 0x01, 0x2a],
        ],
        short: 6_000,
        long: 3_000_000,
    });
}

#[test]
fn redundant_sound_reaches_what_repairs_losses() {
    for seed in seeds::red_seeds() {
        red(&seed);
    }
    let stats = with_connected(|rig| rig.engine.outbox().stats.packets_recovered);
    assert!(stats >= 3, "{stats} packets recovered");
}

#[test]
fn no_redundant_sound_makes_the_core_panic() {
    drive(&Target {
        name: "red",
        run: red,
        seeds: seeds::red_seeds(),
        words: &[
            &[0x80 | seeds::OPUS, 0x0f, 0x00, 0x04],
            &[0x80 | seeds::OPUS, 0x1e, 0x00, 0x04],
            &[seeds::OPUS, 0xfc],
            &[0xff, 0xff, 0xff, 0xff],
            &[0x80 | seeds::OPUS, 0, 0, 0],
            &[8, 0],
        ],
        short: 6_000,
        long: 2_000_000,
    });
}

#[test]
fn no_rtcp_makes_the_core_panic() {
    drive(&Target {
        name: "rtcp",
        run: rtcp,
        seeds: seeds::rtcp_seeds(),
        words: &[&[0x80, 200, 0, 6], &[0x81, 203, 0, 1], &[0x8f, 205], &[0x8f, 206], &[0, 0, 0x20, 1], b"REMB"],
        short: 6_000,
        long: 2_000_000,
    });
}

#[test]
fn no_picture_makes_the_core_panic() {
    drive(&Target {
        name: "pictures",
        run: pictures,
        seeds: seeds::picture_seeds(),
        words: &[
            &[0, 0, 0, 1],
            &[0, 0, 1],
            &[0, 0, 3],
            &[0x67],
            &[0x68],
            &[0x0a, 0x0b],
            &[0x9d, 0x01, 0x2a],
            &[0x49, 0x83, 0x42],
        ],
        short: 20_000,
        long: 2_000_000,
    });
}
