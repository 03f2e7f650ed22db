//! The SDP offer of a publisher: what of it can be recorded, and the answer's final text.
//!
//! str0m never sees the publisher's text. An offer is parsed into sections here, each section is accepted or refused, and
//! a minimal offer of the accepted ones is written for str0m to answer; the refused ones are added to the answer again
//! with port 0. Spec: RFC 8866 (SDP), RFC 8829 §5.3.1 (answers), RFC 9143 (BUNDLE), RFC 8853 (simulcast), RFC 9725 §4.2.

mod payloads;
mod render;
mod section;
mod sprop;
mod transport;

use str0m::media::Mid;

use crate::codec::Codec;
use crate::error::OfferError;
use crate::transport_sequence;

pub use render::ice_fragment;
pub use section::{Accepted, Payload, Section, SsrcLayer};
pub use sprop::parameter_sets;
pub use transport::{Transport, check_credentials};

/// Longest offer read, bytes; a browser's offer with three tracks is about 12 kB.
pub const OFFER_BYTES_MAX: usize = 256 * 1024;
const SECTIONS_MAX: usize = 32;
/// Sections accepted; a publisher sends one of sound and one of pictures.
const ACCEPTED_MAX: usize = 8;
/// Longest line read, bytes; an m-line of all payload types has 400.
const LINE_BYTES_MAX: usize = 4_096;
const MID_BYTES_MAX: usize = 16;
const RID_BYTES_MAX: usize = 8;

/// An offer that can be answered.
#[derive(Debug, Clone)]
pub struct Offer {
    session_attributes: Vec<String>,
    sections: Vec<Section>,
    transport: Transport,
}

/// What the reader wants of a publisher.
#[derive(Debug, Clone)]
pub struct Preference<'a> {
    /// Preferred first; a video codec not named is refused.
    pub video_codecs: &'a [Codec],
    /// Accept redundant audio (RFC 2198) where offered.
    pub with_red: bool,
}

impl Offer {
    /// Parse an offer and decide about each of its sections.
    ///
    /// # Errors
    /// The offer is malformed or nothing in it can be recorded; the publisher's fault.
    pub fn parse(text: &str, preference: &Preference<'_>) -> Result<Self, OfferError> {
        let (session_attributes, mut sections) = split(text)?;
        let bundle = bundle_of(&session_attributes);
        let (mut refusals, mut accepted_count) = (Vec::new(), 0);
        for section in &mut sections {
            if accepted_count == ACCEPTED_MAX {
                break;
            }
            match section::judge(section, &bundle, preference) {
                Ok(accepted) => {
                    section.accepted = Some(accepted);
                    accepted_count += 1;
                }
                Err(reason) => refusals.push(format!("{}: {reason}", section.media)),
            }
        }
        let first = sections.iter().find(|section| section.accepted.is_some());
        let Some(first) = first else {
            return Err(OfferError::NothingToRecord(refusals.join("; ")));
        };
        let transport = transport::transport_of(first, &session_attributes)?;
        let accepted = sections.iter().filter(|section| section.accepted.is_some());
        if accepted.clone().count() > 1 && !accepted.clone().all(|section| bundle.contains(&section.mid)) {
            return Err(malformed(
                "its media sections are not in one BUNDLE group; offer a=group:BUNDLE with every mid",
            ));
        }
        check_names(accepted)?;
        let mut offer = Self { session_attributes, sections, transport };
        if !offer.wants_transport_feedback() {
            offer.forget_extension(transport_sequence::URI);
        }
        Ok(offer)
    }

    /// Tell whether the publisher takes feedback on its transport-wide numbers. Without, str0m 0.24 would note each one
    /// for a report that is never written: 24 bytes a packet.
    fn wants_transport_feedback(&self) -> bool {
        let mut payloads = self.accepted().flat_map(|(_, accepted)| &accepted.payloads);
        payloads.any(|payload| payload.feedback.iter().any(|feedback| feedback == "transport-cc"))
    }

    fn forget_extension(&mut self, uri: &str) {
        let of_sections = self.sections.iter_mut().map(|section| &mut section.attributes);
        for attributes in of_sections.chain([&mut self.session_attributes]) {
            attributes.retain(|attribute| !(attribute.starts_with("extmap:") && attribute.contains(uri)));
        }
    }

    /// Iterate over the accepted sections in the offer's order.
    pub fn accepted(&self) -> impl Iterator<Item = (&Section, &Accepted)> {
        self.sections.iter().filter_map(|section| Some((section, section.accepted.as_ref()?)))
    }

