//! A publisher on a bad network: what can be repaired is, what cannot is declared, and pictures go on.

mod support;

use std::collections::HashSet;
use std::time::Duration;

use soloist_core::{CloseReason, Codec, Frame, Item};
use str0m::RtcConfig;
use support::media::{Sent, digest, picture, publish, sound};
use support::network::Weather;
use support::{Rig, SESSION, Scenario};

#[test]
fn losing_a_twentieth_costs_no_picture() {
    for seed in 1..=4 {
        for codec in [Codec::Vp8, Codec::H264] {
            let weather = Weather::rough(seed, 5);
            let mut rig = Rig::connected(Scenario { codec, weather, ..Scenario::default() });
            let sent = publish(&mut rig, codec, 6, 60, 0);

            let received: Vec<u64> = rig.frames_of(codec).iter().map(|frame| digest(&frame.data)).collect();
            let missing: Vec<usize> =
                (0..sent.pictures.len()).filter(|at| !received.contains(&sent.pictures[*at])).collect();
            assert_eq!(missing, [0_usize; 0], "seed {seed}, {codec:?}");
            assert!(received == sent.pictures, "seed {seed}, {codec:?}: out of order");
            assert!(rig.frames_of(codec).iter().all(|frame| !frame.follows_gap), "seed {seed}, {codec:?}");
            let stats = rig.engine.outbox().stats;
            assert!(stats.packets_recovered > 10 && stats.nacks_sent > 0, "seed {seed}: {stats:?}");
        }
    }
}

#[test]
fn redundant_audio_fills_single_losses() {
    let lost = |with_red: bool| -> usize {
        let mut total = 0;
        for seed in 1..=4 {
            let mut rig =
                Rig::connected(Scenario { with_red, weather: Weather::rough(seed, 5), ..Scenario::default() });
            let sent = publish(&mut rig, Codec::Vp8, 6, 60, 0);
            let received: HashSet<u64> = rig.frames_of(Codec::Opus).iter().map(|frame| digest(&frame.data)).collect();
            assert!(received.iter().all(|sound| sent.sounds.contains(sound)), "seed {seed}");
            total += sent.sounds.len() - received.len();
        }
        total
    };
    let (with, without) = (lost(true), lost(false));
    assert!(without > 40, "{without} lost without redundancy");
    assert!(with * 5 < without, "{with} lost with redundancy, {without} without");
}

/// Send four seconds of sound of which the packets that `is_lost` names never arrive; return digests sent and frames.
fn sound_with(distances: &[u32], is_lost: fn(u32) -> bool) -> (Vec<u64>, Vec<Frame>) {
    let config = RtcConfig::new().set_red_distances(distances);
    let mut rig = Rig::connected(Scenario { config, ..Scenario::default() });
    let mut sent = Vec::new();
    for number in 0..200_u32 {
        let data = sound(number);
        sent.push(digest(&data));
        rig.network.is_down = is_lost(number);
        rig.send_audio(u64::from(number) * 960, &data);
        rig.network.is_down = false;
        rig.run_for(Duration::from_millis(20));
    }
    rig.run_for(Duration::from_secs(1));
    (sent, rig.frames_of(Codec::Opus).into_iter().cloned().collect())
}

#[test]
fn redundant_sound_repairs_single_losses_and_bursts_bit_for_bit_and_in_order() {
    let single = sound_with(&[1], |number| number % 4 == 2);
    let burst = sound_with(&[1, 2, 3], |number| matches!(number % 10, 4..=6));
    for (sent, frames) in [single, burst] {
        assert!(frames.iter().map(|frame| digest(&frame.data)).eq(sent.iter().copied()));
        assert!(frames.iter().all(|frame| frame.packets_lost == 0 && !frame.follows_gap));
        assert!(frames.windows(2).all(|pair| pair[1].rtp_ticks - pair[0].rtp_ticks == 960));
    }
}

#[test]
fn of_a_burst_longer_than_the_redundancy_the_rest_is_counted_as_lost() {
    let (sent, frames) = sound_with(&[1], |number| matches!(number % 20, 4..=7));
    assert_eq!(sent.len() - frames.len(), 30);
    let counted: Vec<u64> = frames.iter().map(|frame| frame.packets_lost).filter(|lost| *lost > 0).collect();
    assert_eq!(counted, [3; 10]);
}

#[test]
fn two_jobs_that_record_one_source_ask_it_no_more_than_one() {
    let asked = |jobs: usize| -> usize {
        let mut rig = Rig::connected(Scenario { codec: Codec::H264, ..Scenario::default() });
        let mid = rig.video_mid();
        for number in 0..600_u32 {
            // A publisher that takes its time: it answers each request a second later.
            let is_keyframe = number % 30 == 0;
            rig.send_video(Codec::H264, None, u64::from(number) * 3_000, &picture(Codec::H264, number, is_keyframe));
            for _ in 0..jobs {
                rig.engine.request_keyframe(rig.now, SESSION, &mid, None);
            }
            rig.run_for(Duration::from_millis(33));
        }
        rig.keyframe_requests.len()
    };
    let (one, two) = (asked(1), asked(2));
    assert!((15..=24).contains(&one), "{one} requests in 20 s");
    assert_eq!(two, one);
}

