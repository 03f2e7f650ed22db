//! Offers as browsers and encoders write them, and as nobody should.

mod support;

use soloist_core::{Codec, Kind, OfferError, Session, Wishes};
use std::time::Instant;
use support::{SESSION, answer, settings};

const CAMERA: &str = include_str!("vectors/chromium-156-camera.sdp");
const SIMULCAST: &str = include_str!("vectors/chromium-156-simulcast.sdp");
const FFMPEG: &str = include_str!("vectors/ffmpeg-8.1-whip.sdp");

fn answer_with(offer: &str, video_codecs: &[Codec], with_red: bool) -> String {
    let now = Instant::now();
    let wishes = Wishes { video_codecs: video_codecs.to_vec(), with_red };
    Session::answer(&settings(now), SESSION, offer, &wishes, now).map(|(_, answer, _)| answer).unwrap_or_default()
}

fn sections(sdp: &str) -> Vec<Vec<&str>> {
    let mut sections: Vec<Vec<&str>> = Vec::new();
    for line in sdp.lines() {
        if line.starts_with("m=") {
            sections.push(Vec::new());
        }
        if let Some(section) = sections.last_mut() {
            section.push(line);
        }
    }
    sections
}

fn refusal(offer: &str) -> String {
    match answer(offer) {
        Ok(_) => "answered".into(),
        Err(error) => error.to_string(),
    }
}

/// Return the camera offer without the lines that begin so.
fn without(prefix: &str) -> String {
    CAMERA.lines().filter(|line| !line.starts_with(prefix)).flat_map(|line| [line, "\r\n"]).collect()
}

#[test]
fn every_real_offer_gets_a_section_for_each_of_its_own() {
    for offer in [CAMERA, SIMULCAST, FFMPEG] {
        let answered = answer(offer).map(|(_, answer, _)| answer).unwrap_or_default();
        let kinds = |sdp: &str| -> Vec<String> {
            sections(sdp).iter().map(|lines| lines[0].split(' ').next().unwrap_or_default().to_owned()).collect()
        };
        assert_eq!(kinds(&answered), kinds(offer));
        for section in sections(&answered) {
            assert!(section.contains(&"a=recvonly") || section[0].split(' ').nth(1) == Some("0"), "{section:?}");
        }
    }
}

#[test]
fn a_data_channel_is_refused_with_port_0_and_left_out_of_the_bundle() {
    let answered = answer(CAMERA).map(|(_, answer, _)| answer).unwrap_or_default();
    assert!(answered.contains("a=group:BUNDLE 0 1\r\n"), "{answered}");
    assert!(answered.contains("m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n"), "{answered}");
}

#[test]
fn every_section_answered_is_multiplexed_and_only_so() {
    let answered = answer(CAMERA).map(|(_, answer, _)| answer).unwrap_or_default();
    for section in sections(&answered).iter().filter(|lines| lines.contains(&"a=recvonly")) {
        assert!(section.contains(&"a=rtcp-mux") && section.contains(&"a=rtcp-mux-only"), "{section:?}");
    }
}

#[test]
fn candidates_are_told_once_and_as_complete() {
    let answered = answer(CAMERA).map(|(_, answer, _)| answer).unwrap_or_default();
    let candidates: Vec<&str> = answered.lines().filter(|line| line.starts_with("a=candidate:")).collect();
    assert_eq!(candidates.len(), 2, "one for UDP, one for TCP");
    assert!(candidates[0].contains(" udp "), "encoders that try one candidate only take the first");
    assert!(candidates[1].contains(" tcp ") && candidates[1].contains("tcptype passive"));
    assert_eq!(answered.matches("a=end-of-candidates").count(), 1);
    assert!(sections(&answered)[0].iter().any(|line| line.contains("10.0.0.1 3478 typ host")));
}

#[test]
fn candidates_move_on_when_the_first_section_is_refused() {
    let audio_off = CAMERA.replacen("a=sendonly", "a=inactive", 1);
    let answered = answer(&audio_off).map(|(_, answer, _)| answer).unwrap_or_default();
    let of_section: Vec<bool> =
        sections(&answered).iter().map(|lines| lines.iter().any(|line| line.starts_with("a=candidate"))).collect();
    assert_eq!(of_section, [false, true, false]);
    assert!(answered.contains("a=group:BUNDLE 1\r\n"));
}