    /// Tell whether a header extension is negotiated for all sections at once.
    pub fn has_session_extension(&self, uri: &str) -> bool {
        self.session_attributes.iter().any(|attribute| attribute.starts_with("extmap:") && attribute.contains(uri))
    }

    /// Return the numbers under which a header extension is offered anywhere. Spec: RFC 8285 §5.
    pub fn extension_ids(&self, uri: &str) -> Vec<u8> {
        let of_sections = self.accepted().flat_map(|(section, _)| &section.attributes);
        let values = self.session_attributes.iter().chain(of_sections).filter_map(|line| line.strip_prefix("extmap:"));
        let mut ids: Vec<u8> = values
            .filter(|value| value.contains(uri))
            .filter_map(|value| value.split([' ', '/']).next()?.parse().ok())
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Replace the remote ICE credentials. Spec: RFC 8838 §4.4 (restart).
    pub fn set_credentials(&mut self, ufrag: &str, password: &str) {
        ufrag.clone_into(&mut self.transport.ufrag);
        password.clone_into(&mut self.transport.password);
    }
}

/// Return the name str0m knows a mid by: it keeps letters and digits only.
pub fn alias_of_mid(mid: &str) -> String {
    Mid::from(mid).to_string()
}

fn malformed(reason: &str) -> OfferError {
    OfferError::Malformed(reason.into())
}

/// Split an offer into the session's attributes and its media sections, undecided.
fn split(text: &str) -> Result<(Vec<String>, Vec<Section>), OfferError> {
    if text.len() > OFFER_BYTES_MAX {
        return Err(malformed("it is longer than 256 KiB"));
    }
    let mut lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
    if lines.next() != Some("v=0") {
        return Err(malformed("it does not begin with v=0; send an SDP offer (RFC 8866)"));
    }
    let mut session_attributes = Vec::new();
    let mut sections: Vec<Section> = Vec::new();
    for line in lines {
        if line.len() > LINE_BYTES_MAX {
            return Err(malformed("a line is longer than 4,096 bytes"));
        }
        if let Some(media) = line.strip_prefix("m=") {
            if sections.len() == SECTIONS_MAX {
                return Err(malformed("it has more than 32 media sections"));
            }
            sections.push(section::parse_media_line(media, sections.len())?);
        } else if let Some(attribute) = line.strip_prefix("a=") {
            let attributes = sections.last_mut().map_or(&mut session_attributes, |section| &mut section.attributes);
            attributes.push(attribute.to_owned());
        } else if line.as_bytes().get(1) != Some(&b'=') {
            return Err(malformed("a line is not of the form <letter>=<value>"));
        }
    }
    if sections.is_empty() {
        return Err(malformed("it has no media section; offer at least one audio or video track"));
    }
    section::check_attributes(&session_attributes, "the session")?;
    for (index, section) in sections.iter_mut().enumerate() {
        section::check_attributes(&section.attributes, &format!("media section {}", index + 1))?;
        section.mid = value_of(&section.attributes, "mid:").map_or_else(|| index.to_string(), str::to_owned);
        section.rids = section::rids_of(&section.attributes)?;
        if section.rids.is_empty() {
            section.ssrc_layers = section::ssrc_layers_of(&section.attributes);
        }
    }
    Ok((session_attributes, sections))
}

fn value_of<'a>(attributes: &'a [String], name: &str) -> Option<&'a str> {
    attributes.iter().find_map(|attribute| attribute.strip_prefix(name)).map(str::trim)
}

fn has(attributes: &[String], name: &str) -> bool {
    attributes.iter().any(|attribute| attribute == name)
}

fn bundle_of(session_attributes: &[String]) -> Vec<String> {
    let group = value_of(session_attributes, "group:BUNDLE").unwrap_or_default();
    group.split_ascii_whitespace().map(str::to_owned).collect()
}

/// Refuse names str0m could not tell apart.
fn check_names<'a>(accepted: impl Iterator<Item = &'a Section>) -> Result<(), OfferError> {
    let mut mids: Vec<String> = Vec::new();
    for section in accepted {
        let mid = alias_of_mid(&section.mid);
        if section.mid.len() > MID_BYTES_MAX || !section.mid.is_ascii() || mids.contains(&mid) {
            return Err(malformed("its mids are not distinct within 16 letters and digits"));
        }
        mids.push(mid);
        let is_rid = |rid: &String| rid.len() <= RID_BYTES_MAX && rid.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !section.rids.iter().all(is_rid) {
            return Err(malformed("its rids are not 1 to 8 letters and digits (RFC 8852)"));
        }
    }
    Ok(())
}
