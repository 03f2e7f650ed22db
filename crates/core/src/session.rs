//! One publisher's session: its str0m machine, its layers, its keyframe requests and its silence limit.
//!
//! States in order: New (answered, nothing heard), Connected (ICE and DTLS done), Closed (nothing follows). Only `drain` and
//! `close` move them. After every mutation of the machine its output is drained to the next deadline, except after packets of
//! media: those that were read together are drained together, at the end of the turn.

mod receiving;

use std::collections::HashMap;
use std::time::{Duration, Instant};
use str0m::error::RtcError;
use str0m::media::{KeyframeRequestKind, MediaData, Rid, SenderFeedback};
use str0m::rtp::RawPacket;
use str0m::stats::MediaIngressStats;
use str0m::{Event, Input, Output, Rtc};

use crate::beginning::Beginning;
use crate::checks::Checks;
use crate::clock::{Clock, low_32_bits, unix_ns};
use crate::codec::{Codec, Kind};
use crate::error::OfferError;
use crate::intake::Intake;
use crate::item::{CloseReason, Frame, Item, LayerName, SenderReport, SessionId, Track};
use crate::keyframes::KeyframePolicy;
use crate::layer::{EarlyReport, Keyframe, Layer};
use crate::losses::{LossWatch, Settled};
use crate::machine::{self, LayerKey, MediaTable, Settings, Wishes};
use crate::offer::{Offer, Preference, check_credentials, ice_fragment};
use crate::outbox::Outbox;
use crate::roles::{Role, roles};
use crate::routing::Routing;
use crate::transport_sequence::TransportSequence;
use crate::undrained::Undrained;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    New,
    Connected,
    Closed,
}

/// One publisher.
pub struct Session {
    id: SessionId,
    ufrag: String,
    rtc: Rtc,
    offer: Offer,
    clock: Clock,
    phase: Phase,
    pub(crate) media: MediaTable,
    layers: HashMap<LayerKey, Layer>,
    keyframes: KeyframePolicy<LayerKey>,
    intake: Intake,
    checks: Checks,
    beginning: Beginning,
    losses: LossWatch,
    routing: Routing,
    transport_sequence: TransportSequence,
    /// What a payload type carries, by number.
    pub(crate) roles: [Role; 128],
    has_video: bool,
    /// Packets asked for again, and packets that came, at the last look.
    ingress: HashMap<LayerKey, (u64, u64)>,
    silence_timeout: Duration,
    heard_at: Instant,
    machine_deadline: Instant,
    undrained: Undrained,
}

impl Session {
    /// Answer an offer; return the session, the answer and what the publisher will send.
    ///
    /// # Errors
    /// The offer cannot be answered; mostly the publisher's fault, see [`OfferError`].
    pub fn answer(
        settings: &Settings,
        id: SessionId,
        offer: &str,
        wishes: &Wishes,
        now: Instant,
    ) -> Result<(Self, String, Vec<Track>), OfferError> {
        let preference = Preference { video_codecs: &wishes.video_codecs, with_red: wishes.with_red };
        let offer = Offer::parse(offer, &preference)?;
        let (mut rtc, tap, answer) = machine::answer(settings, &offer, now)?;
        let tracks = machine::tracks(&offer);
        let session = Self {
            id,
            ufrag: rtc.direct_api().local_ice_credentials().ufrag,
            rtc,
            clock: settings.clock,
            phase: Phase::New,
            media: MediaTable::new(&offer),
            layers: HashMap::new(),
            keyframes: KeyframePolicy::default(),
            checks: Checks::default(),
            intake: Intake::new(settings.crypto.clone(), tap),
            beginning: Beginning::default(),
            losses: LossWatch::default(),
            routing: Routing::new(&offer),
            transport_sequence: TransportSequence::new(&offer),
            roles: roles(&offer),
            has_video: false,
            ingress: HashMap::new(),
            silence_timeout: settings.silence_timeout,
            heard_at: now,
            machine_deadline: now,
            undrained: Undrained::default(),
            offer,
        };
        Ok((session, answer, tracks))
    }

    pub const fn id(&self) -> SessionId {
        self.id
    }

    /// Return the local ICE user fragment, which names the session in STUN requests.
    pub fn ufrag(&self) -> &str {
        &self.ufrag
    }

    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Tell whether the handshake is still under way.
    pub fn is_connecting(&self) -> bool {
        self.phase == Phase::New
    }

