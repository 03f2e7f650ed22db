//! One media section of an offer: whether it can be recorded, and by which payload types.

use std::collections::HashSet;

use super::payloads::PayloadTable;
use super::{Preference, has, malformed};
use crate::codec::{Codec, Kind};
use crate::error::OfferError;

/// Layers of one section; browsers send three.
const LAYERS_MAX: usize = 8;
/// Formats an m-line may list; there are 128 payload types.
const FORMATS_MAX: usize = 128;
/// Attributes a section, or the session, may have; browsers write about 150.
pub(super) const ATTRIBUTES_MAX: usize = 1_024;
/// Attributes of one of these kinds a section, or the session, may have; browsers write about 25 of each.
pub(super) const REPEATED_MAX: usize = 64;
const REPEATED: [&str; 4] = ["extmap:", "ssrc:", "ssrc-group:", "rid:"];
/// Longest `a=simulcast` line, bytes; one of three layers each way has 40.
const SIMULCAST_BYTES_MAX: usize = 256;
/// Codings named in a refusal.
const NAMED_MAX: usize = 16;

/// A payload type of an accepted section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    pub codec: Codec,
    pub pt: u8,
    /// Payload type of its retransmissions. Spec: RFC 4588 §8.6.
    pub rtx: Option<u8>,
    /// Payload type of its redundant form. Spec: RFC 2198 §5.
    pub red: Option<u8>,
    /// Parameters of its `a=fmtp` line, empty if it has none.
    pub fmtp: String,
    pub(super) feedback: Vec<String>,
}

impl Payload {
    /// Tell whether its sender answers NACK but offers no stream of retransmissions.
    pub fn repairs_in_place(&self) -> bool {
        self.rtx.is_none() && self.feedback.iter().any(|feedback| feedback == "nack")
    }
}

/// One media section of the offer.
#[derive(Debug, Clone)]
pub struct Section {
    pub(super) media: String,
    pub(super) protocol: String,
    pub(super) formats: Vec<String>,
    pub(super) attributes: Vec<String>,
    /// As the offer spells it; the section's number if it has none.
    pub mid: String,
    /// Simulcast layers by restriction id, as the offer spells them.
    pub rids: Vec<String>,
    /// Simulcast layers by SSRC, where the offer has no restriction ids.
    pub ssrc_layers: Vec<SsrcLayer>,
    /// None if the section is refused.
    pub accepted: Option<Accepted>,
}

impl Section {
    /// Tell whether its RTP streams are named by `a=ssrc` lines or by the given header extension.
    pub fn names_streams(&self, mid_extension: &str) -> bool {
        self.attributes.iter().any(|attribute| {
            attribute.starts_with("ssrc:") || (attribute.starts_with("extmap:") && attribute.contains(mid_extension))
        })
    }

    /// Return the names of its simulcast layers, by restriction id or by place; empty for a single encoding.
    pub fn layer_names(&self) -> Vec<String> {
        let by_place = (0..self.ssrc_layers.len()).map(|place| place.to_string());
        self.rids.iter().cloned().chain(by_place).collect()
    }
}

/// A simulcast layer known by its SSRC only; its name is its place in the group, lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SsrcLayer {
    pub ssrc: u32,
    /// SSRC of its retransmissions.
    pub rtx: Option<u32>,
}

/// What makes a section worth recording.
#[derive(Debug, Clone)]
pub struct Accepted {
    pub kind: Kind,
    /// Preferred first.
    pub payloads: Vec<Payload>,
}

/// Parse what follows `m=` of section number `index`.
pub(super) fn parse_media_line(line: &str, index: usize) -> Result<Section, OfferError> {
    let mut words = line.split_ascii_whitespace().map(str::to_owned);
    let (Some(media), Some(port), Some(protocol)) = (words.next(), words.next(), words.next()) else {
        return Err(OfferError::Malformed(format!("its m-line number {} is incomplete", index + 1)));
    };
    let number = port.split('/').next().unwrap_or_default();
    if number.parse::<u16>().is_err() {
        return Err(OfferError::Malformed(format!("its m-line number {} has no valid port", index + 1)));
    }
    let mut formats: Vec<String> = words.collect();
    // A payload type that stands twice means nothing more; what is looked up for each must not be looked up twice.
    let mut seen = HashSet::new();
    formats.retain(|format| seen.insert(format.clone()));
    if formats.len() > FORMATS_MAX {
        return Err(OfferError::Malformed(format!("its m-line number {} lists more than 128 formats", index + 1)));
    }
    let mut attributes = Vec::new();
    if number == "0" {
        attributes.push("x-port-zero".to_owned());
    }
    Ok(Section {
        media,
        protocol,
        formats,
        attributes,
        mid: String::new(),
        rids: Vec::new(),
        ssrc_layers: Vec::new(),
        accepted: None,
    })
}

