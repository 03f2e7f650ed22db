//! What one session may send: its own flood costs itself and is told, and what strangers send in its name costs it nothing.

mod support;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use soloist_core::net::Protocol;
use soloist_core::{CloseReason, Codec, Item, Session, SessionId, Settings};
use support::media::publish;
use support::{Rig, SILENCE, Scenario, settings, wishes};

#[test]
fn a_flood_of_sound_is_handed_on_at_the_rate_of_sound_and_the_rest_is_told() {
    let mut rig = Rig::connected(Scenario::default());
    let (seconds, per_turn, turn) = (3_u32, 20_u32, Duration::from_millis(5));
    let turns = 1_000 * seconds / 5;
    for number in 0..turns {
        for index in 0..per_turn {
            rig.send_audio(u64::from(number * per_turn + index) * 960, &[0xf8, 0xff, 0xfe]);
        }
        rig.run_for(turn);
    }
    rig.run_for(Duration::from_secs(1));
    let sent = u64::from(turns * per_turn);
    let frames = rig.frames_of(Codec::Opus).len() as u64;
    let refused = rig.engine.outbox().stats.packets_refused;
    assert!((1_500..=500 * 7).contains(&frames), "{frames} of {sent}");
    assert!(refused >= sent - frames - 50, "{refused} of {sent} refused, {frames} kept");
    let told: Vec<u64> = overflows(&rig);
    assert!(told.iter().sum::<u64>() * 10 >= refused * 9, "{told:?} of {refused}");
    assert!(told.len() < 40, "{}", told.len());
    for (index, item) in rig.items.iter().enumerate() {
        if let Item::Frame(frame) = item
            && frame.follows_gap
        {
            let before = index.checked_sub(1).and_then(|before| rig.items.get(before));
            assert!(matches!(before, Some(Item::Overflow { .. })), "a gap of ours is told as one of the network");
        }
    }
}

#[test]
fn what_is_sent_in_a_publishers_name_does_not_use_up_its_budget() {
    let publish_beside = |forged_count: usize| {
        let mut rig = Rig::connected(Scenario::default());
        rig.forger = Some(Box::new(move |genuine: &[u8]| {
            let mut damaged = genuine.to_vec();
            if let Some(last) = damaged.last_mut() {
                *last ^= 1;
            }
            [vec![damaged; forged_count], vec![genuine.to_vec(); forged_count]]
        }));
        let sent = publish(&mut rig, Codec::Vp8, 6, 30, 0);
        let kept = (rig.frames_of(Codec::Vp8).len(), rig.frames_of(Codec::Opus).len());
        (sent.pictures.len(), sent.sounds.len(), kept, rig.engine.outbox().stats.packets_refused, overflows(&rig).len())
    };
    let (pictures, sounds, kept, refused, overflows) = publish_beside(100);
    assert_eq!((kept, refused, overflows), ((pictures, sounds), 0, 0));
}

#[test]
fn media_in_a_publishers_name_before_its_handshake_does_not_use_up_its_budget() {
    let mut rig = Rig::new(Scenario::default());
    let sound = [0x80, 111, 0, 1, 0, 0, 0, 1, 0, 0, 0, 7, 0x55, 0x55];
    rig.forger = Some(Box::new(move |genuine: &[u8]| {
        let count = if genuine[0] < 64 { 2_000 } else { 0 };
        [Vec::new(), vec![sound.to_vec(); count]]
    }));
    rig.run_for(Duration::from_millis(300));
    assert!(rig.is_connected);
    rig.forger = None;
    let sent = publish(&mut rig, Codec::Vp8, 1, 30, 0);
    let refused = rig.engine.outbox().stats.packets_refused;
    assert_eq!((rig.frames_of(Codec::Opus).len(), refused), (sent.sounds.len(), 0));
}

#[test]
fn checks_that_are_sent_again_by_who_saw_them_leave_the_publisher_its_own() {
    let mut rig = Rig::connected(Scenario::default());
    let seen = Rc::new(RefCell::new(Vec::new()));
    let heard = seen.clone();
    rig.forger = Some(Box::new(move |genuine: &[u8]| {
        if genuine[0] > 3 {
            return Default::default();
        }
        let again = heard.borrow().last().map_or_else(Vec::new, |check: &Vec<u8>| vec![check.clone(); 4_000]);
        heard.borrow_mut().push(genuine.to_vec());
        [again, Vec::new()]
    }));
    rig.run_for(SILENCE);
    let checks = seen.borrow();
    assert!(checks.len() > 3, "{}", checks.len());
    assert!(checks.iter().all(|check| rig.answered.iter().any(|answered| answered == &check[8..20])));
    assert!(rig.engine.outbox().stats.packets_refused > 0);
}

#[test]
fn a_connection_that_brings_endless_records_is_cut_off_and_one_that_brings_too_much_sound_is_not() {
    let mut rig = Rig::connected(Scenario { protocol: Protocol::Tcp, ..Scenario::default() });
    let brought = |rig: &mut Rig, datagram: &[u8]| (0..2_000).filter(|_| rig.reach_receiver(datagram)).count();
    let sound = [0x80, 111, 0, 1, 0, 0, 0, 1, 0, 0, 0, 7, 0x55];
    assert_eq!(brought(&mut rig, &sound), 2_000);
    let record = [&[23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 30][..], &[7; 30]].concat();
    assert!((1_400..=1_600).contains(&brought(&mut rig, &record)));
    rig.run_for(Duration::from_secs(3));
    assert!((1_400..=1_600).contains(&brought(&mut rig, &[22])), "a record of one byte is refused by its looks");
}

#[test]
fn a_session_has_ten_seconds_to_connect_whatever_it_is_sent() {
    let mut rig = Rig::connected(Scenario::default());
    let offer = include_str!("vectors/ffmpeg-8.1-whip.sdp");
    let patient = Settings { silence_timeout: Duration::from_secs(60), ..settings(rig.now) };
    let Ok((ghost, _, _)) = Session::answer(&patient, SessionId(2), offer, &wishes(true), rig.now) else {
        unreachable!("the offer can be answered");
    };
    rig.engine.open(rig.now, ghost);
    publish(&mut rig, Codec::Vp8, 5, 60, 0); // And three seconds more.
    assert_eq!(rig.engine.outbox().stats.sessions, 2);
    publish(&mut rig, Codec::Vp8, 1, 60, 0);
    assert_eq!((rig.engine.outbox().stats.sessions, rig.engine.outbox().stats.connects_late), (1, 1));
    let ends = rig.items.iter().filter(|item| matches!(item, Item::Closed { reason: CloseReason::Timeout, .. }));
    assert_eq!(ends.count(), 1);
}

fn overflows(rig: &Rig) -> Vec<u64> {
    let counts = rig.items.iter().filter_map(|item| match item {
        Item::Overflow { packets_count, .. } => Some(*packets_count),
        _ => None,
    });
    counts.collect()
}
