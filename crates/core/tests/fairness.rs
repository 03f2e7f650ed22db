//! The store between the core and its reader is fair: who keeps within its share loses nothing to anybody.

use soloist_core::item::LayerName;
use soloist_core::portion::ITEMS_PER_SESSION_MAX as ITEMS_PER_TURN;
use soloist_core::queue::{ITEMS_PER_SESSION_MAX, Pushed};
use soloist_core::{Budget, CloseReason, Codec, Frame, Item, SessionId};
use std::time::Instant;

const SESSION: SessionId = SessionId(1);

/// A queue whose time stands still.
struct Queue(soloist_core::Queue, Instant);

impl Queue {
    fn new(bytes_max: usize) -> Self {
        Self(soloist_core::Queue::new(bytes_max, Budget::default()), Instant::now())
    }

    fn push(&mut self, session: SessionId, item: Item) -> Pushed {
        self.0.push(self.1, session, item)
    }

    fn drain(&mut self) -> Vec<(SessionId, Vec<Item>)> {
        self.0.drain(self.1)
    }
}

/// A frame whose RTP time is also its arrival, in nanoseconds.
fn frame(codec: Codec, rtp_ticks: i64, bytes: usize, is_keyframe: bool) -> Item {
    Item::Frame(Frame {
        layer: LayerName { mid: codec.name().into(), rid: None },
        codec,
        rtp_ticks,
        is_keyframe,
        follows_gap: false,
        packets_lost: 0,
        received_ns: rtp_ticks,
        width: 0,
        height: 0,
        data: vec![0; bytes].into(),
    })
}

/// Describe items as `ticks` for frames (`!` after a gap) and `-count` for overflows.
fn described(queue: &mut Queue) -> Vec<String> {
    let items = queue.drain().into_iter().flat_map(|(_, items)| items);
    items
        .map(|item| match item {
            Item::Frame(frame) => format!("{}{}", frame.rtp_ticks, if frame.follows_gap { "!" } else { "" }),
            Item::Overflow { frames_count, .. } => format!("-{frames_count}"),
            other => format!("{other:?}"),
        })
        .collect()
}

fn sized(codec: Codec, rtp_ticks: i64, bytes: usize) -> Item {
    frame(codec, rtp_ticks, bytes, true)
}

/// Count frames handed out, and frames told as dropped.
fn counted(groups: &[(SessionId, Vec<Item>)], of: SessionId) -> (u64, u64) {
    let items = groups.iter().filter(|(session, _)| *session == of).flat_map(|(_, items)| items);
    items.fold((0, 0), |(frames, dropped), item| match item {
        Item::Frame(_) => (frames + 1, dropped),
        Item::Overflow { frames_count, .. } => (frames, dropped + frames_count),
        _ => (frames, dropped),
    })
}

#[test]
fn a_session_within_its_share_never_loses_an_item_and_every_loss_is_told() {
    const OTHERS: u64 = 4;
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    for round in 0..40_i64 {
        let mut queue = Queue::new(1_000_000);
        let (mut sent, mut told) = (vec![0; 5], vec![(0, 0); 5]);
        for step in 0..3_000_i64 {
            let ticks = (round * 3_000 + step) * 10_000_000;
            let greedy = 1 + next(OTHERS);
            let bytes = usize::try_from(next(20_000)).unwrap_or(0);
            let codec = if next(2) == 0 { Codec::Opus } else { Codec::H264 };
            queue.push(SessionId(greedy), sized(codec, ticks, bytes));
            sent[usize::try_from(greedy).unwrap_or(0)] += 1;
            if step % 50 == 0 {
                // 1,000,000 less the part of sound, by five, is 187,500: what it brings between two takings is less.
                assert_eq!(queue.push(SessionId(0), sized(Codec::H264, ticks, 10_000)), Pushed::Stored);
                sent[0] += 1;
            }
            if next(600) == 0 || step % 800 == 799 {
                let groups = queue.drain();
                for (of, told) in told.iter_mut().enumerate() {
                    let (frames, dropped) = counted(&groups, SessionId(of as u64));
                    *told = (told.0 + frames, told.1 + dropped);
                }
            }
        }
        while !queue.0.is_empty() {
            let groups = queue.drain();
            for (of, told) in told.iter_mut().enumerate() {
                let (frames, dropped) = counted(&groups, SessionId(of as u64));
                *told = (told.0 + frames, told.1 + dropped);
            }
        }
        assert_eq!(told[0], (sent[0], 0));
        for of in 1..5 {
            assert_eq!(told[of].0 + told[of].1, sent[of], "session {of} in round {round}");
        }
        assert!(queue.0.bytes() == 0 && queue.0.bytes_peak() < 1_100_000, "{}", queue.0.bytes_peak());
    }
}