#[test]
fn audio_lost_for_good_is_flagged_on_the_next_packet() {
    let mut rig = Rig::connected(Scenario { with_red: false, weather: Weather::rough(3, 10), ..Scenario::default() });
    let sent = publish(&mut rig, Codec::Vp8, 6, 60, 0);
    let audio = rig.frames_of(Codec::Opus);
    assert!(audio.len() < sent.sounds.len());
    for pair in audio.windows(2) {
        let is_gap = pair[1].rtp_ticks - pair[0].rtp_ticks > 960;
        assert_eq!(pair[1].follows_gap, is_gap);
    }
}

/// Publish, let `between` happen for five seconds, and publish on; return the frames from then on.
fn frames_after(codec: Codec, between: fn(&mut Rig)) -> Vec<Frame> {
    let mut rig = Rig::connected(Scenario { codec, with_red: false, ..Scenario::default() });
    publish(&mut rig, codec, 2, 60, 0);
    let before = rig.frames().count();
    between(&mut rig);
    publish(&mut rig, codec, 2, 60, 2_000_000);
    rig.frames().skip(before).cloned().collect()
}

#[test]
fn what_was_not_sent_leaves_the_numbering_whole() {
    for codec in [Codec::H264, Codec::Vp8] {
        let frames = frames_after(codec, |rig| rig.run_for(Duration::from_secs(5)));
        assert!(frames.len() > 150);
        assert!(frames.iter().all(|frame| frame.packets_lost == 0 && !frame.follows_gap), "{codec:?}");
    }
}

#[test]
fn what_was_sent_into_a_blackout_is_counted_on_the_first_frame_after_it() {
    let blackout = |rig: &mut Rig| {
        rig.network.is_down = true;
        publish(rig, Codec::H264, 5, 60, 500_000);
        rig.network.is_down = false;
    };
    let frames = frames_after(Codec::H264, blackout);
    let first = |codec| frames.iter().find(|frame| frame.codec == codec).map_or(0, |frame| frame.packets_lost);
    assert_eq!(first(Codec::Opus), 250);
    assert!(first(Codec::H264) > 300, "{} packets of 150 pictures", first(Codec::H264));
    let counted: Vec<u64> = frames.iter().map(|frame| frame.packets_lost).filter(|lost| *lost > 0).collect();
    assert_eq!(counted.len(), 2, "{counted:?}");
}

#[test]
fn each_packet_of_sound_lost_for_good_is_counted_once() {
    for with_red in [false, true] {
        let weather = Weather::rough(5, 15);
        let mut rig = Rig::connected(Scenario { with_red, weather, ..Scenario::default() });
        let sent = publish(&mut rig, Codec::Vp8, 10, 60, 0);
        let frames = rig.frames_of(Codec::Opus);
        let counted: u64 = frames.iter().map(|frame| frame.packets_lost).sum();
        // Those after the last packet that came are not yet known to be missing.
        let known = frames.last().map_or(0, |frame| usize::try_from(frame.rtp_ticks).unwrap_or(0) / 960 + 1);
        assert_eq!(counted, (known.min(sent.sounds.len()) - frames.len()) as u64, "redundancy: {with_red}");
        assert!(frames.iter().all(|frame| (frame.packets_lost > 0) == frame.follows_gap), "redundancy: {with_red}");
    }
}

#[test]
fn after_unrepairable_loss_a_keyframe_is_asked_for_and_everything_after_it_decodes() {
    for seed in 1..=4 {
        let mut rig = Rig::connected(Scenario { codec: Codec::H264, ..Scenario::default() });
        publish(&mut rig, Codec::H264, 2, 10_000, 0);
        let before = rig.frames_of(Codec::H264).len();
        rig.network.is_down = true;
        publish(&mut rig, Codec::H264, 1 + seed, 10_000, 500_000);
        rig.network.is_down = false;
        let asked_before = rig.keyframe_requests.len();
        publish(&mut rig, Codec::H264, 6, 10_000, 2_000_000);

        let after = &rig.frames_of(Codec::H264)[before..];
        let gap = after.iter().position(|frame| frame.follows_gap);
        assert!(gap.is_some(), "seed {seed}: the outage left no gap");
        assert!(after[gap.unwrap_or(0)..].iter().any(|frame| frame.is_keyframe), "seed {seed}: no keyframe followed");
        assert!(rig.keyframe_requests.len() - asked_before <= 6, "seed {seed}: more than one request a second");
    }
}

