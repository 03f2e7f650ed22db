//! The SDP offer of a publisher: what of it can be recorded, and the answer's final text.
//!
//! str0m never sees the publisher's text. An offer is parsed into sections here, each section is accepted or refused, and
//! a minimal offer of the accepted ones is written for str0m to answer; the refused ones are added to the answer again
//! with port 0. Spec: RFC 8866 (SDP), RFC 8829 §5.3.1 (answers), RFC 9143 (BUNDLE), RFC 8853 (simulcast), RFC 9725 §4.2.

use std::fmt::Write;

use str0m::media::{Mid, Rid};

use crate::codec::{Codec, Kind};
use crate::error::OfferError;

/// Longest offer read, bytes; a browser's offer with three tracks is about 12 kB.
pub const OFFER_BYTES_MAX: usize = 256 * 1024;
const SECTIONS_MAX: usize = 32;
const MID_BYTES_MAX: usize = 16;
const RID_BYTES_MAX: usize = 8;
/// Attributes of an accepted section that str0m is shown besides those written from parsed values.
const KEPT_ATTRIBUTES: [&str; 5] = ["extmap:", "ssrc:", "ssrc-group:", "rid:", "simulcast:"];

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
    feedback: Vec<String>,
}

/// One media section of the offer.
#[derive(Debug, Clone)]
pub struct Section {
    media: String,
    protocol: String,
    formats: Vec<String>,
    attributes: Vec<String>,
    /// As the offer spells it.
    pub mid: String,
    pub rids: Vec<String>,
    /// None if the section is refused.
    pub accepted: Option<Accepted>,
}

/// What makes a section worth recording.
#[derive(Debug, Clone)]
pub struct Accepted {
    pub kind: Kind,
    /// Preferred first.
    pub payloads: Vec<Payload>,
}

/// An offer that can be answered.
#[derive(Debug, Clone)]
pub struct Offer {
    session_attributes: Vec<String>,
    sections: Vec<Section>,
    transport: Transport,
}

