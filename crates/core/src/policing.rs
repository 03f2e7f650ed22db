//! What one session may send: packets by what they carry, and bytes, before any of it costs a decryption.
//!
//! Each kind has a bucket of its own, so that a flood of sound costs no picture. What is refused is told as an `Overflow`
//! of the kind's layers: before the first frame that follows a gap of theirs, at least once a second while it goes on, and
//! before the session's end. What turned out not to be the publisher's own is put back: a stranger who forges its address
//! must not use up its budget. Pure: time is an argument.

use std::time::{Duration, Instant};

use crate::bucket::Bucket;
use crate::codec::Kind;
use crate::item::{Item, LayerName, SessionId};
use crate::roles::Role;
use crate::rtp::RtpHeader;

/// Seconds' worth that may come at once: networks hold media up and let it go in one go.
const BURST_S: u8 = 3;
/// Of bytes, which are many: one second's worth.
const BYTES_BURST_S: u8 = 1;
/// STUN, STUN sent again, DTLS, RTCP and RTP of no known payload type, each: browsers send fewer than ten a second.
const CONTROL_PER_S: u32 = 500;
/// How long after a refusal a gap is ours: str0m holds frames behind a missing packet for two seconds.
const OURS_FOR: Duration = Duration::from_secs(4);
const TELL_INTERVAL: Duration = Duration::from_secs(1);

/// What one session may send and be handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// RTP packets of sound a second. Opus has at most 400 frames a second.
    pub audio_packets_per_s: u32,
    /// RTP packets of pictures and their retransmissions a second. 100 Mbit/s of packets of 1,200 bytes are 10,400.
    pub video_packets_per_s: u32,
    /// RTP bytes a second.
    pub bytes_per_s: u32,
    /// Pictures of all layers a second.
    pub pictures_per_s: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { audio_packets_per_s: 500, video_packets_per_s: 12_000, bytes_per_s: 12_500_000, pictures_per_s: 480 }
    }
}

/// What a datagram is charged to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Audio,
    Video,
    Stun,
    /// A check that was answered before, which anybody who saw it can send.
    StunAgain,
    Dtls,
    /// RTCP, and RTP of a payload type that was not negotiated.
    Rest,
}

impl Class {
    fn of(payload: &[u8], roles: &[Role; 128]) -> Self {
        match payload.first() {
            Some(0..=3) => return Self::Stun,
            Some(20..=63) => return Self::Dtls,
            _ => {}
        }
        let role = RtpHeader::parse(payload).map(|header| roles[usize::from(header.pt & 0x7f)]);
        match role {
            Some(Role::Audio) => Self::Audio,
            Some(Role::Video { .. } | Role::Repair) => Self::Video,
            Some(Role::Unknown) | None => Self::Rest,
        }
    }

    const fn kind(self) -> Option<Kind> {
        match self {
            Self::Audio => Some(Kind::Audio),
            Self::Video => Some(Kind::Video),
            _ => None,
        }
    }
}

/// Tell whether a datagram has a payload type of sound or pictures.
pub fn is_media(payload: &[u8], roles: &[Role; 128]) -> bool {
    Class::of(payload, roles).kind().is_some()
}

/// What was refused of one kind.
#[derive(Debug, Clone, Copy, Default)]
struct Refused {
    /// Packets not told of yet.
    untold: u64,
    told_at: Option<Instant>,
    /// Until when a gap is taken to be the refusal's.
    ours_until: Option<Instant>,
}

/// A datagram that was admitted, and what it took.
#[derive(Debug, Clone, Copy)]
pub struct Charge {
    class: Class,
    bytes: usize,
}

/// Watches over one session's budget.
#[derive(Debug)]
pub struct Policer {
    began: Instant,
    /// The latest time seen, in nanoseconds since it began: the kernel's time stamps may step back a little.
    latest_ns: i64,
    packets: [Bucket; 6],
    bytes: Bucket,
    refused: [Refused; 2],
}

impl Policer {
    pub fn new(budget: &Budget, now: Instant) -> Self {
        let control = Bucket::new(CONTROL_PER_S, BURST_S);
        let audio = Bucket::new(budget.audio_packets_per_s, BURST_S);
        let video = Bucket::new(budget.video_packets_per_s, BURST_S);
        Self {
            began: now,
            latest_ns: 0,
            packets: [audio, video, control, control, control, control],
            bytes: Bucket::new(budget.bytes_per_s, BYTES_BURST_S),
            refused: [Refused::default(); 2],
        }
    }

    /// Charge a datagram; None if the session has used up what it may send of its kind.
    pub fn admit(&mut self, payload: &[u8], roles: &[Role; 128], now: Instant) -> Option<Charge> {
        let class = Class::of(payload, roles);
        let bytes = if class.kind().is_some() { payload.len() } else { 0 };
        self.charge(class, bytes, now)
    }

    /// Charge a check that was answered before.
    pub fn admit_again(&mut self, now: Instant) -> Option<Charge> {
        self.charge(Class::StunAgain, 0, now)
    }