/// Refuse more attributes than anybody needs: each costs the one who answers.
pub(super) fn check_attributes(attributes: &[String], whose: &str) -> Result<(), OfferError> {
    if attributes.len() > ATTRIBUTES_MAX {
        return Err(malformed(&format!("{whose} has more than {ATTRIBUTES_MAX} attributes")));
    }
    let mut simulcast = attributes.iter().filter(|attribute| attribute.starts_with("simulcast:"));
    if simulcast.next().is_some_and(|line| line.len() > SIMULCAST_BYTES_MAX) || simulcast.next().is_some() {
        return Err(malformed(&format!(
            "{whose} has several a=simulcast lines, or one above {SIMULCAST_BYTES_MAX} bytes"
        )));
    }
    for name in REPEATED {
        if attributes.iter().filter(|attribute| attribute.starts_with(name)).count() > REPEATED_MAX {
            return Err(malformed(&format!("{whose} has more than {REPEATED_MAX} lines a={name}")));
        }
    }
    Ok(())
}

/// Read the layers a section says it sends. Spec: RFC 8851 §4.
pub(super) fn rids_of(attributes: &[String]) -> Result<Vec<String>, OfferError> {
    let lines = attributes.iter().filter_map(|attribute| attribute.strip_prefix("rid:"));
    let sent = lines.filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let rid = words.next()?;
        (words.next() == Some("send")).then(|| rid.to_owned())
    });
    let rids: Vec<String> = sent.collect();
    if rids.len() > LAYERS_MAX {
        return Err(malformed("a section sends more than 8 layers (a=rid)"));
    }
    Ok(rids)
}

/// Read the layers of a section that names them by SSRC. Spec: RFC 5576 §4.2; `SIM` is browsers' own.
pub(super) fn ssrc_layers_of(attributes: &[String]) -> Vec<SsrcLayer> {
    let group = |attribute: &String, name: &str| -> Option<Vec<u32>> {
        let numbers = attribute.strip_prefix("ssrc-group:")?.strip_prefix(name)?.split_ascii_whitespace();
        numbers.map(|number| number.parse().ok()).collect()
    };
    let repairs: Vec<Vec<u32>> = attributes.iter().filter_map(|attribute| group(attribute, "FID ")).collect();
    let layers = attributes.iter().find_map(|attribute| group(attribute, "SIM ")).unwrap_or_default();
    let rtx_of =
        |ssrc: u32| repairs.iter().find(|pair| pair.first() == Some(&ssrc)).and_then(|pair| pair.get(1)).copied();
    layers.into_iter().take(LAYERS_MAX).map(|ssrc| SsrcLayer { ssrc, rtx: rtx_of(ssrc) }).collect()
}

/// Decide about a section; the error says why it is refused.
pub(super) fn judge(section: &Section, bundle: &[String], preference: &Preference<'_>) -> Result<Accepted, String> {
    let kind = match section.media.as_str() {
        "audio" => Kind::Audio,
        "video" => Kind::Video,
        _ => return Err("neither audio nor video".into()),
    };
    if !section.protocol.contains("RTP/SAVP") {
        return Err(format!("transport {} is not DTLS-SRTP; offer UDP/TLS/RTP/SAVPF", section.protocol));
    }
    let is_bundle_only = has(&section.attributes, "bundle-only") || bundle.contains(&section.mid);
    if has(&section.attributes, "x-port-zero") && !is_bundle_only {
        return Err("switched off by port 0".into());
    }
    if has(&section.attributes, "recvonly") || has(&section.attributes, "inactive") {
        return Err("not sent; offer a=sendonly".into());
    }
    let table = PayloadTable::new(section);
    let payloads = table.payloads(kind, preference);
    if payloads.is_empty() {
        return Err(no_codec(&table, kind, preference));
    }
    Ok(Accepted { kind, payloads })
}

fn no_codec(table: &PayloadTable<'_>, kind: Kind, preference: &Preference<'_>) -> String {
    let offered: Vec<&str> = table.names().take(NAMED_MAX).collect();
    let offered = if offered.is_empty() { "none".to_owned() } else { offered.join(", ") };
    let wanted = match kind {
        Kind::Audio => "opus".to_owned(),
        Kind::Video => preference.video_codecs.iter().map(|codec| codec.name()).collect::<Vec<_>>().join(", "),
    };
    format!("codecs offered: {offered}; offer one of: {wanted}")
}
