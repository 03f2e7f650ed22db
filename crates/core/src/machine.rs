//! Building what a session is made of: the str0m machine for an offer, and the names of its media.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use soloist_dtls::Tap;
use str0m::change::SdpOffer;
use str0m::config::DtlsCert;
use str0m::crypto::CryptoProvider;
use str0m::format::FormatParams;
use str0m::media::{Mid, Rid};
use str0m::net::TcpType;
use str0m::{Candidate, Rtc, RtcConfig};

use crate::clock::Clock;
use crate::codec::{Codec, Kind};
use crate::error::OfferError;
use crate::item::{LayerName, Track};
use crate::layer::Layer;
use crate::offer::{Accepted, Offer, Section, alias_of_mid, parameter_sets};
use crate::srtp::opened::remembering;
use crate::transport_sequence::TransportSequence;

/// How often str0m reports the retransmissions it asked for.
const STATS_INTERVAL: Duration = Duration::from_secs(2);
/// How long str0m holds frames behind a loss, or less: until enough of them wait.
pub const REPAIR_PATIENCE: Duration = Duration::from_secs(2);

/// What all sessions of a receiver share.
#[derive(Clone)]
pub struct Settings {
    /// Addresses publishers are told to send to; the first of each family stands for the others.
    pub candidates: Vec<SocketAddr>,
    /// Addresses at which publishers may connect by TCP; empty without a TCP port.
    pub tcp_candidates: Vec<SocketAddr>,
    pub certificate: DtlsCert,
    pub crypto: Arc<CryptoProvider>,
    pub clock: Clock,
    /// A session that hears nothing valid for this long is over.
    pub silence_timeout: Duration,
}

/// What is asked of one publisher.
#[derive(Debug, Clone)]
pub struct Wishes {
    /// Preferred first.
    pub video_codecs: Vec<Codec>,
    /// Accept redundant audio where offered.
    pub with_red: bool,
}

/// How str0m names an RTP stream.
pub type LayerKey = (Mid, Option<Rid>);

/// A media section, by the names its publisher gave.
pub struct Media {
    pub name: Arc<str>,
    pub kind: Kind,
    /// Announced layers: str0m's name and the publisher's.
    pub rids: Vec<(Rid, Arc<str>)>,
    parameter_sets: Vec<Vec<u8>>,
}

/// The media sections of a session.
pub struct MediaTable(BTreeMap<Mid, Media>);

impl MediaTable {
    pub fn new(offer: &Offer) -> Self {
        Self(offer.accepted().map(|(section, accepted)| media(section, accepted)).collect())
    }

    /// Iterate over the video sections.
    pub fn video(&self) -> impl Iterator<Item = (Mid, &Media)> {
        self.0.iter().filter(|(_, media)| media.kind == Kind::Video).map(|(mid, media)| (*mid, media))
    }

    /// Return the publisher's names of an RTP stream; None if its section was not accepted.
    pub fn layer_name(&self, (mid, rid): LayerKey) -> Option<LayerName> {
        let media = self.0.get(&mid)?;
        let rid = rid.map(|rid| {
            let known = media.rids.iter().find(|(alias, _)| *alias == rid).map(|(_, name)| name.clone());
            known.unwrap_or_else(|| rid.to_string().into())
        });
        Some(LayerName { mid: media.name.clone(), rid })
    }

    /// Return the names of all layers of a kind.
    pub fn layer_names(&self, kind: Kind) -> Vec<LayerName> {
        let mut names = Vec::new();
        for media in self.0.values().filter(|media| media.kind == kind) {
            let layer = |rid: Option<Arc<str>>| LayerName { mid: media.name.clone(), rid };
            match media.rids.as_slice() {
                [] => names.push(layer(None)),
                rids => names.extend(rids.iter().map(|(_, name)| layer(Some(name.clone())))),
            }
        }
        names
    }

    /// Return the state an RTP stream begins with.
    pub fn new_layer(&self, (mid, _): LayerKey) -> Layer {
        let mut layer = Layer::default();
        if let Some(media) = self.0.get(&mid) {
            layer.keep_parameter_sets(&media.parameter_sets);
        }
        layer
    }
}