    fn charge(&mut self, class: Class, bytes: usize, now: Instant) -> Option<Charge> {
        let now_ns = i64::try_from(now.saturating_duration_since(self.began).as_nanos()).unwrap_or(i64::MAX);
        let now_ns = self.latest_ns.max(now_ns);
        self.latest_ns = now_ns;
        let packets = &mut self.packets[class as usize];
        if packets.admits(1, now_ns) && self.bytes.admits(bytes, now_ns) {
            packets.take(1, now_ns);
            self.bytes.take(bytes, now_ns);
            return Some(Charge { class, bytes });
        }
        if let Some(kind) = class.kind() {
            let refused = &mut self.refused[kind as usize];
            refused.untold += 1;
            refused.ours_until = Some(now + OURS_FOR);
        }
        None
    }

    /// Put back what a datagram took that was not the publisher's.
    pub fn put_back(&mut self, charge: Charge) {
        self.packets[charge.class as usize].put_back(1);
        self.bytes.put_back(charge.bytes);
    }

    /// Tell whether a gap may be ours at `now`, or something was refused and not told.
    pub fn has_refused(&self, now: Instant) -> bool {
        self.refused.iter().any(|refused| refused.untold > 0 || refused.is_ours(now))
    }

    /// Tell of what was refused where it is a second since that was told; `layers_of` names the layers of a kind.
    pub fn tell_due(&mut self, now: Instant, layers_of: impl Fn(Kind) -> Vec<LayerName>) -> Vec<Item> {
        let mut told = Vec::new();
        for kind in [Kind::Audio, Kind::Video] {
            let refused = &mut self.refused[kind as usize];
            let told_at = *refused.told_at.get_or_insert(now);
            if refused.untold > 0 && now.saturating_duration_since(told_at) >= TELL_INTERVAL {
                told.extend(refused.tell(layers_of(kind), now));
            }
        }
        told
    }

    /// Put what is to be told between a session's new items, which are those from `from` on.
    pub fn weave(
        &mut self,
        items: &mut Vec<(SessionId, Item)>,
        from: usize,
        now: Instant,
        layers_of: impl Fn(Kind) -> Vec<LayerName>,
    ) {
        for (session, item) in items.split_off(from.min(items.len())) {
            let told = match &item {
                Item::Frame(frame) if frame.follows_gap => {
                    self.refused[frame.codec.kind() as usize].tell_ours(vec![frame.layer.clone()], now)
                }
                Item::Closed { .. } => {
                    let kinds = [Kind::Audio, Kind::Video].into_iter();
                    kinds.flat_map(|kind| self.refused[kind as usize].tell_last(layers_of(kind), now)).collect()
                }
                _ => Vec::new(),
            };
            items.extend(told.into_iter().map(|overflow| (session, overflow)));
            items.push((session, item));
        }
    }
}

impl Refused {
    fn is_ours(&self, now: Instant) -> bool {
        self.ours_until.is_some_and(|until| now < until)
    }

    fn tell_ours(&mut self, layers: Vec<LayerName>, now: Instant) -> Vec<Item> {
        if self.is_ours(now) { self.tell(layers, now) } else { Vec::new() }
    }

    /// At the end of the session: nothing may have come since what was refused.
    fn tell_last(&mut self, layers: Vec<LayerName>, now: Instant) -> Vec<Item> {
        if self.untold > 0 || self.is_ours(now) { self.tell(layers, now) } else { Vec::new() }
    }

    /// The first layer carries the count: which one a refused packet was of, nobody has looked.
    fn tell(&mut self, layers: Vec<LayerName>, now: Instant) -> Vec<Item> {
        self.told_at = Some(now);
        let mut overflows = Vec::new();
        for layer in layers {
            let packets_count = std::mem::take(&mut self.untold);
            overflows.push(Item::Overflow { layer, frames_count: 0, packets_count });
        }
        overflows
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, Policer};
    use crate::codec::{Codec, Kind};
    use crate::item::{CloseReason, Frame, Item, LayerName, SessionId};
    use crate::roles::Role;
    use std::time::{Duration, Instant};

    const SESSION: SessionId = SessionId(1);
    const SOUND: [u8; 12] = [0x80, 111, 0, 1, 0, 0, 0, 1, 0, 0, 0, 7];
    const PICTURE: [u8; 12] = [0x80, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 8];

    fn roles() -> [Role; 128] {
        let mut roles = [Role::Unknown; 128];
        (roles[111], roles[96]) = (Role::Audio, Role::Video { repairs_in_place: false });
        roles
    }

    fn layers(kind: Kind) -> Vec<LayerName> {
        vec![LayerName { mid: kind.name().into(), rid: None }]
    }

    fn frame(codec: Codec, follows_gap: bool) -> (SessionId, Item) {
        let frame = Frame {
            layer: LayerName { mid: codec.kind().name().into(), rid: None },
            codec,
            rtp_ticks: 0,
            is_keyframe: true,
            follows_gap,
            packets_lost: 0,
            received_ns: 0,
            width: 0,
            height: 0,
            data: vec![0].into(),
        };
        (SESSION, Item::Frame(frame))
    }

