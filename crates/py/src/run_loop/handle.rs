//! Python's side of the I/O thread: commands in, batches out, and the store between the two threads.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::eventfd::EventFd;
use soloist_core::{Item, OfferError, Queue, Session, SessionId, Stats};

/// Items of one session in order, sessions in order of first appearance.
pub type Batch = Vec<(SessionId, Vec<Item>)>;

/// How long a command that answers may take; the thread answers within milliseconds unless it hangs.
const REPLY_LIMIT: Duration = Duration::from_secs(5);

/// What Python asks of the I/O thread.
pub(super) enum Command {
    Open(Box<Session>),
    RequestKeyframe {
        session: SessionId,
        mid: String,
        rid: Option<String>,
    },
    RestartIce {
        session: SessionId,
        ufrag: String,
        password: String,
        reply: SyncSender<Result<String, OfferError>>,
    },
    Close(SessionId),
    /// Note the place of `number` behind everything that had reached the socket when it was asked for.
    Mark {
        number: u64,
        asked_at: Instant,
    },
    Stop,
}

pub(super) struct Shared {
    pub state: Mutex<State>,
    pub ready: Condvar,
}

pub(super) struct State {
    pub queue: Queue,
    /// The queue's number at each mark.
    pub marks: HashMap<u64, u64>,
    /// When the oldest item in the queue came.
    pub first_at: Option<Instant>,
    pub is_woken: bool,
    pub is_closed: bool,
    /// The thread ended by a fault of ours.
    pub is_broken: bool,
    pub stats: Stats,
}

/// The I/O thread ended by a fault of ours; nothing will come any more.
#[derive(Debug)]
pub struct Broken;

impl Shared {
    pub fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while holding the lock leaves a queue that is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Python's side of the I/O thread.
pub struct Handle {
    pub(super) shared: Arc<Shared>,
    pub(super) commands: Sender<Command>,
    pub(super) bell: Arc<EventFd>,
    pub(super) batch_interval: Duration,
    pub(super) thread: Mutex<Option<JoinHandle<()>>>,
    pub(super) next_mark: AtomicU64,
}

impl Handle {
    pub fn open(&self, session: Session) {
        self.send(Command::Open(Box::new(session)));
    }

    pub fn request_keyframe(&self, session: SessionId, mid: String, rid: Option<String>) {
        self.send(Command::RequestKeyframe { session, mid, rid });
    }

    /// Restart ICE in a session; return the SDP fragment for its publisher. Waits for the I/O thread.
    pub fn restart_ice(&self, session: SessionId, ufrag: String, password: String) -> Result<String, OfferError> {
        let (reply, answer) = sync_channel(1);
        self.send(Command::RestartIce { session, ufrag, password, reply });
        answer.recv_timeout(REPLY_LIMIT).unwrap_or(Err(OfferError::SessionGone))
    }

    pub fn close_session(&self, session: SessionId) {
        self.send(Command::Close(session));
    }

    /// Wait until a batch is due, `wake` is called, the receiver closes or `limit` passes; return what there is.
    pub fn wait(&self, limit: Duration) -> Result<Batch, Broken> {
        let until = Instant::now() + limit;
        let mut state = self.shared.lock();
        loop {
            let now = Instant::now();
            let is_due = state.first_at.is_some_and(|first_at| now >= first_at + self.batch_interval);
            if state.is_woken || state.is_closed || is_due || now >= until {
                state.is_woken = false;
                let batch = state.queue.drain(now);
                state.first_at = state.queue.oldest_at();
                return if batch.is_empty() && state.is_broken { Err(Broken) } else { Ok(batch) };
            }
            let waited = self.shared.ready.wait_timeout(state, until - now);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Put a mark behind everything received so far; return its number.
    pub fn mark(&self) -> u64 {
        let number = self.next_mark.fetch_add(1, Ordering::Relaxed);
        self.send(Command::Mark { number, asked_at: Instant::now() });
        number
    }

    /// Tell whether everything of these sessions before a mark was handed out; the mark is then forgotten.
    pub fn has_handed_out(&self, mark: u64, sessions: &[SessionId]) -> bool {
        let mut state = self.shared.lock();
        let number = match state.marks.get(&mark) {
            Some(number) => *number,
            None if state.is_closed => u64::MAX,
            None => return false,
        };
        let has = state.queue.has_handed_out(number, sessions);
        if has {
            state.marks.remove(&mark);
        }
        has
    }

    /// Give up waiting for a mark.
    pub fn forget_mark(&self, mark: u64) {
        self.shared.lock().marks.remove(&mark);
    }

    pub fn wake(&self) {
        self.shared.lock().is_woken = true;
        self.shared.ready.notify_all();
    }

    pub fn stats(&self) -> Stats {
        let state = self.shared.lock();
        let mut stats = state.stats;
        stats.queue_bytes = u64::try_from(state.queue.bytes()).unwrap_or(u64::MAX);
        stats.queue_bytes_max = u64::try_from(state.queue.bytes_peak()).unwrap_or(u64::MAX);
        stats.frames_dropped = state.queue.dropped_total();
        let age = state.queue.oldest_at().map_or(Duration::ZERO, |oldest| oldest.elapsed());
        stats.queue_age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        stats
    }

    /// End all sessions and the thread; returns when it has ended.
    pub fn close(&self) {
        self.send(Command::Stop);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A thread that panicked has ended as well.
            let _ = thread.join();
        }
        self.shared.lock().is_closed = true;
        self.shared.ready.notify_all();
    }

    fn send(&self, command: Command) {
        // After the thread has ended nobody reads commands any more, and nothing is left to command.
        if self.commands.send(command).is_ok() {
            let _ = self.bell.write(1);
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}
