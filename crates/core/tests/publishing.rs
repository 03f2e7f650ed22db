//! A publisher on a good network: everything it sends arrives, unchanged and in order.

mod support;

use std::time::Duration;

use soloist_core::net::Protocol;
use soloist_core::{CloseReason, Codec, Frame, Item, Kind, OfferError, SessionId};
use support::media::{self, AUDIO_TICKS, VIDEO_TICKS, digest, publish};
use support::{Rig, Scenario, UNIX_START_NS};

fn data(frames: &[&Frame]) -> Vec<u64> {
    frames.iter().map(|frame| digest(&frame.data)).collect()
}

#[test]
fn frames_out_are_frames_in_for_every_codec() {
    for codec in [Codec::Vp8, Codec::H264, Codec::Vp9] {
        let mut rig = Rig::connected(Scenario { codec, ..Scenario::default() });
        let sent = publish(&mut rig, codec, 4, 60, 0);

        assert_eq!(data(&rig.frames_of(codec)), sent.pictures, "{codec:?}");
        assert_eq!(data(&rig.frames_of(Codec::Opus)), sent.sounds, "{codec:?}");
        assert!(rig.frames().all(|frame| !frame.follows_gap));
    }
}

#[test]
fn vp9_numbers_that_wrap_are_no_loss() {
    let mut rig = Rig::connected(Scenario { codec: Codec::Vp9, ..Scenario::default() });
    publish(&mut rig, Codec::Vp9, 10, 1_000, 0);

    let follow_gap = rig.frames_of(Codec::Vp9).iter().filter(|frame| frame.follows_gap && !frame.is_keyframe).count();
    assert_eq!(follow_gap, 0);
}

#[test]
fn vp9_whose_picture_numbers_wrap_goes_on_after_seconds_with_a_declared_gap() {
    let mut rig = Rig::connected(Scenario { codec: Codec::Vp9, ..Scenario::default() });
    let mut answered = 0;
    // Somewhere among so many the number of fifteen bits wraps.
    for number in 0..33_000_u32 {
        let is_keyframe = number == 0 || rig.keyframe_requests.len() > answered;
        answered = rig.keyframe_requests.len();
        let data = media::vp9(&number.to_be_bytes(), is_keyframe);
        rig.send_video(Codec::Vp9, None, u64::from(number) * 90, &data);
        rig.run_for(Duration::from_millis(1));
    }
    rig.run_for(Duration::from_secs(5));

    let frames = rig.frames_of(Codec::Vp9);
    assert!(frames.len() > 33_000 - 5_000, "{} frames", frames.len());
    let resumed: Vec<_> = frames.iter().filter(|frame| frame.follows_gap).collect();
    assert!(resumed.len() <= 1 && resumed.iter().all(|frame| frame.is_keyframe && frame.packets_lost > 1_000));
}

#[test]
fn keyframes_carry_their_size_and_other_frames_none() {
    for (codec, size) in [(Codec::Vp8, (640, 360)), (Codec::H264, (320, 180)), (Codec::Vp9, (320, 180))] {
        let mut rig = Rig::connected(Scenario { codec, ..Scenario::default() });
        publish(&mut rig, codec, 1, 15, 0);

        let sizes: Vec<_> =
            rig.frames_of(codec).iter().map(|frame| (frame.is_keyframe, (frame.width, frame.height))).collect();
        assert_eq!(sizes.iter().filter(|(is_keyframe, _)| *is_keyframe).count(), 2);
        assert!(sizes.iter().all(|(is_keyframe, seen)| *seen == if *is_keyframe { size } else { (0, 0) }));
    }
}

#[test]
fn tracks_are_told_in_the_offers_order_with_what_was_accepted() {
    let rig = Rig::new(Scenario { codec: Codec::H264, ..Scenario::default() });
    let told: Vec<_> = rig.tracks.iter().map(|track| (track.kind, track.codecs.clone(), track.rids.len())).collect();
    assert_eq!(told, [(Kind::Audio, vec![Codec::Opus], 0), (Kind::Video, vec![Codec::H264], 0)]);
}

#[test]
fn ticks_and_arrival_advance_together_from_the_clock_given() {
    let mut rig = Rig::connected(Scenario::default());
    publish(&mut rig, Codec::Vp8, 2, 60, 90_000);

    let video = rig.frames_of(Codec::Vp8);
    assert!(video.windows(2).all(|pair| pair[1].rtp_ticks - pair[0].rtp_ticks == VIDEO_TICKS.cast_signed()));
    let audio = rig.frames_of(Codec::Opus);
    assert!(audio.windows(2).all(|pair| pair[1].rtp_ticks - pair[0].rtp_ticks == AUDIO_TICKS.cast_signed()));
    let span_ns = video[59].received_ns - video[0].received_ns;
    assert!((span_ns - 59 * 33_333_333).abs() < 3_000_000, "{span_ns}");
    // Connecting took the first second, the network 10 ms.
    assert!((video[0].received_ns - UNIX_START_NS - 1_010_000_000).abs() < 2_000_000);
}

