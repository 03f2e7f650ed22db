//! A publisher and the receive core in one process: an unreliable network, virtual time, no socket and no sleep.
//!
//! Everything random comes from one seed, so a failing case repeats. Time stands still until `Rig::run_for` moves it from
//! event to event.
#![allow(dead_code, reason = "each scenario file uses the part it needs")]
#![allow(clippy::expect_used, clippy::missing_panics_doc, reason = "a test fails by panicking")]
#![allow(clippy::needless_pass_by_value, reason = "a scenario is written in place and used once")]

pub mod media;
pub mod network;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use soloist_core::item::Frame;
use soloist_core::{
    Clock, CloseReason, Codec, Datagram, Engine, Item, OfferError, SenderReport, Session, SessionId, Settings, Track,
    Wishes, crypto,
};
use str0m::change::SdpAnswer;
use str0m::format::PayloadParams;
use str0m::media::{Direction, KeyframeRequest, MediaKind, MediaTime, Mid, Rid, Simulcast, SimulcastLayer};
use str0m::net::{Protocol, Receive, TcpType};
use str0m::rtp::RawPacket;
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use network::{Network, Towards, Weather};

pub const UNIX_START_NS: i64 = 1_700_000_000_000_000_000;
pub const SESSION: SessionId = SessionId(1);
pub const SILENCE: Duration = Duration::from_secs(15);

/// What the publisher offers and how the network behaves.
pub struct Scenario {
    pub config: RtcConfig,
    pub codec: Codec,
    pub rids: Vec<&'static str>,
    pub with_red: bool,
    pub weather: Weather,
    pub protocol: Protocol,
    /// Changes the offer's text before it is answered.
    pub edit_offer: fn(String) -> String,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            config: RtcConfig::new(),
            codec: Codec::Vp8,
            rids: Vec::new(),
            with_red: true,
            weather: Weather::fair(),
            protocol: Protocol::Udp,
            edit_offer: |offer| offer,
        }
    }
}

/// What somebody else sends under the publisher's address around each of its datagrams: before it, and after it.
pub type Forger = Box<dyn FnMut(&[u8]) -> [Vec<Vec<u8>>; 2]>;

/// One publisher's connection to one engine.
pub struct Rig {
    pub start: Instant,
    pub now: Instant,
    pub engine: Engine,
    pub publisher: Rtc,
    pub network: Network,
    pub forger: Option<Forger>,
    pub tracks: Vec<Track>,
    pub answer: String,
    pub items: Vec<Item>,
    pub keyframe_requests: Vec<(Instant, KeyframeRequest)>,
    /// What the publisher sent and heard, if it is configured to tell.
    pub raw_packets: Vec<RawPacket>,
    /// Transactions of the checks that the core answered.
    pub answered: Vec<Vec<u8>>,
    pub publisher_heard_goodbye: bool,
    pub is_connected: bool,
    audio: Mid,
    video: Mid,
    publisher_deadline: Instant,
    protocol: Protocol,
}

pub fn receiver_address() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 3_478))
}

pub fn publisher_address() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 2], 5_000))
}

pub fn settings(start: Instant) -> Settings {
    let (crypto, certificate) = crypto().expect("a certificate can be made");
    Settings {
        candidates: vec![receiver_address()],
        tcp_candidates: vec![receiver_address()],
        certificate,
        crypto,
        clock: Clock::new(start, UNIX_START_NS),
        silence_timeout: SILENCE,
    }
}

pub fn wishes(with_red: bool) -> Wishes {
    Wishes { video_codecs: Codec::VIDEO.to_vec(), with_red }
}

pub fn answer(offer: &str) -> Result<(Session, String, Vec<Track>), OfferError> {
    let now = Instant::now();
    Session::answer(&settings(now), SESSION, offer, &wishes(true), now)
}

