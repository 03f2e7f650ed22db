//! A session of the real engine whose media is not encrypted, so that any datagram reaches the parsers.
//!
//! An input is a list of datagrams: delay in ms (1 byte), source (1 byte), length (2 bytes), bytes. Time is virtual.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use soloist_core::{Clock, Codec, Datagram, Engine, Item, Session, SessionId, Settings, Wishes, crypto};
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::media::{Direction, MediaKind};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use crate::plain::unprotected;

pub const AUDIO_SSRC: u32 = 0x1001;
pub const VIDEO_SSRC: u32 = 0x2001;
pub const REPAIR_SSRC: u32 = 0x2002;
const SESSION: SessionId = SessionId(1);

pub fn receiver_address() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 3_478))
}

fn source(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 1, number], 5_000))
}

/// Return what all sessions of a target share.
pub fn settings(start: Instant) -> Settings {
    let (real, certificate) = crypto().expect("a certificate can be made");
    Settings {
        candidates: vec![receiver_address()],
        tcp_candidates: Vec::new(),
        certificate,
        crypto: Arc::new(unprotected(&real)),
        clock: Clock::new(start, 1_700_000_000_000_000_000),
        silence_timeout: Duration::from_secs(15),
    }
}

pub fn wishes() -> Wishes {
    Wishes { video_codecs: Codec::VIDEO.to_vec(), with_red: true }
}

/// An engine with one session.
pub struct Rig {
    pub engine: Engine,
    pub ufrag: String,
    now: Instant,
    /// Nothing was fed to it yet.
    is_new: bool,
}

impl Rig {
    /// A session that was answered and has heard nothing.
    pub fn answered(settings: &Settings, offer: &str, start: Instant) -> Self {
        let (session, _, _) =
            Session::answer(settings, SESSION, offer, &wishes(), start).expect("the offer can be answered");
        Self::around(session, start)
    }

    fn around(session: Session, now: Instant) -> Self {
        let ufrag = session.ufrag().to_owned();
        let mut engine = Engine::default();
        engine.open(now, session);
        Self { engine, ufrag, now, is_new: true }
    }

    /// Feed a list of datagrams; return a number for what they led to.
    pub fn feed(&mut self, input: &[u8]) -> u64 {
        let before = self.engine.outbox().stats;
        let mut hasher = DefaultHasher::new();
        for (delay_ms, number, payload) in datagrams(input) {
            self.now += Duration::from_millis(u64::from(delay_ms));
            self.receive(number & 3, payload);
            self.settle(&mut hasher);
        }
        // What a session begins with is held for 40 ms.
        self.now += Duration::from_millis(if std::mem::take(&mut self.is_new) { 45 } else { 5 });
        self.settle(&mut hasher);
        let after = self.engine.outbox().stats;
        (after.packets_lost > before.packets_lost).hash(&mut hasher);
        (after.packets_recovered - before.packets_recovered).min(2).hash(&mut hasher);
        (after.plis_sent - before.plis_sent).min(2).hash(&mut hasher);
        (after.datagrams_unknown - before.datagrams_unknown).min(2).hash(&mut hasher);
        hasher.finish()
    }

    pub fn has_ended(&mut self) -> bool {
        self.engine.deadline().is_none()
    }

    fn receive(&mut self, number: u8, payload: &[u8]) {
        let (source, destination) = (source(number), receiver_address());
        self.engine.receive(self.now, Datagram { protocol: Protocol::Udp, source, destination, payload });
    }

    /// Let what is due happen, and note what comes out.
    fn settle(&mut self, hasher: &mut DefaultHasher) {
        if self.engine.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.engine.tick(self.now);
        }
        let outbox = self.engine.outbox();
        for transmit in outbox.transmits.drain(..) {
            (transmit.contents.len() / 32, transmit.contents.first().map(|byte| byte / 16)).hash(hasher);
        }
        for (_, item) in outbox.items.drain(..) {
            describe(&item, hasher);
        }
    }
}

/// The one who connects to a rig.
pub struct Publisher {
    rtc: Rtc,
    pub offer: String,
    pending: Option<SdpPendingOffer>,
    deadline: Instant,
    is_connected: bool,
    /// What it sent while it connected.
    pub sent: Vec<Vec<u8>>,
}

impl Publisher {
    pub fn new(settings: &Settings, start: Instant) -> Self {
        let config = RtcConfig::new()
            .enable_opus(true, true)
            .set_crypto_provider(settings.crypto.clone())
            .set_dtls_cert(settings.certificate.clone());
        let mut rtc = config.build(start);
        rtc.add_local_candidate(Candidate::host(source(0), "udp").expect("a host candidate"));
        let mut changes = rtc.sdp_api();
        let audio = changes.add_media(MediaKind::Audio, Direction::SendOnly, None, None, None);
        let video = changes.add_media(MediaKind::Video, Direction::SendOnly, None, None, None);
        if audio.to_string().eq_ignore_ascii_case(&video.to_string()) {
            // Its random names met; the receiver rightly refuses that.
            drop(changes);
            return Self::new(settings, start);
        }
        let (offer, pending) = changes.apply().expect("there are changes");
        let offer = with_known_streams(&offer.to_sdp_string());
        Self { rtc, offer, pending: Some(pending), deadline: start, is_connected: false, sent: Vec::new() }
    }