/// ICE and DTLS parameters all sections share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transport {
    pub ufrag: String,
    pub password: String,
    fingerprint: String,
    setup: String,
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
        let mut refusals = Vec::new();
        for section in &mut sections {
            match judge(section, &bundle, preference) {
                Ok(accepted) => section.accepted = Some(accepted),
                Err(reason) => refusals.push(format!("{}: {reason}", section.media)),
            }
        }
        let first = sections.iter().find(|section| section.accepted.is_some());
        let Some(first) = first else {
            return Err(OfferError::NothingToRecord(refusals.join("; ")));
        };
        let transport = transport_of(first, &session_attributes)?;
        let accepted = sections.iter().filter(|section| section.accepted.is_some());
        if accepted.clone().count() > 1 && !accepted.clone().all(|section| bundle.contains(&section.mid)) {
            return Err(malformed(
                "its media sections are not in one BUNDLE group; offer a=group:BUNDLE with every mid",
            ));
        }
        check_names(accepted)?;
        Ok(Self { session_attributes, sections, transport })
    }

    /// Iterate over the accepted sections in the offer's order.
    pub fn accepted(&self) -> impl Iterator<Item = (&Section, &Accepted)> {
        self.sections.iter().filter_map(|section| Some((section, section.accepted.as_ref()?)))
    }

    /// Replace the remote ICE credentials. Spec: RFC 8838 §4.4 (restart).
    pub fn set_credentials(&mut self, ufrag: &str, password: &str) {
        ufrag.clone_into(&mut self.transport.ufrag);
        password.clone_into(&mut self.transport.password);
    }

    /// Write the offer str0m answers: accepted sections only, one transport, the publisher sending.
    pub fn render_for_core(&self) -> String {
        let mids: Vec<String> = self.accepted().map(|(section, _)| alias_of_mid(&section.mid)).collect();
        let mut text =
            format!("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\n", mids.join(" "));
        for (section, accepted) in self.accepted() {
            self.render_section(&mut text, section, accepted);
        }
        text
    }

    /// Turn str0m's answer to `render_for_core` into the answer to the publisher's offer.
    ///
    /// # Errors
    /// The answer does not have the sections asked for; ours to mend.
    pub fn finish_answer(&self, answer: &str) -> Result<String, OfferError> {
        let (head, answered) = split_answer(answer);
        let mut answered = answered.into_iter();
        let mut text = String::with_capacity(answer.len() + 512);
        for line in head {
            if line.starts_with("a=group:BUNDLE") {
                let mids: Vec<&str> = self.accepted().map(|(section, _)| section.mid.as_str()).collect();
                push_line(&mut text, &format!("a=group:BUNDLE {}", mids.join(" ")));
            } else {
                push_line(&mut text, line);
            }
        }
        for section in &self.sections {
            if section.accepted.is_none() {
                refuse(&mut text, section);
                continue;
            }
            let lines = answered.next().ok_or_else(|| OfferError::Internal("a section is missing".into()))?;
            finish_section(&mut text, section, &lines);
        }
        Ok(text)
    }

    fn render_section(&self, text: &mut String, section: &Section, accepted: &Accepted) {
        let pts = accepted.payloads.iter().flat_map(|payload| [Some(payload.pt), payload.rtx, payload.red]);
        let pts: Vec<String> = pts.flatten().map(|pt| pt.to_string()).collect();
        push_line(text, &format!("m={} 9 UDP/TLS/RTP/SAVPF {}", accepted.kind.name(), pts.join(" ")));
        push_line(text, "c=IN IP4 0.0.0.0");
        push_line(text, &format!("a=mid:{}", alias_of_mid(&section.mid)));
        push_line(text, "a=sendonly");
        push_line(text, "a=rtcp-mux");
        push_line(text, &format!("a=ice-ufrag:{}", self.transport.ufrag));
        push_line(text, &format!("a=ice-pwd:{}", self.transport.password));
        push_line(text, &format!("a=fingerprint:{}", self.transport.fingerprint));
        push_line(text, &format!("a=setup:{}", self.transport.setup));
        for payload in &accepted.payloads {
            render_payload(text, payload);
        }
        let session_level = self.session_attributes.iter().filter(|attribute| attribute.starts_with("extmap:"));
        for attribute in session_level.chain(&section.attributes) {
            if KEPT_ATTRIBUTES.iter().any(|kept| attribute.starts_with(kept)) {
                push_line(text, &format!("a={}", with_rid_aliases(attribute, section)));
            }
        }
    }
}

/// Return the name str0m knows a mid by: it keeps letters and digits only.
pub fn alias_of_mid(mid: &str) -> String {
    Mid::from(mid).to_string()
}

/// Return the name str0m knows a rid by.
pub fn alias_of_rid(rid: &str) -> String {
    Rid::from(rid).to_string()
}

fn malformed(reason: &str) -> OfferError {
    OfferError::Malformed(reason.into())
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push_str("\r\n");
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
        if let Some(media) = line.strip_prefix("m=") {
            sections.push(parse_media_line(media, sections.len())?);
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
    if sections.len() > SECTIONS_MAX {
        return Err(malformed("it has more than 32 media sections"));
    }
    for (index, section) in sections.iter_mut().enumerate() {
        section.mid = value_of(&section.attributes, "mid:").map_or_else(|| index.to_string(), str::to_owned);
        section.rids = rids_of(&section.attributes);
    }
    Ok((session_attributes, sections))
}

fn parse_media_line(line: &str, index: usize) -> Result<Section, OfferError> {
    let mut words = line.split_ascii_whitespace().map(str::to_owned);
    let (Some(media), Some(port), Some(protocol)) = (words.next(), words.next(), words.next()) else {
        return Err(malformed(&format!("its m-line number {} is incomplete", index + 1)));
    };
    let number = port.split('/').next().unwrap_or_default();
    if number.parse::<u16>().is_err() {
        return Err(malformed(&format!("its m-line number {} has no valid port", index + 1)));
    }
    let mut attributes = Vec::new();
    if number == "0" {
        attributes.push("x-port-zero".to_owned());
    }
    Ok(Section {
        media,
        protocol,
        formats: words.collect(),
        attributes,
        mid: String::new(),
        rids: Vec::new(),
        accepted: None,
    })
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

/// Read the layers a section says it sends. Spec: RFC 8851 §4.
fn rids_of(attributes: &[String]) -> Vec<String> {
    let lines = attributes.iter().filter_map(|attribute| attribute.strip_prefix("rid:"));
    lines
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let rid = words.next()?;
            (words.next() == Some("send")).then(|| rid.to_owned())
        })
        .collect()
}

