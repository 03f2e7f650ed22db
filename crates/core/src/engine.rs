//! All sessions of one receiver: which of them a datagram belongs to, and what is due when.
//!
//! Demultiplexing: by source address; for STUN requests by the local user fragment in USERNAME, which a session must
//! confirm with its password before the source counts as its own. A source that another session was just heard from stays
//! that one's. Being ICE-lite we send no requests, so there are no
//! responses to match, and anything else from an unknown source is dropped after one table look-up. Spec: RFC 8445 §2.5.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use str0m::Input;
use str0m::net::{Protocol, Receive};

use crate::error::OfferError;
use crate::intake::Intake;
use crate::item::{CloseReason, SessionId};
use crate::outbox::Outbox;
use crate::policing::{Budget, Policer, is_media};
use crate::session::Session;

/// Source addresses remembered per session; a phone that roams needs a handful.
const SOURCES_MAX: usize = 32;
/// Of those, connections; each takes a descriptor, and a publisher needs one.
const TCP_SOURCES_MAX: usize = 8;
/// How long ICE and DTLS may take together, whatever a publisher sends meanwhile.
pub const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// How long after the last proof that a source is a session's no other session may have it; browsers check every 2.5 s.
const SOURCE_KEPT_FOR: Duration = Duration::from_secs(5);
const STUN_HEADER_BYTES: usize = 20;
const STUN_USERNAME: u16 = 0x0006;

/// One received datagram.
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    pub protocol: Protocol,
    pub source: SocketAddr,
    /// One of the addresses publishers were told; the socket loop maps the real one to it.
    pub destination: SocketAddr,
    pub payload: &'a [u8],
}

type Source = (Protocol, SocketAddr);

/// Whose a source is.
#[derive(Debug, Clone, Copy)]
struct Owner {
    session: SessionId,
    /// When something came from it that was proven to be the session's.
    heard_at: Instant,
}

struct Entry {
    session: Session,
    sources: Vec<Source>,
    policer: Policer,
    /// Until when it must be connected.
    connects_until: Instant,
}

impl Owner {
    fn is_heard(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.heard_at) < SOURCE_KEPT_FOR
    }
}

impl Entry {
    fn deadline(&self) -> Instant {
        let deadline = self.session.deadline();
        if self.session.is_connecting() { deadline.min(self.connects_until) } else { deadline }
    }

    fn is_late(&self, now: Instant) -> bool {
        self.session.is_connecting() && now >= self.connects_until
    }
}

/// All sessions of one receiver.
#[derive(Default)]
pub struct Engine {
    sessions: BTreeMap<SessionId, Entry>,
    by_source: HashMap<Source, Owner>,
    by_ufrag: HashMap<String, SessionId>,
    outbox: Outbox,
    budget: Budget,
}

impl Engine {
    /// Let each session send what `budget` says.
    pub fn new(budget: Budget) -> Self {
        Self { budget, ..Self::default() }
    }

    /// Take over a session that was just answered.
    pub fn open(&mut self, now: Instant, session: Session) {
        let id = session.id();
        self.by_ufrag.insert(session.ufrag().to_owned(), id);
        let (policer, connects_until) = (Policer::new(&self.budget, now), now + CONNECT_PATIENCE);
        self.sessions.insert(id, Entry { session, sources: Vec::new(), policer, connects_until });
        self.outbox.stats.sessions = self.count();
    }

    /// Take in one datagram received at `now`; tell whether it belongs to a session, and a connection may go on with it.
    pub fn receive(&mut self, now: Instant, datagram: Datagram<'_>) -> bool {
        let source = (datagram.protocol, datagram.source);
        let owner = match stun_ufrag(datagram.payload) {
            Some(ufrag) => self.by_ufrag.get(ufrag).copied(),
            None => self.by_source.get(&source).map(|owner| owner.session),
        };
        let parsed = owner.and_then(|id| {
            Receive::new(datagram.protocol, datagram.source, datagram.destination, datagram.payload)
                .ok()
                .map(|receive| (id, receive))
        });
        let Some((id, receive)) = parsed else {
            self.outbox.stats.datagrams_unknown += 1;
            return false;
        };
        self.deliver(now, id, source, receive, datagram.payload)
    }