/// Build the machine for an offer and let it answer; return it with its association's tap and the answer to the publisher.
pub fn answer(settings: &Settings, offer: &Offer, now: Instant) -> Result<(Rtc, Arc<Tap>, String), OfferError> {
    let mut rtc = machine(settings, offer, now);
    let tap = Tap::take().ok_or_else(|| OfferError::Internal("the machine made no DTLS association".into()))?;
    for address in &settings.candidates {
        let candidate = Candidate::host(*address, "udp").map_err(|error| OfferError::Internal(error.to_string()))?;
        rtc.add_local_candidate(candidate);
    }
    for address in &settings.tcp_candidates {
        let candidate = Candidate::builder().tcp().host(*address).tcptype(TcpType::Passive).build();
        rtc.add_local_candidate(candidate.map_err(|error| OfferError::Internal(error.to_string()))?);
    }
    let answer = answer_again(&mut rtc, offer)?;
    declare_layers(&mut rtc, offer);
    Ok((rtc, tap, answer))
}

/// Tell the machine which SSRC is which layer, where the offer names layers by SSRC only.
fn declare_layers(rtc: &mut Rtc, offer: &Offer) {
    for (section, _) in offer.accepted() {
        let mid = Mid::from(alias_of_mid(&section.mid).as_str());
        for (layer, name) in section.ssrc_layers.iter().zip(section.layer_names()) {
            let rid = Rid::from(name.as_str());
            rtc.direct_api().expect_stream_rx(layer.ssrc.into(), layer.rtx.map(Into::into), mid, Some(rid));
        }
    }
}

/// Let a machine answer an offer, which after the first is one with new ICE credentials.
pub fn answer_again(rtc: &mut Rtc, offer: &Offer) -> Result<String, OfferError> {
    let for_core = SdpOffer::from_sdp_string(&offer.render_for_core()).map_err(|error| refused(&error))?;
    let answer = rtc.sdp_api().accept_offer(for_core).map_err(|error| refused(&error))?;
    offer.finish_answer(&answer.to_sdp_string())
}

/// Return what the publisher will send, in the offer's order.
pub fn tracks(offer: &Offer) -> Vec<Track> {
    offer.accepted().map(track).collect()
}

/// Return the cryptography all sessions share, and a fresh certificate.
///
/// # Errors
/// The certificate cannot be made; ours to mend.
pub fn crypto() -> Result<(Arc<CryptoProvider>, DtlsCert), OfferError> {
    let provider = remembering(&soloist_dtls::crypto_provider());
    let certificate = provider.dtls_provider.generate_certificate();
    let certificate = certificate.ok_or_else(|| OfferError::Internal("no certificate could be made".into()))?;
    Ok((Arc::new(provider), certificate))
}

/// Build the machine: ICE-lite, one shared certificate, exactly the payload types offered.
fn machine(settings: &Settings, offer: &Offer, now: Instant) -> Rtc {
    let mut config = RtcConfig::new()
        .set_ice_lite(true)
        .set_crypto_provider(settings.crypto.clone())
        .set_dtls_cert(settings.certificate.clone())
        .set_stats_interval(Some(STATS_INTERVAL))
        .set_reordering_timeout_video(Some(REPAIR_PATIENCE))
        // They tell which packets proved authentic, at the price of a copy; see `transport_sequence`.
        .enable_raw_packets(TransportSequence::new(offer).is_in_use())
        .clear_codecs();
    let mut known = Vec::new();
    for (_, accepted) in offer.accepted() {
        for payload in &accepted.payloads {
            if known.contains(&payload.pt) {
                continue;
            }
            known.push(payload.pt);
            if payload.codec == Codec::Opus {
                config = config.enable_opus(true, payload.red.is_some());
                continue;
            }
            config.codec_config().add_config(
                payload.pt.into(),
                payload.rtx.map(Into::into),
                payload.codec.rtc(),
                payload.codec.frequency(),
                None,
                FormatParams::parse_line(&payload.fmtp),
            );
        }
    }
    config.build(now)
}

fn refused(error: &dyn Display) -> OfferError {
    OfferError::Malformed(error.to_string())
}

fn media(section: &Section, accepted: &Accepted) -> (Mid, Media) {
    let rids = section.layer_names().into_iter().map(|rid| (Rid::from(rid.as_str()), rid.into()));
    let media = Media {
        name: section.mid.as_str().into(),
        kind: accepted.kind,
        rids: rids.collect(),
        parameter_sets: accepted.payloads.iter().flat_map(parameter_sets).collect(),
    };
    (Mid::from(alias_of_mid(&section.mid).as_str()), media)
}

fn track((section, accepted): (&Section, &Accepted)) -> Track {
    let mut codecs: Vec<Codec> = accepted.payloads.iter().map(|payload| payload.codec).collect();
    codecs.dedup();
    Track {
        mid: section.mid.as_str().into(),
        kind: accepted.kind,
        codecs,
        rids: section.layer_names().into_iter().map(Into::into).collect(),
    }
}