/// Decide about a section; the error says why it is refused.
fn judge(section: &Section, bundle: &[String], preference: &Preference<'_>) -> Result<Accepted, String> {
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
    let payloads = payloads_of(section, kind, preference);
    if payloads.is_empty() {
        return Err(no_codec(section, kind, preference));
    }
    Ok(Accepted { kind, payloads })
}

fn no_codec(section: &Section, kind: Kind, preference: &Preference<'_>) -> String {
    let offered: Vec<&str> = rtpmaps(section).map(|(_, name, _)| name).collect();
    let offered = if offered.is_empty() { "none".to_owned() } else { offered.join(", ") };
    let wanted = match kind {
        Kind::Audio => "opus".to_owned(),
        Kind::Video => preference.video_codecs.iter().map(|codec| codec.name()).collect::<Vec<_>>().join(", "),
    };
    format!("codecs offered: {offered}; offer one of: {wanted}")
}

/// Iterate over (payload type, encoding name, rest) of a section's rtpmap lines, in the order of its m-line.
fn rtpmaps(section: &Section) -> impl Iterator<Item = (u8, &str, &str)> {
    section.formats.iter().filter_map(|format| {
        let pt: u8 = format.parse().ok().filter(|pt| *pt < 128)?;
        let value = value_of_payload(&section.attributes, "rtpmap:", pt).next()?;
        let (name, rest) = value.split_once('/')?;
        Some((pt, name, rest))
    })
}

/// Iterate over the values of `a=<name><pt> <value>`.
fn value_of_payload<'a>(attributes: &'a [String], name: &'a str, pt: u8) -> impl Iterator<Item = &'a str> {
    attributes.iter().filter_map(move |attribute| {
        let (number, value) = attribute.strip_prefix(name)?.split_once(' ')?;
        (number.parse() == Ok(pt)).then(|| value.trim())
    })
}

fn payloads_of(section: &Section, kind: Kind, preference: &Preference<'_>) -> Vec<Payload> {
    let mut payloads: Vec<Payload> = rtpmaps(section)
        .filter_map(|(pt, name, rest)| {
            let codec = Codec::from_name(name).filter(|codec| codec.kind() == kind)?;
            let clock = rest.split('/').next()?;
            (clock.parse() == Ok(codec.rate_hz())).then(|| payload_of(section, codec, pt, preference))
        })
        .filter(|payload| kind == Kind::Audio || preference.video_codecs.contains(&payload.codec))
        .collect();
    payloads.sort_by_key(|payload| preference.video_codecs.iter().position(|codec| *codec == payload.codec));
    payloads
}

fn payload_of(section: &Section, codec: Codec, pt: u8, preference: &Preference<'_>) -> Payload {
    let refers_to_us =
        |other: u8| value_of_payload(&section.attributes, "fmtp:", other).any(|fmtp| apt_of(fmtp) == Some(pt));
    let rtx = rtpmaps(section).find(|(other, name, _)| name.eq_ignore_ascii_case("rtx") && refers_to_us(*other));
    let wraps_us = |other: u8| {
        value_of_payload(&section.attributes, "fmtp:", other)
            .any(|fmtp| fmtp.split('/').all(|word| word.trim().parse() == Ok(pt)))
    };
    let red = rtpmaps(section)
        .find(|(other, name, _)| preference.with_red && name.eq_ignore_ascii_case("red") && wraps_us(*other))
        .filter(|_| codec == Codec::Opus);
    let any_payload = section.attributes.iter().filter_map(|attribute| attribute.strip_prefix("rtcp-fb:* "));
    Payload {
        codec,
        pt,
        rtx: rtx.map(|(other, _, _)| other),
        red: red.map(|(other, _, _)| other),
        fmtp: value_of_payload(&section.attributes, "fmtp:", pt).next().unwrap_or_default().to_owned(),
        feedback: value_of_payload(&section.attributes, "rtcp-fb:", pt).chain(any_payload).map(str::to_owned).collect(),
    }
}