impl Rig {
    /// Let somebody else have a session of the same engine; return a check by which its publisher asks for it.
    pub fn neighbours_check(&mut self, id: SessionId) -> Vec<u8> {
        let mut other = publisher_of(&Scenario::default(), self.now);
        let mut changes = other.sdp_api();
        changes.add_media(MediaKind::Audio, Direction::SendOnly, None, None, None);
        let (offer, pending) = changes.apply().expect("there are changes");
        let (session, answer, _) =
            Session::answer(&settings(self.now), id, &offer.to_sdp_string(), &wishes(true), self.now)
                .expect("the offer can be answered");
        self.engine.open(self.now, session);
        let answer = SdpAnswer::from_sdp_string(&answer).expect("the answer is SDP");
        other.sdp_api().accept_answer(pending, answer).expect("the answer fits the offer");
        for ms in (0..1_000).step_by(20) {
            let now = self.now + Duration::from_millis(ms);
            other.handle_input(Input::Timeout(now)).expect("a timeout is no fault");
            while let Ok(output) = other.poll_output() {
                match output {
                    Output::Transmit(transmit) => return transmit.contents.into(),
                    Output::Timeout(_) => break,
                    Output::Event(_) => {}
                }
            }
        }
        unreachable!("a publisher begins with a check");
    }

    /// Exchange offer and answer; nothing is sent yet.
    pub fn new(scenario: Scenario) -> Self {
        let start = Instant::now();
        let mut publisher = publisher_of(&scenario, start);
        let mut changes = publisher.sdp_api();
        let audio = changes.add_media(MediaKind::Audio, Direction::SendOnly, None, None, None);
        let video = changes.add_media(MediaKind::Video, Direction::SendOnly, None, None, simulcast(&scenario.rids));
        let (offer, pending) = changes.apply().expect("there are changes");
        let offer = (scenario.edit_offer)(offer.to_sdp_string());
        let (session, answer, tracks) =
            Session::answer(&settings(start), SESSION, &offer, &wishes(scenario.with_red), start)
                .expect("the offer can be answered");
        let for_publisher = SdpAnswer::from_sdp_string(&answer).expect("the answer is SDP");
        publisher.sdp_api().accept_answer(pending, for_publisher).expect("the answer fits the offer");
        resend_without_limit(&mut publisher, video, &scenario.rids);
        let mut engine = Engine::default();
        engine.open(start, session);
        let mut rig = Self {
            start,
            now: start,
            engine,
            publisher,
            network: Network::new(scenario.weather),
            forger: None,
            tracks,
            answer,
            items: Vec::new(),
            keyframe_requests: Vec::new(),
            raw_packets: Vec::new(),
            answered: Vec::new(),
            publisher_heard_goodbye: false,
            is_connected: false,
            audio,
            video,
            publisher_deadline: start,
            protocol: scenario.protocol,
        };
        rig.publisher.handle_input(Input::Timeout(start)).expect("a timeout is no fault");
        rig.drain();
        rig
    }

    /// A rig in which media can flow.
    pub fn connected(scenario: Scenario) -> Self {
        // Else one in 270 publishers of VP9 begins just before its picture numbers wrap, which is a test of its own.
        fastrand::seed(1);
        let mut rig = Self::new(scenario);
        rig.run_for(Duration::from_secs(1));
        assert!(rig.is_connected, "not connected within a second");
        rig
    }

