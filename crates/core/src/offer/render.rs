//! SDP text: the offer str0m is shown, and the answer the publisher gets.

use std::fmt::Write;

use super::{Accepted, Offer, Payload, Section, alias_of_mid};
use crate::codec::Codec;
use crate::error::OfferError;

/// Attributes of an accepted section that str0m is shown besides those written from parsed values.
const KEPT_ATTRIBUTES: [&str; 5] = ["extmap:", "ssrc:", "ssrc-group:", "rid:", "simulcast:"];

impl Offer {
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
            if line.starts_with("o=") {
                // The user name would tell the library's version.
                let rest = line.split_once(' ').map_or("0 0 IN IP4 0.0.0.0", |(_, rest)| rest);
                push_line(&mut text, &format!("o=- {rest}"));
            } else if line.starts_with("a=group:BUNDLE") {
                let mids: Vec<&str> = self.accepted().map(|(section, _)| section.mid.as_str()).collect();
                push_line(&mut text, &format!("a=group:BUNDLE {}", mids.join(" ")));
            } else {
                push_line(&mut text, line);
            }
        }
        for section in &self.sections {
            let Some(accepted) = &section.accepted else {
                refuse(&mut text, section);
                continue;
            };
            let lines = answered.next().ok_or_else(|| OfferError::Internal("a section is missing".into()))?;
            finish_section(&mut text, section, accepted, &lines);
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
            let is_hidden = !section.ssrc_layers.is_empty() && attribute.starts_with("ssrc");
            if !is_hidden && KEPT_ATTRIBUTES.iter().any(|kept| attribute.starts_with(kept)) {
                push_line(text, &format!("a={attribute}"));
            }
        }
    }
}

/// Reduce an answer to what a restart of ICE changes. Spec: RFC 8840 §9, RFC 9725 §4.3.3.
pub fn ice_fragment(answer: &str) -> String {
    let (head, sections) = split_answer(answer);
    let accepted = sections.iter().find(|lines| lines.iter().any(|line| line.starts_with("a=ice-ufrag:")));
    let is_ice = |line: &&&str| {
        ["m=", "a=mid:", "a=ice-ufrag:", "a=ice-pwd:", "a=candidate:", "a=end-of-candidates"]
            .iter()
            .any(|name| line.starts_with(name))
    };
    let mut text = String::from("a=ice-lite\r\na=ice-options:trickle\r\n");
    let group = head.iter().filter(|line| line.starts_with("a=group:BUNDLE"));
    for line in group.chain(accepted.into_iter().flatten().filter(is_ice)) {
        push_line(&mut text, line);
    }
    text
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push_str("\r\n");
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

fn finish_section(text: &mut String, section: &Section, accepted: &Accepted, lines: &[&str]) {
    let has_candidates = lines.iter().any(|line| line.starts_with("a=candidate:"));
    for line in lines {
        let Some(attribute) = line.strip_prefix("a=") else {
            push_line(text, &redundancy_first(line, accepted));
            continue;
        };
        if attribute.starts_with("mid:") {
            push_line(text, &format!("a=mid:{}", section.mid));
        } else if attribute == "rtcp-mux" {
            // RFC 9725 §4.4.1 wants the second as well.
            push_line(text, line);
            push_line(text, "a=rtcp-mux-only");
        } else if !attribute.starts_with("rtcp-fb:") || was_offered(attribute, accepted) {
            push_line(text, line);
        }
    }
    if has_candidates {
        push_line(text, "a=end-of-candidates");
    }
}

/// Move redundant audio to the front of an m-line: senders use the first format of an answer.
fn redundancy_first(line: &str, accepted: &Accepted) -> String {
    let reds: Vec<String> =
        accepted.payloads.iter().filter_map(|payload| payload.red).map(|pt| pt.to_string()).collect();
    if !line.starts_with("m=") || reds.is_empty() {
        return line.to_owned();
    }
    let words: Vec<&str> = line.split(' ').collect();
    let (head, formats) = words.split_at(words.len().min(3));
    let (red, plain): (Vec<&str>, Vec<&str>) = formats.iter().partition(|format| reds.iter().any(|red| red == *format));
    [head, &red, &plain].concat().join(" ")
}

/// Tell whether an `rtcp-fb` attribute of the answer was in the offer. Spec: RFC 4585 §4.2: an answer adds none.
fn was_offered(attribute: &str, accepted: &Accepted) -> bool {
    let parts = attribute.strip_prefix("rtcp-fb:").and_then(|rest| rest.split_once(' '));
    parts.is_some_and(|(pt, feedback)| {
        let of_pt = accepted.payloads.iter().filter(|payload| pt.parse() == Ok(payload.pt));
        of_pt.flat_map(|payload| &payload.feedback).any(|offered| offered == feedback)
    })
}

/// Answer a refused section with port 0. Spec: RFC 3264 §6, RFC 9143 §7.3.
fn refuse(text: &mut String, section: &Section) {
    let formats = if section.formats.is_empty() { "0".to_owned() } else { section.formats.join(" ") };
    push_line(text, &format!("m={} 0 {} {formats}", section.media, section.protocol));
    push_line(text, "c=IN IP4 0.0.0.0");
    push_line(text, &format!("a=mid:{}", section.mid));
    push_line(text, "a=inactive");
}