    /// Tell whether a datagram from a new source is this session's: a STUN request of who knows our password, and not one
    /// that was heard from elsewhere already.
    pub fn accepts(&self, input: &Input<'_>, payload: &[u8]) -> bool {
        let Input::Receive(_, receive) = input else {
            return false;
        };
        !self.checks.is_stolen(payload, receive.source) && self.rtc.accepts(input)
    }

    /// Tell whether a datagram is a check that was answered before.
    pub fn is_check_again(&self, payload: &[u8]) -> bool {
        self.checks.knows(payload)
    }

    fn handle(&mut self, input: Input<'_>, now: Instant, outbox: &mut Outbox) {
        let (Input::Receive(at, _) | Input::Timeout(at)) = input;
        if self.undrained.must_go_before(at) {
            self.drain(now, outbox);
        }
        self.undrained.note(at);
        if let Err(error) = self.rtc.handle_input(input) {
            self.fail(&error, now, outbox);
        }
    }

    fn drain_if_owed(&mut self, now: Instant, outbox: &mut Outbox) {
        if !self.undrained.is_empty() {
            self.drain(now, outbox);
        }
    }

    /// Do what is due at `now`.
    pub fn tick(&mut self, now: Instant, outbox: &mut Outbox) {
        if self.is_closed() {
            return;
        }
        if now.saturating_duration_since(self.heard_at) >= self.silence_timeout {
            self.close(CloseReason::Timeout, now, outbox);
            return;
        }
        self.release_beginning(now, now, outbox);
        if now >= self.machine_deadline {
            self.handle(Input::Timeout(now), now, outbox);
        }
        self.drain(now, outbox);
        if self.ask_for_keyframes(now, outbox) {
            self.drain(now, outbox);
        }
    }

    /// Return when `tick` has something to do.
    pub fn deadline(&self) -> Instant {
        if !self.undrained.is_empty() {
            return self.heard_at;
        }
        let silence = self.heard_at + self.silence_timeout;
        let machine = self.machine_deadline.min(silence);
        [self.keyframes.deadline(), self.beginning.due_at()].into_iter().flatten().fold(machine, Instant::min)
    }

    /// Say goodbye to the publisher and end. Does nothing if it is over already.
    pub fn close(&mut self, reason: CloseReason, now: Instant, outbox: &mut Outbox) {
        if self.is_closed() {
            return;
        }
        let patient_until = now + machine::REPAIR_PATIENCE;
        self.release_beginning(patient_until, now, outbox);
        self.drain_if_owed(now, outbox);
        // A machine that cannot say goodbye is closed all the same.
        if self.rtc.close().is_ok() {
            if self.phase == Phase::Connected {
                // What frames behind a loss wait for will not come: the machine's time passes the end of its patience.
                self.handle(Input::Timeout(patient_until), now, outbox);
            }
            self.drain(now, outbox);
        }
        self.end(reason, now, outbox);
    }

    /// Take the publisher's new ICE credentials; return an SDP fragment with ours and our candidates.
    ///
    /// Media goes on over the old path until the publisher has checked a new one.
    ///
    /// # Errors
    /// The credentials are unusable (the publisher's fault), or the session is over.
    /// Spec: RFC 8445 §9, RFC 8840 §9, RFC 9725 §4.3.3.
    pub fn restart_ice(
        &mut self,
        ufrag: &str,
        password: &str,
        now: Instant,
        outbox: &mut Outbox,
    ) -> Result<String, OfferError> {
        if self.is_closed() {
            return Err(OfferError::SessionGone);
        }
        check_credentials(ufrag, password)?;
        self.drain_if_owed(now, outbox);
        let mut offer = self.offer.clone();
        offer.set_credentials(ufrag, password);
        let answer = machine::answer_again(&mut self.rtc, &offer)?;
        self.offer = offer;
        self.ufrag = self.rtc.direct_api().local_ice_credentials().ufrag;
        self.drain(now, outbox);
        Ok(ice_fragment(&answer))
    }

