//! No offer costs more than its length: twice as long is at most about twice as dear, and nothing takes a tenth of a second.

mod support;

use std::fmt::Write;
use std::time::{Duration, Instant};
use support::answer;

const CAMERA: &str = include_str!("vectors/chromium-156-camera.sdp");
/// The longest offer the service passes on, bytes.
const LONGEST: usize = 65_536;
/// The most any offer may cost in an unoptimised build on a busy machine; the service gives it 250 ms.
const COST_MAX: Duration = Duration::from_millis(100);
/// Below this a comparison of times says nothing.
const NOISE: Duration = Duration::from_millis(4);

const HEAD: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n";
const TRANSPORT: &str = "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=setup:actpass\r\na=fingerprint:sha-256 \
E2:98:34:44:70:22:89:C9:B5:9D:62:80:C0:19:4A:A7:B6:5F:4C:1C:F9:03:BD:43:F7:CE:D4:10:7D:D0:14:0F\r\na=sendonly\r\n";

/// Write an offer of about `bytes`, mostly of what `more` writes for the numbers from 0.
fn offer(bytes: usize, formats: &str, more: impl Fn(&mut String, usize)) -> String {
    let mut text = format!("{HEAD}a=group:BUNDLE 0\r\n");
    let _ = write!(text, "m=video 9 UDP/TLS/RTP/SAVPF {formats}\r\na=mid:0\r\n{TRANSPORT}");
    text.push_str("a=rtpmap:96 VP8/90000\r\n");
    grow(text, bytes, more)
}

fn grow(mut text: String, bytes: usize, more: impl Fn(&mut String, usize)) -> String {
    let mut number = 0;
    while text.len() < bytes {
        more(&mut text, number);
        number += 1;
    }
    text
}

fn all_types() -> String {
    (0..128).map(|pt| pt.to_string()).collect::<Vec<_>>().join(" ")
}

/// Write the offers that repeat one thing, at about `bytes`.
fn shapes(bytes: usize) -> Vec<(&'static str, String)> {
    let pt = |number: usize| number % 128;
    let repeated = "96 ".repeat(bytes / 3);
    let in_turn = (0..bytes / 4).map(|number| pt(number).to_string()).collect::<Vec<_>>().join(" ");
    let lines = |more: &dyn Fn(&mut String, usize)| offer(bytes, &all_types(), more);
    let with = |pattern: &'static str| {
        lines(&move |text: &mut String, number: usize| {
            let line = pattern.replace("{n}", &number.to_string()).replace("{pt}", &pt(number).to_string());
            let _ = write!(text, "{line}\r\n");
        })
    };
    let session = |pattern: &str| {
        let head = grow(HEAD.to_owned(), bytes.saturating_sub(CAMERA.len()), |text, number| {
            let _ = write!(text, "{}\r\n", pattern.replace("{n}", &number.to_string()));
        });
        CAMERA.replacen("v=0\r\n", "", 1).split_once("t=0 0\r\n").map(|(_, rest)| head + rest).unwrap_or_default()
    };
    let long = |start: &str, word: &str| {
        let line = format!("{start}{}", word.repeat((bytes / 16).min(4_000) / word.len()));
        lines(&move |text: &mut String, _| {
            let _ = write!(text, "{line}\r\n");
        })
    };
    vec![
        ("one payload type again and again", offer(bytes, &repeated, |text, _| text.push_str("a=x\r\n"))),
        ("all payload types again and again", offer(bytes, &in_turn, |text, _| text.push_str("a=x\r\n"))),
        ("all payload types of a codec", with("a=rtpmap:{pt} VP8/90000")),
        ("all payload types with parameters", with("a=rtpmap:{pt} H264/90000\r\na=fmtp:{pt} profile-level-id=42e01f")),
        ("retransmissions of everything", with("a=rtpmap:{pt} rtx/90000\r\na=fmtp:{pt} apt=96")),
        ("redundancy of everything", with("a=rtpmap:{pt} red/90000\r\na=fmtp:{pt} 96/96")),
        ("feedback", with("a=rtcp-fb:96 x{n}")),
        ("feedback of all", with("a=rtcp-fb:* x{n}")),
        ("extensions", with("a=extmap:{pt} urn:x:{n}")),
        ("extensions of the session", session("a=extmap:14 urn:x:{n}")),
        ("streams", with("a=ssrc:{n} cname:x")),
        ("groups of streams", with("a=ssrc-group:FID {n} 1{n}")),
        ("layers", with("a=rid:{n} send")),
        ("layers in one line", long("a=simulcast:send ", "a;")),
        ("one set of parameters", long("a=fmtp:96 ", "x=1;")),
        ("parameter sets", long("a=fmtp:96 sprop-parameter-sets=", "Z00=,")),
        ("a long bundle", session("a=group:BUNDLE 0 1 {n}")),
        ("fingerprints", session("a=fingerprint:sha-256 {n}")),
        ("attributes without a meaning", with("a=x{n}")),
        (
            "sections",
            grow(CAMERA.to_owned(), bytes, |text, number| {
                let _ = write!(text, "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:x{number}\r\n{TRANSPORT}");
            }),
        ),
        ("lines that are none", grow(HEAD.to_owned(), bytes, |text, _| text.push_str("x\r\n"))),
    ]
}

