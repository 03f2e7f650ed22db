//! How a session takes in datagrams. Anybody may send them under the publisher's address, so what is not proven to be the
//! publisher's stops here and leaves a count behind, nothing else.

use std::time::Instant;

use str0m::Input;
use str0m::net::Receive;

use super::{Phase, Session};
use crate::checks;
use crate::intake::Intake;
use crate::keyframes::FIRST_KEYFRAME_PATIENCE;
use crate::outbox::Outbox;
use crate::roles::Role;
use crate::rtp::RtpHeader;

impl Session {
    /// Take in one datagram, of which `receive` is the parsed form.
    ///
    /// A STUN request counts as heard if its sender knows our password, media if it becomes a frame or a report.
    pub fn receive(&mut self, now: Instant, receive: Receive<'_>, payload: &[u8], outbox: &mut Outbox) {
        if self.is_closed() {
            return;
        }
        if Intake::is_media(payload) {
            self.receive_media(now, receive, payload, outbox);
        } else {
            self.receive_other(now, receive, payload, outbox);
        }
    }

    /// Take in a datagram of ICE or DTLS.
    fn receive_other(&mut self, now: Instant, receive: Receive<'_>, payload: &[u8], outbox: &mut Outbox) {
        let (is_check, source) = (checks::is_request(payload), receive.source);
        if is_check && self.checks.is_stolen(payload, source) {
            outbox.stats.datagrams_forged += 1;
            return;
        }
        self.drain_if_owed(now, outbox);
        let said = outbox.transmits.len();
        self.handle(Input::Receive(now, receive), now, outbox);
        self.drain(now, outbox);
        if is_check {
            // The machine answers only who knows our password.
            if !outbox.transmits[said..].iter().any(|transmit| checks::is_answer(&transmit.contents, payload)) {
                outbox.stats.datagrams_forged += 1;
            } else if self.checks.answered(payload, source) {
                self.heard_at = now;
            }
        }
        for early in self.intake.look_for_keys(&mut outbox.stats) {
            if let Some(receive) = early.receive() {
                self.receive_media(early.arrived_at, receive, &early.payload, outbox);
            }
        }
    }

    /// Take in a datagram that is media by its looks; unless it is the publisher's, nothing comes of it.
    fn receive_media(&mut self, now: Instant, receive: Receive<'_>, payload: &[u8], outbox: &mut Outbox) {
        let Some(proven) = self.intake.prove(now, &receive, payload, &mut outbox.stats) else {
            return;
        };
        let Some(header) = proven.header else {
            self.drain_if_owed(now, outbox);
            self.handle(Input::Receive(now, receive), now, outbox);
            self.drain(now, outbox);
            return;
        };
        if self.beginning.hold(header, &receive, payload, now) {
            self.release_beginning(now, now, outbox);
        } else if self.transport_sequence.admits(payload) {
            self.take_packet(now, header, Input::Receive(now, receive), outbox);
        }
    }

    /// Take in one authentic packet of media. Its output may wait for `tick`, so that packets read together are drained together.
    fn take_packet(&mut self, now: Instant, header: RtpHeader, input: Input<'_>, outbox: &mut Outbox) {
        let begins = self.watch(header, now);
        self.handle(input, now, outbox);
        if let Some(ssrc) = begins {
            self.repair_in_place(ssrc);
        }
        if self.undrained.is_full() || self.phase != Phase::Connected || !self.transport_sequence.is_placed() {
            self.drain(now, outbox);
        }
    }

    /// Take in the first packets if they have waited until `until`.
    pub(super) fn release_beginning(&mut self, until: Instant, now: Instant, outbox: &mut Outbox) {
        for held in self.beginning.take_due(until) {
            if let Some(input) = held.input()
                && self.transport_sequence.admits(&held.payload)
            {
                self.take_packet(now, held.header, input, outbox);
            }
        }
    }

    /// Note an RTP packet before the machine sees it, and tell the machine of a stream it could not place.
    ///
    /// Returns the SSRC of a stream that begins with this packet and whose losses its sender repairs in place.
    fn watch(&mut self, header: RtpHeader, now: Instant) -> Option<u32> {
        let role = self.roles[usize::from(header.pt & 0x7f)];
        let is_first = role != Role::Repair && self.losses.arrived(header.ssrc, header.sequence, now);
        if matches!(role, Role::Video { .. }) {
            self.video_begins(now);
        }
        if let Some(stream) = self.routing.learn(header.pt, header.ssrc) {
            let rtx = stream.rtx.map(Into::into);
            self.rtc.direct_api().expect_stream_rx(stream.ssrc.into(), rtx, stream.mid, None);
        }
        (is_first && role == Role::Video { repairs_in_place: true }).then_some(header.ssrc)
    }

    /// Ask for lost packets of a stream without a retransmission stream. Spec: RFC 4585 §6.2.1.
    fn repair_in_place(&mut self, ssrc: u32) {
        let mut api = self.rtc.direct_api();
        if let Some((mid, rid)) = api.stream_rx(&ssrc.into()).map(|stream| (stream.mid(), stream.rid())) {
            api.expect_stream_rx(ssrc.into(), None, mid, rid).suppress_nack(false);
        }
    }

    /// Expect a first keyframe soon after the first packet of video.
    fn video_begins(&mut self, now: Instant) {
        if self.has_video {
            return;
        }
        self.has_video = true;
        for (mid, _) in self.media.video().filter(|(_, media)| media.rids.is_empty()) {
            self.keyframes.need((mid, None), now + FIRST_KEYFRAME_PATIENCE);
        }
    }
}