    /// Ask for a keyframe of one layer, or of all layers of a media section, within the policy.
    pub fn request_keyframe(&mut self, mid: &str, rid: Option<&str>, now: Instant) {
        let Some((mid, _)) = self.media.video().find(|(_, media)| &*media.name == mid) else {
            return;
        };
        let rid = rid.map(Rid::from);
        let of_media = self.layers.keys().filter(|(owner, _)| *owner == mid);
        let wanted: Vec<LayerKey> = of_media.filter(|(_, layer)| rid.is_none() || *layer == rid).copied().collect();
        for layer in wanted {
            self.keyframes.need(layer, now);
        }
    }

    /// Count what became of missing packets before a frame; return how many are missing for good. What was filled without
    /// a frame of its own, as padding is, leaves the numbering whole.
    fn settle_losses(&mut self, media: &MediaData, outbox: &mut Outbox) -> u64 {
        let mut api = self.rtc.direct_api();
        let stream = if self.losses.is_clean() { None } else { api.stream_rx_by_mid(media.mid, media.rid) };
        let (first, last) = (media.seq_range.start().as_u16(), media.seq_range.end().as_u16());
        let settled = stream.map_or_else(Settled::default, |rx| self.losses.delivered(*rx.ssrc(), first, last));
        outbox.stats.packets_recovered += settled.recovered;
        outbox.stats.packets_lost += settled.lost;
        if media.contiguous { 0 } else { settled.lost }
    }

