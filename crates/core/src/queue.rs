//! The bounded store between the receive core and its reader, fair by session.
//!
//! Each session has a backlog of its own, and hands out from it in turn, so that nobody waits behind another's. Policy
//! when full: whoever holds no more than its share (what there is, by the sessions that wait) is given room, taken from
//! the newest frames of the session that holds most over its share. One that is over its share loses what it brings.
//! Video may fill all but a sixteenth of the room, the rest is kept for audio, which is small and cannot be asked for
//! again. Besides, a session has a number of items that may wait, and of frames a second.
//!
//! A reader that does not keep up would be further behind with every second. While it falls behind, a session whose next
//! frame would wait for more than two seconds is late: it loses what it brings until it has caught up. A reader that only
//! stood still, as one does behind a disk that stalls, catches up faster than media comes, and nobody loses anything.
//!
//! A video layer that loses a frame is dropped up to its next keyframe that fits, audio frame by frame. Each drop is told
//! by an `Overflow` item, and the frame after it carries `follows_gap`. Facts about sessions are small and few, and
//! always stored.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::backlog::{Backlog, Waiting, cost_of, cost_of_frame};
use crate::codec::Kind;
use crate::item::{Frame, Item, LayerName, SessionId};
use crate::policing::Budget;
use crate::portion::Portion;

/// Share of the room kept free of video.
const AUDIO_SHARE: usize = 16;
/// Items of one session that may wait: a minute and a half of a stream with three layers.
pub const ITEMS_PER_SESSION_MAX: usize = 16_384;
/// How long a frame may have to wait while the reader falls behind. A stop waits no longer either, and all is normal soon
/// after the load.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// A late session goes on once its next frame would wait no longer than this: whole stretches beat single frames.
const WAIT_CAUGHT_UP: Duration = Duration::from_millis(800);
/// Room is made for more than one item at a time.
const SHED_BYTES_MIN: usize = 64 * 1024;

/// What became of a pushed item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    Stored,
    /// A frame was dropped; a video layer now wants a keyframe.
    Dropped,
}

/// Items of all sessions, in order of arrival within each.
#[derive(Debug)]
pub struct Queue {
    backlogs: HashMap<SessionId, Backlog>,
    /// Sessions with something to hand out, next first.
    turns: VecDeque<SessionId>,
    budget: Budget,
    bytes: usize,
    bytes_max: usize,
    bytes_peak: usize,
    /// Layers that lost frames which had been stored.
    starved: Vec<(SessionId, LayerName)>,
    number: u64,
    dropped_total: u64,
    portion: Portion,
}

impl Queue {
    /// Hold at most `bytes_max` bytes of frames.
    pub fn new(bytes_max: usize, budget: Budget) -> Self {
        Self {
            backlogs: HashMap::new(),
            turns: VecDeque::new(),
            budget,
            bytes: 0,
            bytes_max,
            bytes_peak: 0,
            starved: Vec::new(),
            number: 0,
            dropped_total: 0,
            portion: Portion::default(),
        }
    }

    /// Store an item that came at `now`, or drop it by the policy.
    pub fn push(&mut self, now: Instant, session: SessionId, item: Item) -> Pushed {
        match item {
            Item::Frame(frame) => return self.push_frame(now, session, frame),
            Item::SenderReport(report) => {
                let backlog = self.backlog(session);
                if backlog.len() < ITEMS_PER_SESSION_MAX && backlog.may_report(report.received_ns) {
                    self.store(now, session, Item::SenderReport(report));
                }
            }
            Item::Closed { .. } => {
                self.tell_drops(now, session);
                self.store(now, session, item);
            }
            _ => self.store(now, session, item),
        }
        Pushed::Stored
    }

    /// Take what there is, as far as it is the sessions' turn: each session's items in their order.
    pub fn drain(&mut self, now: Instant) -> Vec<(SessionId, Vec<Item>)> {
        let sessions: Vec<SessionId> = self.backlogs.keys().copied().collect();
        for session in sessions {
            self.tell_drops(now, session);
        }
        let (mut groups, mut count) = (Vec::new(), 0);
        let items_max = self.portion.begin(now);
        let per_session = self.portion.per_session(self.turns.len());
        for _ in 0..self.turns.len() {
            if count >= items_max {
                break;
            }
            let Some(session) = self.turns.pop_front() else {
                break;
            };
            let items = self.take(session, per_session);
            count += items.len();
            if !items.is_empty() {
                groups.push((session, items));
            }
        }
        self.portion.end(count, !self.turns.is_empty());
        groups
    }