#[test]
fn ticks_go_on_across_the_wrap_of_rtp_time() {
    let mut rig = Rig::connected(Scenario::default());
    let before_wrap = (1 << 32) - 45_000;
    let sent = publish(&mut rig, Codec::Vp8, 2, 60, before_wrap);

    let video = rig.frames_of(Codec::Vp8);
    assert_eq!(video.len(), sent.pictures.len());
    assert!(video.windows(2).all(|pair| pair[1].rtp_ticks - pair[0].rtp_ticks == VIDEO_TICKS.cast_signed()));
}

#[test]
fn sender_reports_lie_on_the_axis_of_the_frames_also_across_the_wrap() {
    let mut rig = Rig::connected(Scenario::default());
    publish(&mut rig, Codec::Vp8, 8, 60, (1 << 32) - 200_000);

    let video_mid = rig.video_mid();
    let reports: Vec<_> = rig.sender_reports().into_iter().filter(|report| *report.layer.mid == *video_mid).collect();
    assert!(reports.len() >= 3, "{} reports", reports.len());
    let video = rig.frames_of(Codec::Vp8);
    let (first, last) = (video[0].rtp_ticks, video[video.len() - 1].rtp_ticks);
    for report in reports {
        assert!((first..=last + 900_000).contains(&report.rtp_ticks), "{report:?} outside {first}..{last}");
        // The sender's clock and ours are one here, so both pairings of time must agree.
        let ticks_since = report.rtp_ticks - first;
        let ns_since = report.received_ns - video[0].received_ns;
        assert!((ticks_since * 100_000 / 9 - ns_since).abs() < 60_000_000, "{ticks_since} ticks in {ns_since} ns");
    }
}

#[test]
fn a_keyframe_without_parameter_sets_gets_those_sent_before() {
    let mut rig = Rig::connected(Scenario { codec: Codec::H264, ..Scenario::default() });
    rig.send_video(Codec::H264, None, 0, &media::h264(b"first", true, true));
    rig.run_for(Duration::from_millis(100));
    rig.send_video(Codec::H264, None, 9_000, &media::h264(b"second", true, false));
    rig.run_for(Duration::from_millis(100));

    let frames = rig.frames_of(Codec::H264);
    assert_eq!(&*frames[1].data, media::h264(b"second", true, true));
    assert_eq!((frames[1].width, frames[1].height), (320, 180));
}

#[test]
fn a_keyframe_without_parameter_sets_gets_those_of_the_offer() {
    // base64 of the parameter sets above.
    let edit_offer = |offer: String| {
        offer.replace(
            "profile-level-id=42001f",
            "profile-level-id=42001f;sprop-parameter-sets=Z0LADdkBQZ+eEAAAAwAQAAADA8DxQqSA,aMuDyyA=",
        )
    };
    let mut rig = Rig::connected(Scenario { codec: Codec::H264, edit_offer, ..Scenario::default() });
    rig.send_video(Codec::H264, None, 0, &media::h264(b"only", true, false));
    rig.run_for(Duration::from_millis(100));

    assert_eq!(&*rig.frames_of(Codec::H264)[0].data, media::h264(b"only", true, true));
}

#[test]
fn the_picture_an_sfu_flushes_decoders_with_is_not_handed_over() {
    let mut rig = Rig::connected(Scenario::default());
    rig.send_video(Codec::Vp8, None, 0, &media::picture(Codec::Vp8, 0, true));
    rig.run_for(Duration::from_millis(50));
    rig.send_video(Codec::Vp8, None, 3_000, &[0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 8, 0, 8, 0, 0, 1, 2]);
    rig.run_for(Duration::from_millis(50));
    rig.send_video(Codec::Vp8, None, 6_000, &media::picture(Codec::Vp8, 2, true));
    rig.run_for(Duration::from_millis(50));

    assert_eq!(rig.frames_of(Codec::Vp8).iter().map(|frame| frame.width).collect::<Vec<_>>(), [640, 640]);
}

#[test]
fn layers_arrive_apart_and_a_request_reaches_the_layer_it_names() {
    let mut rig = Rig::connected(Scenario { rids: vec!["q", "h", "f"], ..Scenario::default() });
    assert_eq!(rig.tracks[1].rids.iter().map(|rid| &**rid).collect::<Vec<_>>(), ["q", "h", "f"]);
    for number in 0..30_u32 {
        for rid in ["q", "h", "f"] {
            let data = media::picture(Codec::Vp8, number, number == 0);
            rig.send_video(Codec::Vp8, Some(rid), u64::from(number) * VIDEO_TICKS, &data);
        }
        rig.run_for(Duration::from_millis(33));
    }
    for rid in ["q", "h", "f"] {
        let of_layer = rig.frames().filter(|frame| frame.layer.rid.as_deref() == Some(rid)).count();
        assert_eq!(of_layer, 30, "{rid}");
    }
    let (mid, now) = (rig.video_mid(), rig.now);
    rig.engine.request_keyframe(now, support::SESSION, &mid, Some("h"));
    rig.run_for(Duration::from_millis(50));
    let asked: Vec<_> =
        rig.keyframe_requests.iter().filter_map(|(_, request)| request.rid).map(|rid| rid.to_string()).collect();
    assert_eq!(asked, ["h"]);
}