    /// Do what is due at `now` in every session.
    pub fn tick(&mut self, now: Instant) {
        let due: Vec<SessionId> =
            self.sessions.iter().filter(|(_, entry)| entry.deadline() <= now).map(|(id, _)| *id).collect();
        for id in due {
            if self.sessions.get(&id).is_some_and(|entry| entry.is_late(now)) {
                self.outbox.stats.connects_late += 1;
                self.with_session(now, id, |session, outbox| session.close(CloseReason::Timeout, now, outbox));
            } else {
                self.with_session(now, id, |session, outbox| session.tick(now, outbox));
            }
        }
    }

    /// Return when the next session has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.sessions.values().map(Entry::deadline).min()
    }

    /// Tell whether no session is still connecting.
    pub fn is_settled(&self) -> bool {
        !self.sessions.values().any(|entry| entry.session.is_connecting())
    }

    /// Ask for a keyframe; unknown sessions are ignored.
    pub fn request_keyframe(&mut self, now: Instant, id: SessionId, mid: &str, rid: Option<&str>) {
        self.with_session(now, id, |session, outbox| {
            session.request_keyframe(mid, rid, now);
            session.tick(now, outbox);
        });
    }

    /// Restart ICE in a session; return the SDP fragment for its publisher.
    ///
    /// # Errors
    /// The session is unknown, or the credentials are unusable.
    pub fn restart_ice(
        &mut self,
        now: Instant,
        id: SessionId,
        ufrag: &str,
        password: &str,
    ) -> Result<String, OfferError> {
        let entry = self.sessions.get_mut(&id).ok_or(OfferError::SessionGone)?;
        let former = entry.session.ufrag().to_owned();
        let fragment = entry.session.restart_ice(ufrag, password, now, &mut self.outbox)?;
        self.by_ufrag.remove(&former);
        self.by_ufrag.insert(entry.session.ufrag().to_owned(), id);
        Ok(fragment)
    }

    /// Tell whether a source belongs to a session.
    pub fn knows(&self, protocol: Protocol, source: SocketAddr) -> bool {
        self.by_source.contains_key(&(protocol, source))
    }

    /// End a session; unknown sessions are ignored.
    pub fn close(&mut self, now: Instant, id: SessionId) {
        self.with_session(now, id, |session, outbox| session.close(CloseReason::Closed, now, outbox));
    }

    /// End all sessions.
    pub fn close_all(&mut self, now: Instant) {
        let ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        for id in ids {
            self.close(now, id);
        }
    }

    /// Give access to what is to be sent, handed over and counted; the caller takes it out.
    pub const fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    fn deliver(&mut self, now: Instant, id: SessionId, source: Source, receive: Receive<'_>, payload: &[u8]) -> bool {
        let Some(entry) = self.sessions.get_mut(&id) else {
            return false;
        };
        let input = Input::Receive(now, receive);
        let owner = self.by_source.get(&source);
        let is_known = owner.is_some_and(|owner| owner.session == id);
        let must_prove_itself = !is_known || payload.first().is_some_and(|first| *first <= 3);
        if must_prove_itself && !entry.session.accepts(&input, payload) {
            self.outbox.stats.datagrams_unknown += 1;
            return is_known;
        }
        if owner.is_some_and(|owner| owner.session != id && owner.is_heard(now)) {
            // Who has a session of its own can ask for it under anybody's address.
            self.outbox.stats.datagrams_forged += 1;
            return false;
        }
        // Before there are keys nobody can tell whose media is; what waits for them is bounded by itself.
        let is_early = entry.session.is_connecting() && Intake::is_media(payload);
        let charge = if entry.session.is_check_again(payload) {
            entry.policer.admit_again(now)
        } else {
            entry.policer.admit(payload, &entry.session.roles, now)
        };
        let Some(charge) = charge else {
            let is_of_use = source.0 == Protocol::Udp || is_media(payload, &entry.session.roles);
            self.refuse(now, id);
            // Frames of three bytes come in millions over TCP; who sends hundreds of no media a second is cut off.
            return is_of_use;
        };
        let Input::Receive(_, receive) = input else {
            return false;
        };
        if !is_known {
            self.remember_source(now, id, source);
        }
        self.outbox.stats.packets_received += 1;
        self.outbox.stats.bytes_received += u64::try_from(payload.len()).unwrap_or(0);
        let unproven = self.outbox.stats.unproven();
        self.with_session(now, id, |session, outbox| session.receive(now, receive, payload, outbox));
        if self.outbox.stats.unproven() == unproven && !is_early {
            if let Some(owner) = self.by_source.get_mut(&source) {
                owner.heard_at = now;
            }
        } else if source.0 == Protocol::Udp
            && let Some(entry) = self.sessions.get_mut(&id)
        {
            // A connection is its publisher's alone, and so is what comes over it.
            entry.policer.put_back(charge);
        }
        true
    }

    /// Pass over a datagram of a session that has used up its budget, and say so now and then.
    fn refuse(&mut self, now: Instant, id: SessionId) {
        self.outbox.stats.packets_refused += 1;
        if let Some(Entry { session, policer, .. }) = self.sessions.get_mut(&id) {
            let told = policer.tell_due(now, |kind| session.media.layer_names(kind));
            self.outbox.items.extend(told.into_iter().map(|item| (id, item)));
        }
    }

    fn remember_source(&mut self, now: Instant, id: SessionId, source: Source) {
        if let Some(former) = self.by_source.insert(source, Owner { session: id, heard_at: now })
            && let Some(entry) = self.sessions.get_mut(&former.session)
        {
            entry.sources.retain(|known| *known != source);
        }
        if let Some(entry) = self.sessions.get_mut(&id) {
            entry.sources.push(source);
            let is_tcp = |known: &Source| known.0 != Protocol::Udp;
            let has_many_tcp = entry.sources.iter().filter(|known| is_tcp(known)).count() > TCP_SOURCES_MAX;
            if has_many_tcp || entry.sources.len() > SOURCES_MAX {
                let oldest = entry.sources.iter().position(|known| !has_many_tcp || is_tcp(known)).unwrap_or(0);
                self.by_source.remove(&entry.sources.remove(oldest));
            }
        }
    }

    /// Run `work` on a session; a panic in it ends that session only, and a session that closed is forgotten.
    fn with_session(&mut self, now: Instant, id: SessionId, work: impl FnOnce(&mut Session, &mut Outbox)) {
        let Some(entry) = self.sessions.get_mut(&id) else {
            return;
        };
        let outbox = &mut self.outbox;
        let from = outbox.items.len();
        let outcome = catch_unwind(AssertUnwindSafe(|| work(&mut entry.session, outbox)));
        if outcome.is_err() {
            entry.session.end(CloseReason::Failed, now, outbox);
        }
        if entry.policer.has_refused(now) {
            entry.policer.weave(&mut outbox.items, from, now, |kind| entry.session.media.layer_names(kind));
        }
        if entry.session.is_closed() {
            self.forget(id);
        }
    }

    fn forget(&mut self, id: SessionId) {
        if let Some(entry) = self.sessions.remove(&id) {
            self.by_ufrag.remove(entry.session.ufrag());
            for source in entry.sources {
                self.by_source.remove(&source);
            }
        }
        self.outbox.stats.sessions = self.count();
    }

    fn count(&self) -> u64 {
        u64::try_from(self.sessions.len()).unwrap_or(u64::MAX)
    }
}

/// Return the local user fragment of a STUN request: what precedes the colon in its USERNAME. Spec: RFC 8489 §5, §14.3.
fn stun_ufrag(payload: &[u8]) -> Option<&str> {
    if payload.len() < STUN_HEADER_BYTES || payload[0] > 3 || payload[4..8] != [0x21, 0x12, 0xa4, 0x42] {
        return None;
    }
    let mut rest = &payload[STUN_HEADER_BYTES..];
    while let [type_high, type_low, length_high, length_low, body @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*length_high, *length_low]));
        let value = body.get(..length)?;
        if u16::from_be_bytes([*type_high, *type_low]) == STUN_USERNAME {
            return std::str::from_utf8(value).ok()?.split(':').next();
        }
        rest = body.get(length.next_multiple_of(4)..)?;
    }
    None
}