    /// Take the machine's output until it has nothing more to say before its deadline.
    fn drain(&mut self, now: Instant, outbox: &mut Outbox) {
        self.undrained = Undrained::default();
        while !self.is_closed() {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(deadline)) => {
                    self.machine_deadline = deadline;
                    break;
                }
                Ok(Output::Transmit(transmit)) => outbox.transmits.push(transmit),
                Ok(Output::Event(event)) => self.take_event(event, now, outbox),
                Err(error) => self.fail(&error, now, outbox),
            }
        }
    }

    fn take_event(&mut self, event: Event, now: Instant, outbox: &mut Outbox) {
        match event {
            Event::Connected => self.connected(now, outbox),
            Event::MediaData(data) => self.take_frame(data, now, outbox),
            Event::RawPacket(packet) => {
                if let RawPacket::RtpRx(header, _) = &*packet
                    && let Some(number) = header.ext_vals.transport_cc
                {
                    self.transport_sequence.accepted(number);
                }
            }
            Event::SenderFeedback(report) => self.take_report(&report, outbox),
            Event::MediaIngressStats(stats) => self.take_stats(&stats, now, outbox),
            Event::Closed => self.close(CloseReason::Closed, now, outbox),
            _ => {}
        }
    }

    fn connected(&mut self, now: Instant, outbox: &mut Outbox) {
        self.phase = Phase::Connected;
        self.heard_at = now;
        outbox.items.push((self.id, Item::Connected { received_ns: self.clock.unix_ns(now) }));
    }

    fn take_frame(&mut self, media: MediaData, now: Instant, outbox: &mut Outbox) {
        let key = (media.mid, media.rid);
        let codec = Codec::from_rtc(media.params.spec().codec);
        let (Some(codec), Some(name)) = (codec, self.media.layer_name(key)) else {
            return;
        };
        let lost = self.settle_losses(&media, outbox);
        let is_video = codec.kind() == Kind::Video;
        let layer = self.layers.entry(key).or_insert_with(|| self.media.new_layer(key));
        (layer.last_frame_at, layer.codec) = (Some(now), Some(codec));
        layer.packets_lost += lost;
        // str0m counts the eight bits of VP9's TL0PICIDX without their wrap, and takes each 256th for a loss.
        let is_contiguous = layer.continues(**media.seq_range.start(), **media.seq_range.end()) || media.contiguous;
        self.heard_at = now;
        let (data, size, is_keyframe) = if is_video && media.is_keyframe() {
            match layer.inspect_keyframe(codec, media.data) {
                Keyframe::Flush => return,
                Keyframe::Undescribed { data } => (data, None, false),
                Keyframe::Picture { data, size } => (data, size, true),
            }
        } else {
            (media.data, None, !is_video)
        };
        // RTP time is 32 bits on the wire; str0m's extension restarts when a stream's SSRC changes, ours does not.
        let rtp_ticks = layer.axis.advance(low_32_bits(media.time.numer()));
        let early = layer.early_report.take();
        let decodes = is_keyframe || (layer.has_keyframe && is_contiguous);
        layer.has_keyframe |= is_keyframe;
        if is_video && is_keyframe {
            self.keyframes.arrived(key);
        } else if is_video && !decodes {
            self.keyframes.need(key, now);
        }
        let frame = Frame {
            layer: name.clone(),
            codec,
            rtp_ticks,
            is_keyframe,
            follows_gap: !is_contiguous,
            packets_lost: std::mem::take(&mut layer.packets_lost),
            received_ns: self.clock.unix_ns(media.network_time),
            width: size.map_or(0, |size| size.width),
            height: size.map_or(0, |size| size.height),
            data,
        };
        outbox.items.push((self.id, Item::Frame(frame)));
        if let Some(early) = early {
            self.push_report(key, name, early, outbox);
        }
    }

    fn take_report(&mut self, feedback: &SenderFeedback, outbox: &mut Outbox) {
        self.heard_at = feedback.received_at;
        let key = (feedback.mid, feedback.rid);
        let Some(name) = self.media.layer_name(key) else {
            return;
        };
        let report = EarlyReport {
            ticks: low_32_bits(feedback.sender_info.rtp_time.numer()),
            ntp_ns: unix_ns(feedback.sender_info.ntp_time),
            received_ns: self.clock.unix_ns(feedback.received_at),
        };
        self.push_report(key, name, report, outbox);
    }

    /// Hand over a report, or keep it until the layer's axis exists.
    fn push_report(&mut self, key: LayerKey, name: LayerName, report: EarlyReport, outbox: &mut Outbox) {
        let layer = self.layers.entry(key).or_insert_with(|| self.media.new_layer(key));
        let Some(rtp_ticks) = layer.axis.place(report.ticks) else {
            layer.early_report = Some(report);
            return;
        };
        let report = SenderReport { layer: name, rtp_ticks, ntp_ns: report.ntp_ns, received_ns: report.received_ns };
        outbox.items.push((self.id, Item::SenderReport(report)));
    }

    /// Count what was asked for again, and ask for a keyframe of VP9 whose packets come and whose pictures do not: str0m
    /// swallows them from the wrap of their 15-bit numbers on.
    fn take_stats(&mut self, stats: &MediaIngressStats, now: Instant, outbox: &mut Outbox) {
        let key = (stats.mid, stats.rid);
        let (nacks, packets) = self.ingress.insert(key, (stats.nacks, stats.packets)).unwrap_or_default();
        outbox.stats.nacks_sent += stats.nacks.saturating_sub(nacks);
        let swallowed = stats.packets.saturating_sub(packets);
        if self.layers.get_mut(&key).is_some_and(|layer| layer.lost_its_way(swallowed, now)) {
            self.keyframes.need(key, now);
        }
    }

    /// Send the requests that are due; tell whether any was queued in the machine.
    fn ask_for_keyframes(&mut self, now: Instant, outbox: &mut Outbox) -> bool {
        let mut asked = false;
        let layers = &self.layers;
        let is_live = |key: LayerKey| layers.get(&key).is_none_or(|layer| !layer.is_paused(now));
        while let Some((mid, rid)) = self.keyframes.take_due(now, is_live) {
            if let Some(stream) = self.rtc.direct_api().stream_rx_by_mid(mid, rid) {
                stream.request_keyframe(KeyframeRequestKind::Pli);
                outbox.stats.plis_sent += 1;
                asked = true;
            }
        }
        if asked {
            self.handle(Input::Timeout(now), now, outbox);
        }
        asked
    }

    /// End after an error of the machine; damage in a single frame is not one.
    fn fail(&mut self, error: &RtcError, now: Instant, outbox: &mut Outbox) {
        let Some(reason) = CloseReason::of(error) else {
            return;
        };
        // An alert may wait: FFmpeg waits for ever where it hears none.
        while let Ok(Output::Transmit(transmit)) = self.rtc.poll_output() {
            outbox.transmits.push(transmit);
        }
        self.end(reason, now, outbox);
    }

    /// End without touching the machine again. Does nothing if it is over already.
    pub fn end(&mut self, reason: CloseReason, now: Instant, outbox: &mut Outbox) {
        if self.phase != Phase::Closed {
            self.phase = Phase::Closed;
            outbox.items.push((self.id, Item::Closed { reason, received_ns: self.clock.unix_ns(now) }));
        }
    }
}