#[test]
fn codecs_are_answered_in_the_order_preferred() {
    let first_codec = |answered: &str| -> String {
        let video = sections(answered).into_iter().find(|lines| lines[0].starts_with("m=video")).unwrap_or_default();
        let pt = video[0].split(' ').nth(3).unwrap_or_default().to_owned();
        let prefix = format!("a=rtpmap:{pt} ");
        video.iter().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_default().to_owned()
    };
    assert_eq!(first_codec(&answer_with(CAMERA, &[Codec::H264, Codec::Vp8], true)), "H264/90000");
    assert_eq!(first_codec(&answer_with(CAMERA, &[Codec::Vp9, Codec::H264], true)), "VP9/90000");
    assert_eq!(first_codec(&answer_with(CAMERA, &[Codec::Av1], true)), "AV1/90000");
    assert!(!answer_with(CAMERA, &[Codec::Vp8], true).contains("H264"));
}

#[test]
fn every_h264_profile_offered_is_accepted() {
    let high = FFMPEG.replace("profile-level-id=42001e", "profile-level-id=640c33");
    assert!(answer_with(&high, &[Codec::H264], true).contains("profile-level-id=640c33"));
}

#[test]
fn redundant_audio_comes_first_where_wanted_and_not_at_all_where_not() {
    let audio = |answered: &str| sections(answered)[0][0].to_owned();
    assert_eq!(audio(&answer_with(CAMERA, &[Codec::Vp8], true)), "m=audio 9 UDP/TLS/RTP/SAVPF 63 111");
    assert_eq!(audio(&answer_with(CAMERA, &[Codec::Vp8], false)), "m=audio 9 UDP/TLS/RTP/SAVPF 111");
}

#[test]
fn an_answer_has_no_feedback_the_offer_had_not() {
    let answered = answer(FFMPEG).map(|(_, answer, _)| answer).unwrap_or_default();
    let feedback: Vec<&str> = answered.lines().filter(|line| line.starts_with("a=rtcp-fb")).collect();
    assert_eq!(feedback, ["a=rtcp-fb:106 nack"]);
}

#[test]
fn transport_wide_numbers_are_answered_only_where_feedback_on_them_is_taken() {
    let numbers = |offer: &str| answer_with(offer, &[Codec::H264], false).matches("transport-wide-cc").count();
    let is_feedback = |line: &&str| line.starts_with("a=rtcp-fb:") && line.ends_with("transport-cc");
    let unfed: String = CAMERA.lines().filter(|line| !is_feedback(line)).flat_map(|line| [line, "\r\n"]).collect();
    assert_eq!((numbers(CAMERA), numbers(&unfed)), (2, 0));
}

#[test]
fn a_passive_publisher_makes_us_active_and_others_passive() {
    let setup = |offer: &str, role: &str| {
        let offer = offer.replace("a=setup:actpass", &format!("a=setup:{role}"));
        answer(&offer).map(|(_, answer, _)| answer).unwrap_or_default()
    };
    assert!(setup(CAMERA, "passive").contains("a=setup:active\r\n"));
    assert!(setup(CAMERA, "active").contains("a=setup:passive\r\n"));
    assert!(setup(CAMERA, "actpass").contains("a=setup:passive\r\n"));
}

#[test]
fn mids_with_other_characters_come_back_as_they_were() {
    let offer = SIMULCAST.replace("a=mid:1", "a=mid:cam.1-x").replace("BUNDLE 0 1", "BUNDLE 0 cam.1-x");
    let Ok((_, answered, tracks)) = answer(&offer) else {
        unreachable!("the offer can be answered");
    };
    assert!(answered.contains("a=mid:cam.1-x\r\n"), "{answered}");
    assert!(answered.contains("BUNDLE 0 cam.1-x\r\n"));
    assert!(answered.contains("a=simulcast:recv q;h;f\r\n"));
    let names: Vec<&str> = tracks[1].rids.iter().map(|rid| &**rid).collect();
    assert_eq!((&*tracks[1].mid, names), ("cam.1-x", vec!["q", "h", "f"]));
}