    /// Connect; return the rig in which media can flow.
    pub fn connect(&mut self, settings: &Settings, start: Instant) -> Rig {
        let (session, answer, _) =
            Session::answer(settings, SESSION, &self.offer, &wishes(), start).expect("the offer can be answered");
        let answer = SdpAnswer::from_sdp_string(&answer).expect("the answer is SDP");
        let pending = self.pending.take().expect("a publisher connects once");
        self.rtc.sdp_api().accept_answer(pending, answer).expect("the answer fits the offer");
        self.rtc.handle_input(Input::Timeout(start)).expect("a timeout is no fault");
        let mut rig = Rig::around(session, start);
        for _ in 0..2_000 {
            self.exchange(&mut rig);
            if self.is_connected {
                self.exchange(&mut rig);
                return rig;
            }
            rig.now += Duration::from_millis(1);
        }
        unreachable!("two peers on a perfect network connect within two seconds");
    }

    fn exchange(&mut self, rig: &mut Rig) {
        if rig.now >= self.deadline {
            self.rtc.handle_input(Input::Timeout(rig.now)).expect("a timeout is no fault");
        }
        loop {
            match self.rtc.poll_output().expect("the publisher works") {
                Output::Timeout(deadline) => {
                    self.deadline = deadline;
                    break;
                }
                Output::Transmit(transmit) => {
                    let payload: Vec<u8> = transmit.contents.into();
                    rig.receive(0, &payload);
                    self.sent.push(payload);
                }
                Output::Event(Event::Connected) => self.is_connected = true,
                Output::Event(_) => {}
            }
        }
        rig.engine.tick(rig.now);
        let outbox = rig.engine.outbox();
        outbox.items.clear();
        let sent: Vec<Vec<u8>> = outbox.transmits.drain(..).map(|transmit| transmit.contents.into()).collect();
        for datagram in sent {
            let receive = Receive::new(Protocol::Udp, receiver_address(), source(0), &datagram);
            let receive = receive.expect("the core sends well-formed datagrams");
            self.rtc.handle_input(Input::Receive(rig.now, receive)).expect("the publisher takes them");
        }
    }
}

/// Iterate over (delay, source, bytes) of an input; a length beyond its end takes what is there.
pub fn datagrams(mut input: &[u8]) -> impl Iterator<Item = (u8, u8, &[u8])> {
    std::iter::from_fn(move || {
        let [delay, source, high, low, rest @ ..] = input else {
            return None;
        };
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (payload, after) = rest.split_at(length);
        input = after;
        Some((*delay, *source, payload))
    })
}

/// Pack datagrams into an input, 1 ms apart and all from the publisher.
pub fn packed(datagrams: &[Vec<u8>]) -> Vec<u8> {
    let mut input = Vec::new();
    for datagram in datagrams {
        input.extend([1, 0]);
        input.extend(u16::try_from(datagram.len()).unwrap_or(u16::MAX).to_be_bytes());
        input.extend(datagram);
    }
    input
}

fn describe(item: &Item, hasher: &mut DefaultHasher) {
    match item {
        Item::Frame(frame) => {
            let size = frame.data.len().checked_ilog2();
            (frame.codec.name(), frame.is_keyframe, frame.follows_gap, size, frame.width > 0).hash(hasher);
        }
        Item::SenderReport(_) => "report".hash(hasher),
        Item::Connected { .. } => "connected".hash(hasher),
        Item::Closed { reason, .. } => reason.name().hash(hasher),
        Item::Overflow { .. } => "overflow".hash(hasher),
    }
}

/// Replace the random SSRCs of an offer by ours, so that a corpus can name them.
fn with_known_streams(offer: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut kind = "";
    for line in offer.lines().chain(["m=end"]) {
        if line.starts_with("m=") {
            match kind {
                "audio" => lines.push(format!("a=ssrc:{AUDIO_SSRC} cname:x")),
                "video" => lines.extend([
                    format!("a=ssrc:{VIDEO_SSRC} cname:x"),
                    format!("a=ssrc:{REPAIR_SSRC} cname:x"),
                    format!("a=ssrc-group:FID {VIDEO_SSRC} {REPAIR_SSRC}"),
                ]),
                _ => {}
            }
            kind = if line.starts_with("m=audio") { "audio" } else { "video" };
        }
        if !line.starts_with("a=ssrc") && line != "m=end" {
            lines.push(line.to_owned());
        }
    }
    lines.join("\r\n") + "\r\n"
}