    /// Let time pass from event to event.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let due = [self.engine.deadline(), Some(self.publisher_deadline), self.network.deadline()];
            let Some(next) = due.into_iter().flatten().min().filter(|next| *next < end) else {
                break;
            };
            self.now = self.now.max(next);
            self.turn();
        }
        self.now = end;
        self.turn();
    }

    fn turn(&mut self) {
        while let Some((towards, datagram)) = self.network.arrived(self.now) {
            match towards {
                Towards::Receiver => {
                    let [before, after] = self.forger.as_mut().map_or_else(Default::default, |forge| forge(&datagram));
                    for payload in before.iter().chain([&datagram]).chain(&after) {
                        self.reach_receiver(payload);
                    }
                }
                Towards::Publisher => self.reach_publisher(&datagram),
            }
            self.drain();
        }
        self.engine.tick(self.now);
        if self.now >= self.publisher_deadline {
            self.publisher.handle_input(Input::Timeout(self.now)).expect("a timeout is no fault");
        }
        self.drain();
    }

    /// Let a datagram come from the publisher's address; tell whether it belongs to a session.
    pub fn reach_receiver(&mut self, payload: &[u8]) -> bool {
        let (source, destination) = (publisher_address(), receiver_address());
        let datagram = Datagram { protocol: self.protocol, source, destination, payload };
        self.engine.receive(self.now, datagram)
    }

    fn reach_publisher(&mut self, datagram: &[u8]) {
        let receive = Receive::new(self.protocol, receiver_address(), publisher_address(), datagram);
        let receive = receive.expect("the core sends well-formed datagrams");
        // A publisher that closed may refuse late datagrams.
        let _ = self.publisher.handle_input(Input::Receive(self.now, receive));
    }

    /// Take what both sides have to say.
    pub fn drain(&mut self) {
        loop {
            match self.publisher.poll_output() {
                Ok(Output::Timeout(deadline)) => {
                    self.publisher_deadline = deadline.max(self.now + Duration::from_millis(1));
                    break;
                }
                Ok(Output::Transmit(transmit)) => {
                    self.network.send(self.now, Towards::Receiver, transmit.contents.into());
                }
                Ok(Output::Event(Event::Connected)) => self.is_connected = true,
                Ok(Output::Event(Event::Closed)) => self.publisher_heard_goodbye = true,
                Ok(Output::Event(Event::KeyframeRequest(request))) => self.keyframe_requests.push((self.now, request)),
                Ok(Output::Event(Event::RawPacket(packet))) => self.raw_packets.push(*packet),
                Ok(Output::Event(_)) => {}
                Err(_) => {
                    self.publisher_deadline = self.now + Duration::from_secs(3_600);
                    break;
                }
            }
        }
        let outbox = self.engine.outbox();
        for transmit in outbox.transmits.drain(..) {
            if transmit.contents.starts_with(&[1, 1]) {
                self.answered.push(transmit.contents[8..20].to_vec());
            }
            self.network.send(self.now, Towards::Publisher, transmit.contents.into());
        }
        self.items.extend(outbox.items.drain(..).map(|(_, item)| item));
    }

    /// Send one audio packet stamped `ticks`.
    pub fn send_audio(&mut self, ticks: u64, data: &[u8]) {
        self.write(self.audio, Codec::Opus, None, ticks, data);
    }

    /// Send one picture stamped `ticks`.
    pub fn send_video(&mut self, codec: Codec, rid: Option<&str>, ticks: u64, data: &[u8]) {
        self.write(self.video, codec, rid, ticks, data);
    }

    fn write(&mut self, mid: Mid, codec: Codec, rid: Option<&str>, ticks: u64, data: &[u8]) {
        let writer = self.publisher.writer(mid).expect("the section is sending");
        let pt = writer.payload_params().find(|params| params.spec().codec == rtc_codec(codec)).map(PayloadParams::pt);
        let pt = pt.expect("the codec was negotiated");
        let writer = match rid {
            Some(rid) => writer.rid(Rid::from(rid)),
            None => writer,
        };
        let rate = if codec == Codec::Opus {
            MediaTime::new(ticks, str0m::media::Frequency::FORTY_EIGHT_KHZ)
        } else {
            MediaTime::from_90khz(ticks)
        };
        writer.write(pt, self.now, rate, Arc::<[u8]>::from(data)).expect("media is taken");
        self.publisher.handle_input(Input::Timeout(self.now)).expect("a timeout is no fault");
        self.drain();
    }

    /// Let the publisher restart ICE, as a WHIP PATCH would carry it.
    pub fn restart_ice(&mut self) {
        let mut changes = self.publisher.sdp_api();
        changes.ice_restart(true);
        let (offer, pending) = changes.apply().expect("a restart is a change");
        let offer = offer.to_sdp_string();
        let value = |name: &str| offer.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
        let (ufrag, password) = (value("a=ice-ufrag:"), value("a=ice-pwd:"));
        let fragment = self.engine.restart_ice(self.now, SESSION, &ufrag, &password).expect("the session lives");
        let answer = with_fragment(&self.answer, &fragment);
        let answer = SdpAnswer::from_sdp_string(&answer).expect("the answer is SDP");
        self.publisher.sdp_api().accept_answer(pending, answer).expect("the answer fits the offer");
        self.drain();
    }

    pub fn frames(&self) -> impl Iterator<Item = &Frame> {
        self.items.iter().filter_map(|item| match item {
            Item::Frame(frame) => Some(frame),
            _ => None,
        })
    }

    pub fn frames_of(&self, codec: Codec) -> Vec<&Frame> {
        self.frames().filter(|frame| frame.codec == codec).collect()
    }

    pub fn sender_reports(&self) -> Vec<&SenderReport> {
        let reports = self.items.iter().filter_map(|item| match item {
            Item::SenderReport(report) => Some(report),
            _ => None,
        });
        reports.collect()
    }

    pub fn close_reason(&self) -> Option<CloseReason> {
        self.items.iter().find_map(|item| match item {
            Item::Closed { reason, .. } => Some(*reason),
            _ => None,
        })
    }

    pub fn video_mid(&self) -> String {
        self.video.to_string()
    }
}