#[test]
fn simulcast_without_rids_gives_layers_by_place() {
    let offer =
        CAMERA.replace("a=ssrc-group:FID 4096047300 284008442", "a=ssrc-group:SIM 11 12 13\r\na=ssrc-group:FID 11 21");
    let Ok((_, _, tracks)) = answer(&offer) else {
        unreachable!("the offer can be answered");
    };
    assert_eq!(tracks[1].kind, Kind::Video);
    assert_eq!(tracks[1].rids.iter().map(|rid| &**rid).collect::<Vec<_>>(), ["0", "1", "2"]);
}

#[test]
fn a_refusal_names_what_is_missing_and_the_remedy() {
    let cases = [
        (String::new(), "v=0"),
        ("hello".into(), "v=0"),
        ("v=0\r\n".into(), "no media section"),
        ("v=0\r\nm=video\r\n".into(), "m-line number 1 is incomplete"),
        ("v=0\r\nm=video x UDP/TLS/RTP/SAVPF 96\r\n".into(), "no valid port"),
        (without("a=ice-ufrag"), "a=ice-ufrag"),
        (without("a=ice-pwd"), "a=ice-pwd"),
        (without("a=fingerprint"), "a=fingerprint:sha-256"),
        (CAMERA.replace("sha-256", "sha-1"), "a=fingerprint:sha-256"),
        (without("a=group"), "BUNDLE"),
        (CAMERA.replace("a=sendonly", "a=recvonly"), "offer a=sendonly"),
        (CAMERA.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP"), "UDP/TLS/RTP/SAVPF"),
        (CAMERA.replace("a=setup:actpass", "a=setup:holdconn"), "a=setup"),
        (CAMERA.replacen("t=0 0", "t=0 0\r\na=ice-lite", 1), "ICE-lite"),
        (CAMERA.replace("a=mid:1", "a=mid:0"), "mids"),
        (SIMULCAST.replace("a=rid:q ", "a=rid:lo-q "), "rids"),
        ("v=0\r\n".to_owned() + &"a=x\r\n".repeat(60_000), "256 KiB"),
    ];
    for (offer, named) in cases {
        let refusal = refusal(&offer);
        assert!(refusal.contains(named), "expected {named:?} in {refusal:?}");
    }
}

#[test]
fn codecs_we_do_not_record_are_named_with_those_we_do() {
    let offer = FFMPEG.replace("H264/90000", "H265/90000").replace("opus/48000/2", "PCMU/8000");
    let refusal = refusal(&offer);
    assert!(refusal.contains("H265") && refusal.contains("offer one of: h264, vp8, vp9, av1"), "{refusal}");
    assert!(refusal.contains("PCMU") && refusal.contains("offer one of: opus"), "{refusal}");
}

#[test]
fn audio_alone_is_recorded_when_the_video_cannot_be() {
    let offer = FFMPEG.replace("H264/90000", "H265/90000");
    let Ok((_, answered, tracks)) = answer(&offer) else {
        unreachable!("the audio can be recorded");
    };
    assert_eq!(tracks.iter().map(|track| track.kind).collect::<Vec<_>>(), [Kind::Audio]);
    assert!(answered.contains("m=video 0 "));
}

#[test]
fn a_fault_in_an_offer_is_the_publishers_not_ours() {
    for offer in
        ["v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n", "\u{1F600}", "v=0\nm=\n", "v=0\r\nm=audio 9 a b\r\na=rtpmap:x"]
    {
        assert!(!matches!(answer(offer), Ok(_) | Err(OfferError::Internal(_))), "{offer:?}");
    }
}

#[test]
fn damaged_offers_are_answered_or_refused_but_never_panic() {
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % u64::try_from(below).unwrap_or(1)).unwrap_or(0)
    };
    for offer in [CAMERA, SIMULCAST, FFMPEG] {
        let lines: Vec<&str> = offer.lines().collect();
        for _ in 0..150 {
            let mut damaged = lines.clone();
            let (from, to) = (next(lines.len()), next(lines.len()));
            match next(4) {
                0 => damaged.swap(from, to),
                1 => drop(damaged.remove(from)),
                2 => damaged.insert(to, lines[from]),
                _ => damaged.truncate(from),
            }
            let mut text = damaged.join("\r\n").into_bytes();
            if !text.is_empty() {
                let at = next(text.len());
                text[at] = u8::try_from(next(96)).unwrap_or(0) + 32;
            }
            let _ = answer(&String::from_utf8_lossy(&text));
        }
    }
}