#[test]
fn a_publisher_that_says_goodbye_closes_the_session_at_once() {
    let mut rig = Rig::connected(Scenario::default());
    publish(&mut rig, Codec::Vp8, 1, 60, 0);
    rig.publisher.close().ok();
    rig.drain();
    rig.run_for(Duration::from_millis(100));
    assert_eq!(rig.close_reason(), Some(CloseReason::Closed));
    assert_eq!(rig.engine.outbox().stats.sessions, 0);
}

#[test]
fn a_session_closed_by_us_says_goodbye_to_the_publisher() {
    let mut rig = Rig::connected(Scenario::default());
    let now = rig.now;
    rig.engine.close(now, support::SESSION);
    rig.drain();
    rig.run_for(Duration::from_millis(100));
    assert!(rig.publisher_heard_goodbye);
    assert_eq!(rig.close_reason(), Some(CloseReason::Closed));
}

#[test]
fn a_publisher_that_falls_silent_times_out_after_the_limit() {
    let mut rig = Rig::connected(Scenario::default());
    publish(&mut rig, Codec::Vp8, 1, 60, 0);
    rig.network.is_down = true;
    let silent_since = rig.now;
    rig.run_for(support::SILENCE * 4 / 5);
    assert_eq!(rig.close_reason(), None);
    rig.run_for(Duration::from_secs(4));
    assert_eq!(rig.close_reason(), Some(CloseReason::Timeout));
    let closed_ns = rig.items.iter().find_map(|item| match item {
        Item::Closed { received_ns, .. } => Some(*received_ns),
        _ => None,
    });
    let limit = silent_since + support::SILENCE - rig.start;
    assert!(closed_ns.is_some_and(|at| at - UNIX_START_NS <= i64::try_from(limit.as_nanos()).unwrap_or(0)));
}

#[test]
fn a_muted_publisher_that_still_answers_stays() {
    let mut rig = Rig::connected(Scenario::default());
    rig.run_for(Duration::from_secs(60));
    assert_eq!(rig.close_reason(), None);
}

#[test]
fn a_session_nobody_comes_to_times_out() {
    let mut rig = Rig::new(Scenario::default());
    rig.network.is_down = true;
    rig.run_for(support::SILENCE + Duration::from_secs(1));
    assert_eq!(rig.close_reason(), Some(CloseReason::Timeout));
}

#[test]
fn a_certificate_other_than_the_offers_ends_the_session() {
    let edit_offer = |offer: String| {
        let at = offer.find("sha-256 ").map_or(0, |at| at + 8);
        let fake = (0..32).map(|_| "AB").collect::<Vec<_>>().join(":");
        let real = offer[at..at + fake.len()].to_owned();
        offer.replace(&real, &fake)
    };
    let mut rig = Rig::new(Scenario { edit_offer, ..Scenario::default() });
    rig.run_for(Duration::from_secs(2));
    assert_eq!(rig.close_reason(), Some(CloseReason::Dtls));
    assert!(!rig.items.iter().any(|item| matches!(item, Item::Connected { .. })));
}

#[test]
fn a_publisher_behind_a_wall_of_udp_publishes_over_tcp() {
    let mut rig = Rig::connected(Scenario { protocol: Protocol::Tcp, ..Scenario::default() });
    let sent = publish(&mut rig, Codec::Vp8, 2, 60, 0);
    assert_eq!(data(&rig.frames_of(Codec::Vp8)), sent.pictures);
}

#[test]
fn a_restart_of_ice_changes_the_credentials_and_loses_nothing() {
    let mut rig = Rig::connected(Scenario::default());
    let before = publish(&mut rig, Codec::Vp8, 2, 60, 0);
    rig.restart_ice();
    let after = publish(&mut rig, Codec::Vp8, 8, 60, 1_000_000);

    let sent = [before.pictures, after.pictures].concat();
    assert_eq!(data(&rig.frames_of(Codec::Vp8)), sent);
    rig.run_for(support::SILENCE * 2);
    assert_eq!(rig.close_reason(), None, "the new credentials keep the session alive");
}

#[test]
fn a_restart_with_unusable_credentials_or_of_no_session_is_refused() {
    let mut rig = Rig::connected(Scenario::default());
    let now = rig.now;
    let refused = rig.engine.restart_ice(now, support::SESSION, "a b", "c");
    assert!(matches!(refused, Err(OfferError::Malformed(_))));
    let gone = rig.engine.restart_ice(now, SessionId(9), "abcd", "0123456789012345678901");
    assert_eq!(gone, Err(OfferError::SessionGone));
    assert_eq!(rig.close_reason(), None);
}