fn cost(offer: &str) -> Duration {
    let once = || {
        let began = Instant::now();
        let _ = answer(offer);
        began.elapsed()
    };
    (0..5).map(|_| once()).min().unwrap_or_default()
}

#[test]
fn what_an_offer_costs_grows_no_faster_than_it_does() {
    let sizes = [LONGEST / 4, LONGEST / 2, LONGEST];
    let [small, middle, large] = sizes.map(shapes);
    for ((small, middle), large) in small.iter().zip(&middle).zip(&large) {
        let costs = [&small.1, &middle.1, &large.1].map(|offer| cost(offer));
        assert!(costs[2] < COST_MAX, "{}: {costs:?}", large.0);
        let is_linear = costs[2] < NOISE || costs[2] < costs[0].max(NOISE / 4) * 8;
        assert!(is_linear, "{}: {costs:?}", large.0);
    }
}

#[test]
fn every_accepted_section_of_the_longest_kind_costs_little() {
    let section = |mid: usize| {
        let mut text = format!("m=video 9 UDP/TLS/RTP/SAVPF {}\r\na=mid:{mid}\r\n{TRANSPORT}", all_types());
        for pt in 0..32 {
            let _ = write!(text, "a=rtpmap:{pt} H264/90000\r\na=fmtp:{pt} profile-level-id=42e01f\r\n");
        }
        text
    };
    let mids: Vec<String> = (0..32).map(|mid| mid.to_string()).collect();
    let mut offer = format!("{HEAD}a=group:BUNDLE {}\r\n", mids.join(" "));
    (0..32).for_each(|mid| offer.push_str(&section(mid)));
    assert!(answer(&offer).is_ok());
    assert!(cost(&offer) < COST_MAX * 5, "{:?}", cost(&offer));
}

#[test]
fn what_is_too_much_is_refused_by_name() {
    let refusal = |name: &str| {
        let shape = shapes(LONGEST).into_iter().find(|(shape, _)| *shape == name);
        shape.and_then(|(_, offer)| answer(&offer).err()).map(|error| error.to_string()).unwrap_or_default()
    };
    let many =
        |line: &str| answer(&offer(5_000, "96", |text, _| text.push_str(line))).err().map(|error| error.to_string());
    for kind in ["extmap:", "ssrc:", "ssrc-group:"] {
        let refused = many(&format!("a={kind}1 x\r\n")).unwrap_or_default();
        assert!(refused.contains(&format!("more than 64 lines a={kind}")), "{refused}");
    }
    for (shape, named) in [
        ("extensions of the session", "the session has more than"),
        ("layers", "more than"),
        ("sections", "more than 32 media sections"),
        ("layers in one line", "a=simulcast"),
        ("attributes without a meaning", "more than 1024 attributes"),
    ] {
        assert!(refusal(shape).contains(named), "{shape}: {:?}", refusal(shape));
    }
    let long = format!("{HEAD}a={}\r\n", "x".repeat(5_000));
    assert!(answer(&long).err().is_some_and(|error| error.to_string().contains("4,096 bytes")));
}

#[test]
fn a_payload_type_that_stands_twice_is_answered_once() {
    let answered = answer(&offer(500, "96 96 96", |text, _| text.push_str("a=x\r\n")));
    let answered = answered.map(|(_, answer, _)| answer).unwrap_or_default();
    assert!(answered.contains("m=video 9 UDP/TLS/RTP/SAVPF 96\r\n"), "{answered}");
}
