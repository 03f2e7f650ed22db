//! Python's side of the I/O thread: commands in, batches out, and the store between the two threads.

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
    RequestKeyframe { session: SessionId, mid: String, rid: Option<String> },
    RestartIce { session: SessionId, ufrag: String, password: String, reply: SyncSender<Result<String, OfferError>> },
    Close(SessionId),
    Stop,
}

pub(super) struct Shared {
    pub state: Mutex<State>,
    pub ready: Condvar,
}

pub(super) struct State {
    pub queue: Queue,
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
                state.first_at = None;
                let batch = state.queue.drain();
                return if batch.is_empty() && state.is_broken { Err(Broken) } else { Ok(batch) };
            }
            let waited = self.shared.ready.wait_timeout(state, until - now);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
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