    /// Tell whether there is nothing to take.
    pub fn is_empty(&self) -> bool {
        self.backlogs.values().all(Backlog::is_empty)
    }

    /// Return since when the oldest item waits.
    pub fn oldest_at(&self) -> Option<Instant> {
        self.fronts().map(|waiting| waiting.since).min()
    }

    /// Return the number the next item gets.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Tell whether everything of these sessions with a number below `number` was handed out.
    pub fn has_handed_out(&self, number: u64, sessions: &[SessionId]) -> bool {
        let fronts = sessions.iter().filter_map(|session| self.backlogs.get(session)?.front());
        fronts.into_iter().all(|waiting| waiting.number >= number)
    }

    /// Take the layers that lost frames which had been stored; they want a keyframe.
    pub fn take_starved(&mut self) -> Vec<(SessionId, LayerName)> {
        std::mem::take(&mut self.starved)
    }

    /// Return bytes held now.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Return the most bytes ever held.
    pub const fn bytes_peak(&self) -> usize {
        self.bytes_peak
    }

    /// Return how many frames were dropped since the start.
    pub const fn dropped_total(&self) -> u64 {
        self.dropped_total
    }

    fn fronts(&self) -> impl Iterator<Item = &Waiting> {
        self.turns.iter().filter_map(|session| self.backlogs.get(session)?.front())
    }

    fn backlog(&mut self, session: SessionId) -> &mut Backlog {
        let Budget { audio_packets_per_s, pictures_per_s, .. } = self.budget;
        self.backlogs.entry(session).or_insert_with(|| Backlog::new(audio_packets_per_s, pictures_per_s))
    }

    fn push_frame(&mut self, now: Instant, session: SessionId, mut frame: Frame) -> Pushed {
        let is_video = frame.codec.kind() == Kind::Video;
        let cost = cost_of_frame(&frame);
        let is_late = self.is_late(session);
        let backlog = self.backlog(session);
        let items_max = room(ITEMS_PER_SESSION_MAX, is_video);
        let must_wait = is_video && backlog.is_dropping(&frame.layer) && !frame.is_keyframe;
        let is_within = !is_late && !must_wait && backlog.len() < items_max && backlog.is_within_rate(&frame);
        if !is_within || !self.has_room(session, cost, is_video) {
            self.backlog(session).drop_frame(frame.layer);
            self.dropped_total += 1;
            return Pushed::Dropped;
        }
        if let Some(told) = self.backlog(session).resume(&frame.layer) {
            frame.follows_gap = true;
            if let Some(overflow) = told {
                self.store(now, session, overflow);
            }
        }
        self.store(now, session, Item::Frame(frame));
        Pushed::Stored
    }

    /// Tell whether a session must lose what it brings, because the reader falls behind and it is further behind than most.
    fn is_late(&mut self, session: SessionId) -> bool {
        self.portion.offer();
        let (is_behind, sessions) = (self.portion.is_falling_behind(), self.turns.len());
        let waiting = self.backlog(session).len();
        let wait = self.portion.wait_behind(waiting, sessions);
        let backlog = self.backlog(session);
        backlog.is_late = is_behind && wait > if backlog.is_late { WAIT_CAUGHT_UP } else { WAIT_MAX };
        backlog.is_late
    }

    /// Tell whether `cost` more bytes of a session fit, and make room if they are within its share.
    fn has_room(&mut self, session: SessionId, cost: usize, is_video: bool) -> bool {
        let room = room(self.bytes_max, is_video);
        if self.bytes.saturating_add(cost) <= room {
            return true;
        }
        let share = self.share(session);
        let is_within = self.backlog(session).bytes().saturating_add(cost) <= share;
        while is_within && self.bytes.saturating_add(cost) > room {
            if !self.shed_greediest(share, cost) {
                return false;
            }
        }
        is_within
    }

    /// Return what each session may hold for itself, `session` among those that wait.
    fn share(&self, session: SessionId) -> usize {
        let others = self.backlogs.iter().filter(|(id, backlog)| **id != session && !backlog.is_empty());
        room(self.bytes_max, true) / (others.count() + 1)
    }

    /// Drop the newest frames of whoever holds most over the share; false if nobody does.
    fn shed_greediest(&mut self, share: usize, needed: usize) -> bool {
        let greediest = self.backlogs.iter_mut().max_by_key(|(_, backlog)| backlog.bytes());
        let Some((session, backlog)) = greediest.filter(|(_, backlog)| backlog.bytes() > share) else {
            return false;
        };
        let before = backlog.bytes();
        let (frames, stopped) = backlog.shed(needed.max(SHED_BYTES_MIN).min(before - share));
        let freed = before - backlog.bytes();
        self.starved.extend(stopped.into_iter().map(|layer| (*session, layer)));
        self.bytes -= freed;
        self.dropped_total += frames;
        freed > 0
    }