fn apt_of(fmtp: &str) -> Option<u8> {
    fmtp.split(';').find_map(|pair| pair.trim().strip_prefix("apt="))?.trim().parse().ok()
}

/// Collect ICE and DTLS parameters from the first accepted section, else from the session. Spec: RFC 8839 §5.4, RFC 8842 §5.
fn transport_of(section: &Section, session_attributes: &[String]) -> Result<Transport, OfferError> {
    let find = |name| value_of(&section.attributes, name).or_else(|| value_of(session_attributes, name));
    let ufrag = find("ice-ufrag:").ok_or_else(|| malformed("it has no a=ice-ufrag"))?;
    let password = find("ice-pwd:").ok_or_else(|| malformed("it has no a=ice-pwd"))?;
    check_credentials(ufrag, password)?;
    if has(session_attributes, "ice-lite") {
        return Err(malformed("it comes from an ICE-lite agent, and so are we; offer from a full ICE agent"));
    }
    let setup = find("setup:").unwrap_or("actpass");
    if !["actpass", "active", "passive"].contains(&setup) {
        return Err(malformed("its a=setup is none of actpass, active, passive"));
    }
    let fingerprint = section
        .attributes
        .iter()
        .chain(session_attributes)
        .filter_map(|attribute| attribute.strip_prefix("fingerprint:"))
        .find_map(sha256_fingerprint)
        .ok_or_else(|| malformed("it has no readable a=fingerprint:sha-256; DTLS needs one"))?;
    Ok(Transport { ufrag: ufrag.into(), password: password.into(), fingerprint, setup: setup.into() })
}

/// Check ICE credentials against their grammar.
///
/// # Errors
/// They are too short, too long or hold other characters. Spec: RFC 8839 §5.4.
pub fn check_credentials(ufrag: &str, password: &str) -> Result<(), OfferError> {
    let is_ice = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/');
    // Shorter ones than the grammar's 4 and 22 characters are seen in the field and do no harm; longer ones do.
    let fits = |text: &str| !text.is_empty() && text.len() <= 256;
    if [ufrag, password].iter().all(|text| fits(text) && is_ice(text)) {
        Ok(())
    } else {
        Err(malformed("its ICE credentials are not 1 to 256 characters of A-Z a-z 0-9 + /"))
    }
}

fn sha256_fingerprint(value: &str) -> Option<String> {
    let (function, digest) = value.trim().split_once(' ')?;
    let pairs: Vec<&str> = digest.trim().split(':').collect();
    let is_digest =
        pairs.len() == 32 && pairs.iter().all(|pair| pair.len() == 2 && u8::from_str_radix(pair, 16).is_ok());
    (function.eq_ignore_ascii_case("sha-256") && is_digest).then(|| format!("sha-256 {}", digest.trim().to_uppercase()))
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
        let mut rids: Vec<String> = Vec::new();
        for rid in &section.rids {
            let alias = alias_of_rid(rid);
            if rid.len() > RID_BYTES_MAX || !rid.is_ascii() || rids.contains(&alias) {
                return Err(malformed("its rids are not distinct within 8 letters and digits"));
            }
            rids.push(alias);
        }
    }
    Ok(())
}

fn render_payload(text: &mut String, payload: &Payload) {
    let channels = if payload.codec == Codec::Opus { "/2" } else { "" };
    let (pt, rate) = (payload.pt, payload.codec.rate_hz());
    // Writing to a String cannot fail.
    let _ = write!(text, "a=rtpmap:{pt} {}/{rate}{channels}\r\n", payload.codec.rtc());
    if !payload.fmtp.is_empty() {
        push_line(text, &format!("a=fmtp:{pt} {}", payload.fmtp));
    }
    for feedback in &payload.feedback {
        push_line(text, &format!("a=rtcp-fb:{pt} {feedback}"));
    }
    if let Some(rtx) = payload.rtx {
        push_line(text, &format!("a=rtpmap:{rtx} rtx/{rate}"));
        push_line(text, &format!("a=fmtp:{rtx} apt={pt}"));
    }
    if let Some(red) = payload.red {
        push_line(text, &format!("a=rtpmap:{red} red/{rate}{channels}"));
        push_line(text, &format!("a=fmtp:{red} {pt}/{pt}"));
    }
}

