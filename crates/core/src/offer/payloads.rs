//! The payload types of a media section: each attribute is read once, however many refer to each other.

use std::collections::HashMap;

use super::Preference;
use super::section::{Payload, Section};
use crate::codec::{Codec, Kind};

/// Payload types of a section that are accepted; browsers offer about twenty.
const ACCEPTED_MAX: usize = 32;
/// Kinds of feedback kept of a payload type; browsers offer five.
const FEEDBACK_MAX: usize = 16;

/// What a section says of one payload type.
#[derive(Debug, Default)]
struct Described<'a> {
    /// Encoding name and what follows it, of its first `a=rtpmap` line.
    rtpmap: Option<(&'a str, &'a str)>,
    fmtp: Vec<&'a str>,
    feedback: Vec<&'a str>,
}

/// A section's payload types, in the order of its m-line.
pub(super) struct PayloadTable<'a> {
    /// Those with an encoding name.
    order: Vec<u8>,
    described: HashMap<u8, Described<'a>>,
    /// Feedback of all payload types.
    feedback: Vec<&'a str>,
    /// Payload type of retransmissions and of the redundant form, by what it is about.
    rtx: HashMap<u8, u8>,
    red: HashMap<u8, u8>,
}

impl<'a> PayloadTable<'a> {
    pub fn new(section: &'a Section) -> Self {
        let (described, feedback) = describe(&section.attributes);
        let numbers = section.formats.iter().filter_map(|format| format.parse().ok().filter(|pt: &u8| *pt < 128));
        let order = numbers.filter(|pt| described.get(pt).is_some_and(|one| one.rtpmap.is_some())).collect();
        let mut table = Self { order, described, feedback, rtx: HashMap::new(), red: HashMap::new() };
        table.relate();
        table
    }

    /// Iterate over the encoding names.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.mapped().map(|(_, name, _)| name)
    }

    /// Return what can be recorded, preferred first.
    pub fn payloads(&self, kind: Kind, preference: &Preference<'_>) -> Vec<Payload> {
        let mut payloads: Vec<Payload> = self
            .mapped()
            .filter_map(|(pt, name, rest)| {
                let codec = Codec::from_name(name).filter(|codec| codec.kind() == kind)?;
                let clock = rest.split('/').next()?;
                (clock.parse() == Ok(codec.rate_hz())).then(|| self.payload(codec, pt, preference))
            })
            .filter(|payload| kind == Kind::Audio || preference.video_codecs.contains(&payload.codec))
            .collect();
        payloads.sort_by_key(|payload| preference.video_codecs.iter().position(|codec| *codec == payload.codec));
        payloads.truncate(ACCEPTED_MAX);
        payloads
    }

    fn mapped(&self) -> impl Iterator<Item = (u8, &'a str, &'a str)> {
        self.order.iter().filter_map(|pt| {
            let (name, rest) = self.described.get(pt)?.rtpmap?;
            Some((*pt, name, rest))
        })
    }

    /// Find which payload type repairs or repeats which: the first that says so.
    fn relate(&mut self) {
        let (mut rtx, mut red) = (HashMap::new(), HashMap::new());
        for (pt, name, _) in self.mapped() {
            for fmtp in self.described.get(&pt).into_iter().flat_map(|one| &one.fmtp) {
                if name.eq_ignore_ascii_case("rtx") {
                    apt_of(fmtp).map(|about| rtx.entry(about).or_insert(pt));
                } else if name.eq_ignore_ascii_case("red") {
                    repeated_in(fmtp).map(|about| red.entry(about).or_insert(pt));
                }
            }
        }
        (self.rtx, self.red) = (rtx, red);
    }

    fn payload(&self, codec: Codec, pt: u8, preference: &Preference<'_>) -> Payload {
        let mut feedback: Vec<String> = Vec::new();
        let (mut fmtp, mut own) = ("", &[][..]);
        if let Some(described) = self.described.get(&pt) {
            fmtp = described.fmtp.first().copied().unwrap_or_default();
            own = &described.feedback;
        }
        for value in own.iter().chain(&self.feedback) {
            if feedback.len() < FEEDBACK_MAX && !feedback.iter().any(|known| known == value) {
                feedback.push((*value).to_owned());
            }
        }
        Payload {
            codec,
            pt,
            rtx: self.rtx.get(&pt).copied(),
            red: self.red.get(&pt).copied().filter(|_| preference.with_red && codec == Codec::Opus),
            fmtp: fmtp.to_owned(),
            feedback,
        }
    }
}

/// Read each attribute that is about payload types once.
fn describe(attributes: &[String]) -> (HashMap<u8, Described<'_>>, Vec<&str>) {
    let mut described: HashMap<u8, Described<'_>> = HashMap::new();
    let mut feedback = Vec::new();
    for attribute in attributes {
        let Some((name, (number, value))) =
            attribute.split_once(':').and_then(|(name, rest)| Some((name, rest.split_once(' ')?)))
        else {
            continue;
        };
        let value = value.trim();
        let Ok(pt) = number.parse() else {
            if name == "rtcp-fb" && number == "*" && feedback.len() < FEEDBACK_MAX {
                feedback.push(value);
            }
            continue;
        };
        match name {
            "rtpmap" => {
                let one = described.entry(pt).or_default();
                one.rtpmap = one.rtpmap.or_else(|| value.split_once('/'));
            }
            "fmtp" => described.entry(pt).or_default().fmtp.push(value),
            "rtcp-fb" => described.entry(pt).or_default().feedback.push(value),
            _ => {}
        }
    }
    (described, feedback)
}

/// Return the payload type whose retransmissions these are. Spec: RFC 4588 §8.6.
fn apt_of(fmtp: &str) -> Option<u8> {
    fmtp.split(';').find_map(|pair| pair.trim().strip_prefix("apt="))?.trim().parse().ok()
}

/// Return the payload type whose redundant form this is, if it is of one only. Spec: RFC 2198 §5.
fn repeated_in(fmtp: &str) -> Option<u8> {
    let mut words = fmtp.split('/').map(|word| word.trim().parse().ok());
    let first: u8 = words.next()??;
    words.all(|word| word == Some(first)).then_some(first)
}