    fn store(&mut self, now: Instant, session: SessionId, item: Item) {
        self.bytes = self.bytes.saturating_add(cost_of(&item));
        self.bytes_peak = self.bytes_peak.max(self.bytes);
        let number = self.number;
        self.number += 1;
        let backlog = self.backlog(session);
        let was_empty = backlog.is_empty();
        backlog.push(Waiting { number, since: now, item });
        if was_empty && !self.turns.contains(&session) {
            self.turns.push_back(session);
        }
    }

    /// Take a turn's worth of a session; what is left waits for the next turn. After its end nothing is kept of it.
    fn take(&mut self, session: SessionId, most: usize) -> Vec<Item> {
        let Some(backlog) = self.backlogs.get_mut(&session) else {
            return Vec::new();
        };
        let before = backlog.bytes();
        let items: Vec<Item> = std::iter::from_fn(|| backlog.pop()).take(most).collect();
        self.bytes -= before - backlog.bytes();
        if !backlog.is_empty() {
            self.turns.push_back(session);
        } else if matches!(items.last(), Some(Item::Closed { .. })) {
            self.backlogs.remove(&session);
        }
        items
    }

    /// Report the drops of a session not reported yet; the layers stay in the state they are in.
    fn tell_drops(&mut self, now: Instant, session: SessionId) {
        for overflow in self.backlog(session).untold() {
            self.store(now, session, overflow);
        }
    }
}

/// Return the part of `whole` a kind of media may fill.
const fn room(whole: usize, is_video: bool) -> usize {
    if is_video { whole - whole / AUDIO_SHARE } else { whole }
}

#[cfg(test)]
mod tests {
    use super::Pushed;
    use crate::codec::Codec;
    use crate::item::{CloseReason, Frame, Item, LayerName, SessionId};
    use crate::policing::Budget;
    use std::time::{Duration, Instant};

    /// A queue whose time stands still.
    struct Queue(super::Queue, Instant);

    impl Queue {
        fn new(bytes_max: usize) -> Self {
            Self(super::Queue::new(bytes_max, Budget::default()), Instant::now())
        }

        fn push(&mut self, session: SessionId, item: Item) -> Pushed {
            self.0.push(self.1, session, item)
        }

        fn drain(&mut self) -> Vec<(SessionId, Vec<Item>)> {
            self.0.drain(self.1)
        }
    }

    const SESSION: SessionId = SessionId(1);