#[test]
fn room_is_made_by_the_newest_of_the_greediest_whose_layers_begin_anew() {
    let mut queue = Queue::new(200_000);
    for ticks in 0..30 {
        queue.push(SessionId(1), sized(Codec::H264, ticks, 5_000));
    }
    assert_eq!(queue.push(SessionId(2), sized(Codec::H264, 0, 60_000)), Pushed::Stored);
    let starved: Vec<u64> = queue.0.take_starved().iter().map(|(session, _)| session.0).collect();
    assert_eq!(starved, [1]);
    let told = described(&mut queue);
    assert_eq!(told[..3], ["0", "1", "2"]);
    assert!(told[told.len() - 2].starts_with('-'), "{told:?}");
    queue.push(SessionId(1), frame(Codec::H264, 50, 3, false));
    queue.push(SessionId(1), frame(Codec::H264, 51, 3, true));
    assert_eq!(described(&mut queue), ["-1", "51!"]);
}

#[test]
fn nobody_waits_behind_anothers_backlog() {
    let mut queue = Queue::new(100_000_000);
    for ticks in 0..1_000 {
        queue.push(SessionId(1), sized(Codec::Opus, ticks, 3));
    }
    queue.push(SessionId(2), sized(Codec::Opus, 0, 3));
    let counts: Vec<usize> = queue.drain().iter().map(|(_, items)| items.len()).collect();
    assert_eq!(counts, [ITEMS_PER_TURN, 1]);
}

#[test]
fn more_frames_a_second_than_anybody_sends_are_dropped_and_told() {
    let mut queue = Queue::new(100_000_000);
    let pushed = (0..250_000).map(|index| queue.push(SESSION, sized(Codec::Opus, index * 40_000, 3)));
    let stored = pushed.filter(|pushed| *pushed == Pushed::Stored).count();
    assert!((6_000..=6_500).contains(&stored), "{stored}");
    assert_eq!(queue.push(SESSION, sized(Codec::H264, 10_000_000_000, 3)), Pushed::Stored);
}

#[test]
fn items_of_one_session_that_wait_are_bounded() {
    let mut queue = Queue::new(100_000_000);
    for index in 0..100_000 {
        queue.push(SESSION, sized(Codec::Opus, index * 2_500_000, 3));
    }
    let waiting = ITEMS_PER_SESSION_MAX;
    let (mut frames, mut told) = (0, 0);
    while !queue.0.is_empty() {
        let (more, dropped) = counted(&queue.drain(), SESSION);
        (frames, told) = (frames + more, told + dropped);
    }
    assert_eq!((frames, told), (waiting as u64, 100_000 - waiting as u64));
}

#[test]
fn what_waits_of_some_sessions_is_known_by_number() {
    let mut queue = Queue::new(100_000_000);
    for ticks in 0..200 {
        queue.push(SESSION, sized(Codec::Opus, ticks, 3));
    }
    let mark = queue.0.number();
    queue.push(SESSION, sized(Codec::Opus, 200, 3));
    assert!(queue.0.has_handed_out(mark, &[SessionId(2)]) && !queue.0.has_handed_out(mark, &[SESSION]));
    queue.drain();
    assert!(!queue.0.has_handed_out(mark, &[SESSION]));
    queue.drain();
    assert!(queue.0.has_handed_out(mark, &[SESSION]));
}

#[test]
fn the_end_of_a_session_stays_its_last_item_when_what_came_before_makes_room() {
    let mut queue = Queue::new(100_000);
    for ticks in 0..8 {
        queue.push(SESSION, sized(Codec::H264, ticks, 10_000));
    }
    queue.push(SESSION, Item::Closed { reason: CloseReason::Closed, received_ns: 0 });
    assert_eq!(queue.push(SessionId(2), sized(Codec::H264, 0, 40_000)), Pushed::Stored);
    let groups = queue.drain();
    let (_, items) = &groups[0];
    assert!(matches!(items.last(), Some(Item::Closed { .. })));
    let (frames, dropped) = counted(&groups, SESSION);
    assert!(dropped > 0 && frames + dropped == 8);
    assert!(queue.0.is_empty());
}