/// Replace each rid in an `a=rid` or `a=simulcast` attribute by its alias.
fn with_rid_aliases(attribute: &str, section: &Section) -> String {
    rename_rids(attribute, &section.rids, |rid| (rid.to_owned(), alias_of_rid(rid)))
}

fn with_rid_originals(attribute: &str, section: &Section) -> String {
    rename_rids(attribute, &section.rids, |rid| (alias_of_rid(rid), rid.to_owned()))
}

fn rename_rids(attribute: &str, rids: &[String], pair: impl Fn(&str) -> (String, String)) -> String {
    let is_named = attribute.starts_with("rid:") || attribute.starts_with("simulcast:");
    if !is_named || rids.iter().map(|rid| pair(rid)).all(|(from, to)| from == to) {
        return attribute.to_owned();
    }
    let mut renamed = String::with_capacity(attribute.len());
    for word in attribute.split_inclusive([' ', ';', ',', ':', '~']) {
        let bare = word.trim_end_matches([' ', ';', ',', ':', '~']);
        let target = rids.iter().map(|rid| pair(rid)).find(|(from, _)| from == bare);
        renamed.push_str(target.as_ref().map_or(bare, |(_, to)| to));
        renamed.push_str(&word[bare.len()..]);
    }
    renamed
}

fn split_answer(answer: &str) -> (Vec<&str>, Vec<Vec<&str>>) {
    let (mut head, mut sections) = (Vec::new(), Vec::<Vec<&str>>::new());
    for line in answer.lines() {
        if line.starts_with("m=") {
            sections.push(vec![line]);
        } else if let Some(section) = sections.last_mut() {
            section.push(line);
        } else {
            head.push(line);
        }
    }
    (head, sections)
}

fn finish_section(text: &mut String, section: &Section, lines: &[&str]) {
    let has_candidates = lines.iter().any(|line| line.starts_with("a=candidate:"));
    for line in lines {
        match line.strip_prefix("a=") {
            Some(attribute) if attribute.starts_with("mid:") => push_line(text, &format!("a=mid:{}", section.mid)),
            Some(attribute) => push_line(text, &format!("a={}", with_rid_originals(attribute, section))),
            None => push_line(text, line),
        }
    }
    if has_candidates {
        push_line(text, "a=end-of-candidates");
    }
}

/// Answer a refused section with port 0. Spec: RFC 3264 §6, RFC 9143 §7.3.
fn refuse(text: &mut String, section: &Section) {
    let formats = if section.formats.is_empty() { "0".to_owned() } else { section.formats.join(" ") };
    push_line(text, &format!("m={} 0 {} {formats}", section.media, section.protocol));
    push_line(text, "c=IN IP4 0.0.0.0");
    push_line(text, &format!("a=mid:{}", section.mid));
    push_line(text, "a=inactive");
}

/// Decode the H.264 parameter sets of a payload's fmtp line; unreadable ones are left out. Spec: RFC 6184 §8.1.
pub fn parameter_sets(payload: &Payload) -> Vec<Vec<u8>> {
    if payload.codec != Codec::H264 {
        return Vec::new();
    }
    let sets = payload.fmtp.split(';').find_map(|pair| pair.trim().strip_prefix("sprop-parameter-sets="));
    sets.unwrap_or_default().split(',').filter_map(decode_base64).filter(|set| !set.is_empty()).collect()
}

/// Decode standard base64 (RFC 4648 §4); padding may be absent.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0_u32, 0_u32);
    for byte in text.trim().trim_end_matches('=').bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            decoded.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    Some(decoded)
}