    fn flood(policer: &mut Policer, packet: &[u8], per_s: u32, seconds: u32, begin: Instant) -> u32 {
        let (roles, mut passed) = (roles(), 0);
        for index in 0..per_s * seconds {
            let now = begin + Duration::from_secs(1) * index / per_s;
            passed += u32::from(policer.admit(packet, &roles, now).is_some());
        }
        passed
    }

    fn described(items: &[(SessionId, Item)]) -> Vec<String> {
        let describe = |item: &Item| match item {
            Item::Frame(frame) => format!("{}{}", frame.layer.mid, if frame.follows_gap { "!" } else { "" }),
            Item::Overflow { layer, packets_count, .. } => format!("-{}:{packets_count}", layer.mid),
            _ => "closed".into(),
        };
        items.iter().map(|(_, item)| describe(item)).collect()
    }

    #[test]
    fn the_dearest_honest_sender_is_never_refused() {
        let (mut policer, begin) = (Policer::new(&Budget::default(), Instant::now()), Instant::now());
        assert_eq!(flood(&mut policer, &SOUND, 400, 30, begin), 12_000);
        let packet = [&PICTURE[..], &[0; 1_188]].concat();
        let later = begin + Duration::from_secs(30);
        assert_eq!(flood(&mut policer, &packet, 8_000, 30, later), 240_000);
    }

    #[test]
    fn a_flood_of_sound_costs_no_picture() {
        let (mut policer, begin) = (Policer::new(&Budget::default(), Instant::now()), Instant::now());
        let passed = flood(&mut policer, &SOUND, 25_000, 4, begin);
        assert!(passed <= 500 * 7, "{passed}");
        assert!(policer.admit(&PICTURE, &roles(), begin + Duration::from_secs(4)).is_some());
    }

    #[test]
    fn what_was_not_the_publishers_own_costs_it_nothing() {
        let (mut policer, now) = (Policer::new(&Budget::default(), Instant::now()), Instant::now());
        for _ in 0..100_000 {
            let Some(charge) = policer.admit(&SOUND, &roles(), now) else {
                unreachable!("the budget is used up by a stranger");
            };
            policer.put_back(charge);
        }
    }

    #[test]
    fn checks_sent_again_use_up_nothing_of_the_new_ones() {
        let (mut policer, now) = (Policer::new(&Budget::default(), Instant::now()), Instant::now());
        let passed = (0..10_000).filter(|_| policer.admit_again(now).is_some()).count();
        assert_eq!(passed, 1_500);
        assert!(policer.admit(&[0, 1, 0, 0], &roles(), now).is_some());
    }

    #[test]
    fn a_gap_is_told_as_ours_only_after_a_refusal_and_for_a_while() {
        let (mut policer, begin) = (Policer::new(&Budget::default(), Instant::now()), Instant::now());
        flood(&mut policer, &SOUND, 5_000, 1, begin);
        let mut items = vec![frame(Codec::Opus, true), frame(Codec::Opus, false), frame(Codec::H264, true)];
        policer.weave(&mut items, 1, begin + Duration::from_secs(1), layers);
        assert_eq!(described(&items), ["audio!", "audio", "video!"]);
        policer.weave(&mut items, 0, begin + Duration::from_secs(1), layers);
        assert_eq!(described(&items)[1..], ["audio!", "audio", "video!"]);
        assert!(described(&items)[0].starts_with("-audio:3"), "{:?}", described(&items));
        let mut late = vec![frame(Codec::Opus, true)];
        policer.weave(&mut late, 0, begin + Duration::from_secs(6), layers);
        assert_eq!(described(&late), ["audio!"]);
    }

    #[test]
    fn what_was_refused_last_is_told_at_the_end_however_late_that_is() {
        let (mut policer, begin) = (Policer::new(&Budget::default(), Instant::now()), Instant::now());
        assert!(!policer.has_refused(begin));
        flood(&mut policer, &SOUND, 5_000, 1, begin);
        let end = begin + Duration::from_secs(60);
        assert!(policer.has_refused(end));
        let mut items = vec![(SESSION, Item::Closed { reason: CloseReason::Closed, received_ns: 0 })];
        policer.weave(&mut items, 0, end, layers);
        assert!(described(&items)[0].starts_with("-audio:3"), "{:?}", described(&items));
    }

    #[test]
    fn a_long_refusal_is_told_each_second_and_before_the_end() {
        let (mut policer, begin) = (Policer::new(&Budget::default(), Instant::now()), Instant::now());
        let mut told = 0;
        for second in 0..10 {
            flood(&mut policer, &SOUND, 5_000, 1, begin + Duration::from_secs(second));
            told += policer.tell_due(begin + Duration::from_secs(second + 1), layers).len();
        }
        assert!((9..=10).contains(&told), "{told}");
        let end = begin + Duration::from_secs(10);
        flood(&mut policer, &SOUND, 5_000, 1, end);
        let mut items = vec![(SESSION, Item::Closed { reason: CloseReason::Closed, received_ns: 0 })];
        policer.weave(&mut items, 0, end + Duration::from_secs(1), layers);
        assert_eq!(items.len(), 2);
        assert_eq!(described(&items)[1], "closed");
    }
}