    fn frame(codec: Codec, rtp_ticks: i64, is_keyframe: bool) -> Item {
        Item::Frame(Frame {
            layer: LayerName { mid: codec.name().into(), rid: None },
            codec,
            rtp_ticks,
            is_keyframe,
            follows_gap: false,
            packets_lost: 0,
            received_ns: 0,
            width: 0,
            height: 0,
            data: vec![0; 1_000].into(),
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

    #[test]
    fn a_full_queue_drops_a_video_layer_to_its_next_keyframe() {
        let mut queue = Queue::new(4_500);
        let pushed: Vec<_> = (0..6).map(|ticks| queue.push(SESSION, frame(Codec::H264, ticks, ticks == 0))).collect();
        assert_eq!(pushed[2], Pushed::Stored);
        assert_eq!(pushed[3], Pushed::Dropped);
        assert_eq!(described(&mut queue), ["0", "1", "2", "-3"]);

        queue.push(SESSION, frame(Codec::H264, 6, false));
        queue.push(SESSION, frame(Codec::H264, 7, true));
        queue.push(SESSION, frame(Codec::H264, 8, false));
        assert_eq!(described(&mut queue), ["-1", "7!", "8"]);
    }

    #[test]
    fn audio_goes_on_in_the_room_kept_for_it() {
        let mut queue = Queue::new(32 * 1_256);
        for ticks in 0..40 {
            queue.push(SESSION, frame(Codec::Vp8, ticks, ticks == 0));
        }
        assert_eq!(queue.push(SESSION, frame(Codec::Opus, 0, true)), Pushed::Stored);
        assert_eq!(queue.push(SESSION, frame(Codec::Opus, 1, true)), Pushed::Stored);
        assert_eq!(queue.push(SESSION, frame(Codec::Opus, 2, true)), Pushed::Dropped);
        assert_eq!(queue.0.dropped_total(), 11);
    }

    #[test]
    fn audio_after_a_drop_follows_a_gap_and_needs_no_keyframe() {
        let mut queue = Queue::new(1_300);
        queue.push(SESSION, frame(Codec::Opus, 0, true));
        queue.push(SESSION, frame(Codec::Opus, 1, true));
        assert_eq!(described(&mut queue), ["0", "-1"]);
        queue.push(SESSION, frame(Codec::Opus, 2, true));
        assert_eq!(described(&mut queue), ["2!"]);
    }

    /// Let 150 packets of sound come in each of `portions` quarters of a second, of which a reader takes `read` at most;
    /// return how many were stored.
    fn stored_in(queue: &mut Queue, portions: usize, read: usize) -> usize {
        let mut stored = 0;
        for _ in 0..portions {
            let pushed =
                (0..150).map(|_| queue.0.push(queue.1, SESSION, frame(Codec::Opus, 0, true)) == Pushed::Stored);
            stored += pushed.filter(|is_stored| *is_stored).count();
            queue.1 += Duration::from_millis(250);
            queue.0.portion.begin(queue.1);
            queue.0.turns.clear();
            let taken = queue.0.take(SESSION, read).len();
            queue.0.portion.end(taken, !queue.0.is_empty());
        }
        stored
    }

    fn unpoliced(bytes_max: usize) -> Queue {
        let budget = Budget { audio_packets_per_s: 100_000, ..Budget::default() };
        Queue(super::Queue::new(bytes_max, budget), Instant::now())
    }

    #[test]
    fn behind_a_reader_that_falls_behind_nothing_waits_for_much_more_than_two_seconds() {
        let mut queue = unpoliced(1 << 30);
        let stored = stored_in(&mut queue, 200, 100);
        let waiting = queue.0.backlog(SESSION).len();
        assert!((19_000..21_500).contains(&stored), "{stored} of 30,000, where 20,000 were read");
        assert!(waiting < 100 * 12, "{waiting} wait");
        stored_in(&mut queue, 8, 200);
        assert_eq!(stored_in(&mut queue, 40, 200), 40 * 150);
    }

    #[test]
    fn a_reader_that_stood_still_costs_nobody_anything() {
        let mut queue = unpoliced(1 << 30);
        stored_in(&mut queue, 4, 200);
        for _ in 0..12_000 {
            assert_eq!(queue.push(SESSION, frame(Codec::Opus, 0, true)), Pushed::Stored);
        }
        queue.1 += Duration::from_secs(20);
        assert_eq!(stored_in(&mut queue, 300, 200), 300 * 150);
        assert!(queue.0.is_empty());
    }

    #[test]
    fn the_memory_held_never_exceeds_the_limit_by_more_than_small_items() {
        let mut queue = Queue::new(10_000);
        for ticks in 0..1_000 {
            queue.push(SESSION, frame(Codec::H264, ticks, ticks % 30 == 0));
            queue.push(SESSION, frame(Codec::Opus, ticks, true));
        }
        assert!(queue.0.bytes_peak() <= 10_000);
    }

    #[test]
    fn items_are_grouped_by_session_and_keep_their_order() {
        let mut queue = Queue::new(1_000_000);
        for (session, ticks) in [(2, 0), (1, 1), (2, 2), (1, 3)] {
            queue.push(SessionId(session), frame(Codec::Opus, ticks, true));
        }
        let ticks: Vec<(u64, Vec<i64>)> = queue
            .drain()
            .into_iter()
            .map(|(session, items)| {
                let ticks = items.iter().filter_map(|item| match item {
                    Item::Frame(frame) => Some(frame.rtp_ticks),
                    _ => None,
                });
                (session.0, ticks.collect())
            })
            .collect();
        assert_eq!(ticks, [(2, vec![0, 2]), (1, vec![1, 3])]);
        assert!(queue.0.is_empty());
    }

    #[test]
    fn closing_reports_the_drops_first_and_forgets_the_session() {
        let mut queue = Queue::new(1_300);
        queue.push(SESSION, frame(Codec::Opus, 0, true));
        queue.push(SESSION, frame(Codec::Opus, 1, true));
        queue.push(SESSION, Item::Closed { reason: CloseReason::Closed, received_ns: 0 });
        let told = described(&mut queue);
        assert_eq!(told[..2], ["0", "-1"]);
        assert!(told[2].starts_with("Closed"));
        assert_eq!(described(&mut queue), Vec::<String>::new());
    }
}