/// Put the ICE credentials and candidates of a fragment in place of an answer's.
fn with_fragment(answer: &str, fragment: &str) -> String {
    let of_fragment = |name: &'static str| fragment.lines().filter(move |line| line.starts_with(name));
    let mut text = String::new();
    for line in answer.lines() {
        let name = ["a=ice-ufrag:", "a=ice-pwd:"].into_iter().find(|name| line.starts_with(name));
        let line = name.and_then(|name| of_fragment(name).next()).unwrap_or(line);
        if line.starts_with("a=candidate:") {
            continue;
        }
        text.extend([line, "\r\n"]);
        if line.starts_with("c=") && !text.contains("a=candidate:") {
            for candidate in of_fragment("a=candidate:") {
                text.extend([candidate, "\r\n"]);
            }
        }
    }
    text
}

/// str0m as sender resends at most 15 % of its bytes, which would make it the weak point of a lossy scenario.
fn resend_without_limit(publisher: &mut Rtc, video: Mid, rids: &[&str]) {
    let layers = rids.iter().map(|rid| Some(Rid::from(*rid))).chain(rids.is_empty().then_some(None));
    for rid in layers {
        if let Some(stream) = publisher.direct_api().stream_tx_by_mid(video, rid) {
            stream.set_rtx_cache(2_000, Duration::from_secs(3), None);
        }
    }
}

fn publisher_of(scenario: &Scenario, start: Instant) -> Rtc {
    let mut config = scenario.config.clone().clear_codecs().enable_opus(true, scenario.with_red);
    config = match scenario.codec {
        Codec::H264 => config.enable_h264(true),
        Codec::Vp9 => config.enable_vp9(true),
        Codec::Av1 => config.enable_av1(true),
        _ => config.enable_vp8(true),
    };
    let mut publisher = config.build(start);
    let candidate = match scenario.protocol {
        Protocol::Tcp => Candidate::builder().tcp().host(publisher_address()).tcptype(TcpType::Active).build(),
        _ => Candidate::host(publisher_address(), "udp"),
    };
    publisher.add_local_candidate(candidate.expect("a host candidate"));
    publisher
}

fn simulcast(rids: &[&str]) -> Option<Simulcast> {
    if rids.is_empty() {
        return None;
    }
    let mut simulcast = Simulcast::new();
    for rid in rids {
        simulcast.add_send_layer(SimulcastLayer::new(rid));
    }
    Some(simulcast)
}

const fn rtc_codec(codec: Codec) -> str0m::format::Codec {
    match codec {
        Codec::H264 => str0m::format::Codec::H264,
        Codec::Vp8 => str0m::format::Codec::Vp8,
        Codec::Vp9 => str0m::format::Codec::Vp9,
        Codec::Av1 => str0m::format::Codec::Av1,
        Codec::Opus => str0m::format::Codec::Opus,
    }
}