#[test]
fn a_third_lost_still_leaves_a_recording_with_every_gap_declared() {
    for seed in 1..=3 {
        let mut rig =
            Rig::connected(Scenario { codec: Codec::H264, weather: Weather::rough(seed, 30), ..Scenario::default() });
        let sent = publish(&mut rig, Codec::H264, 20, 10_000, 0);
        let frames = rig.frames_of(Codec::H264);
        assert!(frames.len() * 2 > sent.pictures.len(), "seed {seed}: {} of {}", frames.len(), sent.pictures.len());
        for pair in frames.windows(2) {
            let is_gap = pair[1].rtp_ticks - pair[0].rtp_ticks != 3_000;
            assert!(!is_gap || pair[1].follows_gap, "seed {seed}: an undeclared gap");
        }
        let asked = rig.engine.outbox().stats.plis_sent;
        assert!(asked <= 27, "seed {seed}: {asked} requests in 23 s");
    }
}

#[test]
fn a_publisher_that_begins_without_a_keyframe_is_asked_for_one_at_once() {
    let mut rig = Rig::connected(Scenario::default());
    let delta = picture(Codec::Vp8, 1, false);
    rig.send_video(Codec::Vp8, None, 0, &delta);
    rig.run_for(Duration::from_millis(60));
    assert_eq!(rig.keyframe_requests.len(), 1);
}

#[test]
fn requests_back_off_while_a_publisher_does_not_answer() {
    let mut rig = Rig::connected(Scenario::default());
    let begin = rig.now;
    for number in 0..480_u32 {
        let delta = picture(Codec::Vp8, number, false);
        rig.send_video(Codec::Vp8, None, u64::from(number) * 3_000, &delta);
        rig.run_for(Duration::from_millis(33));
    }
    let at: Vec<u128> = rig.keyframe_requests.iter().map(|(at, _)| at.duration_since(begin).as_millis()).collect();
    let gaps: Vec<u128> = at.windows(2).map(|pair| (pair[1] - pair[0] + 60) / 100).collect();
    assert_eq!(gaps, [5, 10, 20, 40, 40, 40], "{at:?}");
}

/// Send thirty sounds and pictures, 10 ms apart, the first of which travel so much longer; return what was sent.
fn overtaken(rig: &mut Rig, codec: Codec, detours_ms: &[u64]) -> Sent {
    let mut sent = Sent::default();
    for number in 0..30_u32 {
        let detour_ms = usize::try_from(number).ok().and_then(|at| detours_ms.get(at)).copied().unwrap_or(0);
        rig.network.detour = Duration::from_millis(detour_ms);
        let (sound, picture) = (sound(number), picture(codec, number, number == 0));
        rig.send_audio(u64::from(number) * 960, &sound);
        rig.send_video(codec, None, u64::from(number) * 3_000, &picture);
        sent.sounds.push(digest(&sound));
        sent.pictures.push(digest(&picture));
        rig.run_for(Duration::from_millis(10));
    }
    rig.network.detour = Duration::ZERO;
    rig.run_for(Duration::from_secs(1));
    sent
}

#[test]
fn the_first_packets_of_a_session_may_overtake_each_other() {
    for codec in [Codec::H264, Codec::Vp8, Codec::Vp9] {
        for detours_ms in [&[15][..], &[35, 20], &[35, 25, 15]] {
            let mut rig = Rig::connected(Scenario { codec, with_red: false, ..Scenario::default() });
            let sent = overtaken(&mut rig, codec, detours_ms);
            let digests = |codec| rig.frames_of(codec).iter().map(|frame| digest(&frame.data)).collect::<Vec<u64>>();
            assert_eq!(digests(Codec::Opus), sent.sounds, "{detours_ms:?}");
            assert!(digests(codec) == sent.pictures, "{codec:?}, {detours_ms:?}");
            assert!(rig.frames().all(|frame| !frame.follows_gap), "{codec:?}, {detours_ms:?}");
        }
    }
}

#[test]
fn what_came_behind_a_loss_is_handed_over_when_the_publisher_leaves() {
    let hang_up = |rig: &mut Rig| {
        rig.publisher.close().ok();
    };
    let is_deleted = |rig: &mut Rig| rig.engine.close(rig.now, SESSION);
    for leave in [hang_up, is_deleted] {
        let mut rig = Rig::connected(Scenario { codec: Codec::H264, with_red: false, ..Scenario::default() });
        publish(&mut rig, Codec::H264, 2, 60, 0);
        rig.network.is_down = true;
        publish(&mut rig, Codec::H264, 6, 60, 500_000);
        rig.network.is_down = false;
        let before = rig.frames().count();
        let mut sent = Vec::new();
        for number in 0..9_u32 {
            let picture = picture(Codec::H264, number, number == 0);
            rig.send_video(Codec::H264, None, 2_000_000 + u64::from(number) * 3_000, &picture);
            sent.push(digest(&picture));
            rig.run_for(Duration::from_millis(33));
        }
        leave(&mut rig);
        rig.drain();
        rig.run_for(Duration::from_millis(100));

        let frames: Vec<&Frame> = rig.frames().skip(before).collect();
        assert!(frames.iter().map(|frame| digest(&frame.data)).eq(sent));
        assert!(frames[0].follows_gap && frames[0].packets_lost > 300, "{} lost", frames[0].packets_lost);
        assert_eq!(rig.close_reason(), Some(CloseReason::Closed));
        assert!(matches!(rig.items.last(), Some(Item::Closed { .. })));
    }
}
