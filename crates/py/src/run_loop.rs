//! The I/O thread: one UDP socket, one engine, one queue to Python. The only file with a thread, and with `udp` a socket.
//!
//! The thread sleeps in epoll until a datagram, a command or the nearest deadline, reads everything there is, and hands
//! items over in batches. It never holds the GIL. Python's side is `Handle`: commands in, batches out.

mod handle;
mod tcp;
mod udp;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::Builder;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use soloist_core::net::Protocol;
use soloist_core::pace::{Pace, Rest};
use soloist_core::queue::Pushed;
use soloist_core::{Budget, Datagram, Engine, Item, Outbox, Queue, Stats};

pub use handle::{Batch, Handle};
use handle::{Command, Shared, State};
use tcp::TcpPort;
use udp::{BATCH, Outgoing, Received, Udp};

const TOKEN_SOCKET: u64 = 0;
const TOKEN_COMMAND: u64 = 1;
const TOKEN_LISTENER: u64 = 2;
const TOKEN_CONNECTION_FIRST: u64 = 3;
/// Events looked at per turn; more wait for the next.
const EVENTS_MAX: usize = 64;
/// How often TCP connections are checked for having a session.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Deadlines are rounded up to this grid, so that the timers of many sessions share their wake-ups.
const DEADLINE_GRID_MS: u128 = 5;
/// Batches read before commands and deadlines get their turn.
const READS_PER_TURN: usize = 16;
/// How long a mark waits for the socket to be read to its end.
const MARK_PATIENCE: Duration = Duration::from_millis(500);
/// Local addresses remembered for publishers.
const LOCAL_ADDRESSES_MAX: usize = 4_096;

/// How the loop is set up.
pub struct LoopSettings {
    pub bind: SocketAddr,
    /// Also listen for TCP on the port, if it is free.
    pub with_tcp: bool,
    pub socket_buffer_bytes: usize,
    pub queue_bytes_max: usize,
    /// What each session may send.
    pub budget: Budget,
    pub batch_interval: Duration,
}

/// A bound socket whose thread has not started yet.
pub struct Bound {
    udp: Udp,
    tcp: Option<TcpPort>,
    pub address: SocketAddr,
}

impl Bound {
    pub fn bind(settings: &LoopSettings) -> io::Result<Self> {
        let udp = Udp::bind(settings.bind, settings.socket_buffer_bytes)?;
        let address = udp.local_address()?;
        // UDP alone serves nearly everyone; a TCP port taken by another program is no reason not to start.
        let tcp = settings.with_tcp.then(|| TcpPort::bind(address, TOKEN_CONNECTION_FIRST).ok()).flatten();
        Ok(Self { udp, tcp, address })
    }

    pub fn has_tcp(&self) -> bool {
        self.tcp.is_some()
    }

    /// Start the I/O thread; `candidates` are the addresses publishers were told.
    pub fn start(self, settings: &LoopSettings, candidates: Vec<SocketAddr>) -> io::Result<Handle> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                queue: Queue::new(settings.queue_bytes_max, settings.budget),
                marks: HashMap::new(),
                first_at: None,
                is_woken: false,
                is_closed: false,
                is_broken: false,
                stats: Stats::default(),
            }),
            ready: Condvar::new(),
        });
        let (commands, inbox) = channel();
        let bell = Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?);
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(self.udp.fd(), EpollEvent::new(EpollFlags::EPOLLIN, TOKEN_SOCKET))?;
        epoll.add(&*bell, EpollEvent::new(EpollFlags::EPOLLIN, TOKEN_COMMAND))?;
        if let Some(tcp) = &self.tcp {
            epoll.add(tcp.fd(), EpollEvent::new(EpollFlags::EPOLLIN, TOKEN_LISTENER))?;
        }
        let bell_epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        bell_epoll.add(&*bell, EpollEvent::new(EpollFlags::EPOLLIN, TOKEN_COMMAND))?;
        let pace = Pace::new(self.udp.buffer_bytes());
        let io_loop = IoLoop {
            udp: self.udp,
            tcp: self.tcp,
            tcp_ready: Vec::new(),
            swept_at: Instant::now(),
            epoll,
            bell_epoll,
            bell: bell.clone(),
            has_commands: false,
            orders: Vec::new(),
            is_emptied: true,
            pace,
            first_at: None,
            inbox,
            marks: Vec::new(),
            engine: Engine::new(settings.budget),
            shared: shared.clone(),
            batch_interval: settings.batch_interval,
            port: self.address.port(),
            is_wildcard: self.address.ip().is_unspecified(),
            candidates,
            locals: HashMap::new(),
            outgoing: Vec::new(),
            stats: Stats::default(),
            started: Instant::now(),
        };
        let thread = Builder::new().name("soloist-io".into()).spawn(move || run_guarded(io_loop))?;
        let batch_interval = settings.batch_interval;
        let (thread, next_mark) = (Mutex::new(Some(thread)), AtomicU64::new(1));
        Ok(Handle { shared, commands, bell, batch_interval, thread, next_mark })
    }
}

struct IoLoop {
    udp: Udp,
    tcp: Option<TcpPort>,
    /// TCP tokens with something to read.
    tcp_ready: Vec<u64>,
    swept_at: Instant,
    /// Wakes for datagrams and commands.
    epoll: Epoll,
    /// Wakes for commands only, while the socket is read by the clock.
    bell_epoll: Epoll,
    bell: Arc<EventFd>,
    has_commands: bool,
    orders: Vec<Command>,
    /// Marks not placed yet, and when they were asked for.
    marks: Vec<(u64, Instant)>,
    /// The last reading left nothing in the socket.
    is_emptied: bool,
    pace: Pace,
    /// When the oldest item came that Python has not taken, as of the last turn.
    first_at: Option<Instant>,
    inbox: Receiver<Command>,
    engine: Engine,
    shared: Arc<Shared>,
    batch_interval: Duration,
    port: u16,
    is_wildcard: bool,
    candidates: Vec<SocketAddr>,
    /// The local address each publisher sends to, where several are possible.
    locals: HashMap<SocketAddr, IpAddr>,
    outgoing: Vec<Outgoing>,
    stats: Stats,
    started: Instant,
}

impl IoLoop {
    fn run(mut self) {
        let mut goes_on = true;
        let mut read_at = Instant::now();
        while goes_on {
            self.sleep();
            let woken_at = Instant::now();
            self.hear();
            let (udp_bytes, is_emptied) = self.read();
            let bytes = udp_bytes + self.read_tcp(woken_at);
            self.is_emptied = is_emptied;
            let may_rest = is_emptied && self.engine.is_settled();
            self.pace.note(bytes, woken_at.saturating_duration_since(read_at), may_rest);
            read_at = woken_at;
            let now = Instant::now();
            goes_on = self.obey(now);
            self.engine.tick(now);
            if !goes_on {
                self.engine.close_all(now);
            }
            self.flush(now);
            let gap_ms = u64::try_from(woken_at.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.stats.loop_gap_ms_max = self.stats.loop_gap_ms_max.max(gap_ms);
        }
    }

    fn sleep(&mut self) {
        let mut events = [EpollEvent::empty(); EVENTS_MAX];
        // An interrupted sleep is a short one.
        let woken = match self.pace.rest() {
            Rest::For(rest) => {
                let woken = self.bell_epoll.wait(&mut events, timeout(rest)).unwrap_or(0);
                self.has_commands = woken > 0;
                if self.tcp.is_some() { self.epoll.wait(&mut events, EpollTimeout::ZERO) } else { Ok(0) }
            }
            Rest::UntilTraffic => {
                self.has_commands = false;
                self.epoll.wait(&mut events, self.timeout_until_due())
            }
        };
        for event in events.iter().take(woken.unwrap_or(0)) {
            match event.data() {
                TOKEN_SOCKET => {}
                TOKEN_COMMAND => self.has_commands = true,
                token => self.tcp_ready.push(token),
            }
        }
    }

    fn timeout_until_due(&self) -> EpollTimeout {
        let batch_due = self.first_at.map(|first_at| first_at + self.batch_interval);
        let engine_due = self.engine.deadline().map(|deadline| self.on_grid(deadline));
        let has_tcp = self.tcp.as_ref().is_some_and(|tcp| !tcp.is_empty());
        let sweep_due = has_tcp.then(|| self.swept_at + SWEEP_INTERVAL);
        let due = [batch_due, engine_due, sweep_due].into_iter().flatten().min();
        due.map_or(EpollTimeout::NONE, |due| timeout(due.saturating_duration_since(Instant::now())))
    }

    /// Round up to the grid; a deadline that has passed stays as it is.
    fn on_grid(&self, deadline: Instant) -> Instant {
        let since_start = deadline.saturating_duration_since(self.started).as_millis();
        let rounded = since_start.div_ceil(DEADLINE_GRID_MS) * DEADLINE_GRID_MS;
        u64::try_from(rounded).map_or(deadline, |ms| self.started + Duration::from_millis(ms))
    }

    /// Take the commands that wait. Sessions open before the socket is read, so that their first datagrams find them; all
    /// else comes after it, so that what was sent before a goodbye is not lost to it.
    fn hear(&mut self) {
        let now = Instant::now();
        if !self.has_commands {
            return;
        }
        // The bell only says that the inbox is worth a look.
        let _ = self.bell.read();
        while let Ok(command) = self.inbox.try_recv() {
            match command {
                Command::Open(session) => self.engine.open(now, *session),
                later => self.orders.push(later),
            }
        }
    }

    /// Carry out the commands taken; return false for the last one.
    fn obey(&mut self, now: Instant) -> bool {
        let mut goes_on = true;
        for command in std::mem::take(&mut self.orders) {
            match command {
                Command::Open(session) => self.engine.open(now, *session),
                Command::RequestKeyframe { session, mid, rid } => {
                    self.engine.request_keyframe(now, session, &mid, rid.as_deref());
                }
                Command::RestartIce { session, ufrag, password, reply } => {
                    // Whoever asked may have given up waiting.
                    let _ = reply.send(self.engine.restart_ice(now, session, &ufrag, &password));
                }
                Command::Close(session) => self.engine.close(now, session),
                Command::Mark { number, asked_at } => self.marks.push((number, asked_at)),
                Command::Stop => goes_on = false,
            }
        }
        goes_on
    }

    /// Read what the socket holds; return how many bytes, and whether that was all.
    fn read(&mut self) -> (u64, bool) {
        let mut bytes = 0;
        for _ in 0..READS_PER_TURN {
            // A socket error other than "nothing there" is passing (no buffer space); the next turn tries again.
            let count = self.udp.receive().unwrap_or(0);
            let now = Instant::now();
            for index in 0..count {
                bytes += self.take(index, now);
            }
            self.stats.kernel_drops += self.udp.new_kernel_drops(count);
            if count < BATCH {
                return (bytes, true);
            }
        }
        (bytes, false)
    }

    /// Accept and read TCP connections; return how many bytes of datagrams came.
    fn read_tcp(&mut self, now: Instant) -> u64 {
        let Some(tcp) = &mut self.tcp else {
            return 0;
        };
        let (engine, candidates, port) = (&mut self.engine, &self.candidates, self.port);
        let mut bytes = 0;
        for token in self.tcp_ready.drain(..) {
            if token == TOKEN_LISTENER {
                let epoll = &self.epoll;
                tcp.accept(now, |fd, token| Ok(epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, token))?));
                continue;
            }
            tcp.read(token, |source, payload| {
                bytes += u64::try_from(payload.len()).unwrap_or(0);
                let destination = advertised(candidates, None, source, port);
                engine.receive(now, Datagram { protocol: Protocol::Tcp, source, destination, payload })
            });
        }
        if now.saturating_duration_since(self.swept_at) >= SWEEP_INTERVAL && !tcp.is_empty() {
            self.swept_at = now;
            tcp.sweep(now, |source| engine.knows(Protocol::Tcp, source));
        }
        bytes
    }

    /// Hand datagram `index` of the batch read at `now` to the engine; return its size.
    fn take(&mut self, index: usize, now: Instant) -> u64 {
        let Some(Received { source, local, age, payload }) = self.udp.received(index) else {
            return 0;
        };
        let destination = advertised(&self.candidates, local, source, self.port);
        let datagram = Datagram { protocol: Protocol::Udp, source, destination, payload };
        let arrived_at = now.checked_sub(age).unwrap_or(now);
        let is_ours = self.engine.receive(arrived_at, datagram);
        let size = u64::try_from(payload.len()).unwrap_or(0);
        if let Some(local) = local.filter(|_| is_ours && self.is_wildcard) {
            remember_local(&mut self.locals, source, local);
        }
        size
    }

    /// Send and hand over what the engine produced.
    fn flush(&mut self, now: Instant) {
        let outbox = self.engine.outbox();
        for transmit in outbox.transmits.drain(..) {
            if transmit.proto != Protocol::Udp {
                if let Some(tcp) = &mut self.tcp {
                    tcp.send(transmit.destination, &transmit.contents);
                }
                continue;
            }
            let local = self.locals.get(&transmit.destination).copied();
            self.outgoing.push(Outgoing {
                destination: transmit.destination,
                local,
                payload: transmit.contents.into(),
            });
        }
        let Outbox { items, stats, .. } = outbox;
        let Stats { kernel_drops, loop_gap_ms_max, .. } = self.stats;
        let (tcp_connections, tcp_refused) = self.tcp.as_ref().map_or((0, 0), TcpPort::counts);
        self.stats = Stats { kernel_drops, loop_gap_ms_max, tcp_connections, tcp_refused, ..*stats };
        let mut state = self.shared.lock();
        state.stats = self.stats;
        let mut starved = Vec::new();
        for (session, item) in items.drain(..) {
            let layer = match &item {
                Item::Frame(frame) => Some(frame.layer.clone()),
                _ => None,
            };
            if state.queue.push(now, session, item) == Pushed::Dropped {
                starved.extend(layer.map(|layer| (session, layer)));
            }
        }
        starved.extend(state.queue.take_starved());
        place_marks(&mut self.marks, self.is_emptied, now, &mut state);
        if state.first_at.is_none() {
            state.first_at = state.queue.oldest_at();
        }
        self.first_at = state.first_at;
        let is_due = state.is_woken || state.first_at.is_some_and(|first_at| now >= first_at + self.batch_interval);
        drop(state);
        if is_due {
            self.shared.ready.notify_all();
        }
        for (session, layer) in starved {
            self.engine.request_keyframe(now, session, &layer.mid, layer.rid.as_deref());
        }
        self.udp.send(&mut self.outgoing);
        if let Some(tcp) = &mut self.tcp {
            tcp.flush();
        }
    }
}

/// Place the marks whose time has come: the socket was read to its end, or has been full for too long. Their reader is
/// woken.
fn place_marks(marks: &mut Vec<(u64, Instant)>, is_emptied: bool, now: Instant, state: &mut State) {
    let number = state.queue.number();
    marks.retain(|(mark, asked_at)| {
        let is_due = is_emptied || now.saturating_duration_since(*asked_at) >= MARK_PATIENCE;
        if is_due {
            state.marks.insert(*mark, number);
            state.is_woken = true;
        }
        !is_due
    });
}

/// Run the loop to its end; whatever ends it, readers are told.
fn run_guarded(io_loop: IoLoop) {
    let shared = io_loop.shared.clone();
    let outcome = catch_unwind(AssertUnwindSafe(|| io_loop.run()));
    let mut state = shared.lock();
    state.is_closed = true;
    state.is_broken = outcome.is_err();
    drop(state);
    shared.ready.notify_all();
}

fn remember_local(locals: &mut HashMap<SocketAddr, IpAddr>, source: SocketAddr, local: IpAddr) {
    // Those still sending are learned again with their next datagram.
    if locals.len() >= LOCAL_ADDRESSES_MAX && !locals.contains_key(&source) {
        locals.clear();
    }
    locals.insert(source, local);
}

/// Return which advertised address a datagram stands for: behind a one-to-one NAT the real one is none of them.
fn advertised(candidates: &[SocketAddr], local: Option<IpAddr>, source: SocketAddr, port: u16) -> SocketAddr {
    let real =
        local.and_then(|ip| candidates.iter().find(|candidate| candidate.ip() == ip && candidate.port() == port));
    let same_family = || candidates.iter().find(|candidate| candidate.is_ipv4() == source.is_ipv4());
    real.or_else(same_family).or(candidates.first()).copied().unwrap_or(source)
}

/// Rounded up: waking a fraction of a millisecond early would only mean sleeping again.
fn timeout(wait: Duration) -> EpollTimeout {
    let wait_ms = wait.as_micros().div_ceil(1_000).min(60_000);
    EpollTimeout::try_from(wait_ms).unwrap_or(EpollTimeout::MAX)
}

/// Return the addresses publishers are told: the public ones, else the bound one, else all of this machine.
pub fn candidates(public: &[IpAddr], bound: SocketAddr) -> io::Result<Vec<SocketAddr>> {
    let with_port = |ip: IpAddr| SocketAddr::new(ip, bound.port());
    if !public.is_empty() {
        return Ok(public.iter().copied().map(with_port).collect());
    }
    if !bound.ip().is_unspecified() {
        return Ok(vec![bound]);
    }
    let mut found: Vec<IpAddr> = Vec::new();
    for interface in nix::ifaddrs::getifaddrs()? {
        let Some(address) = interface.address else {
            continue;
        };
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        let v6 = address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip()));
        // Link-local addresses need a scope the answer cannot carry.
        let usable = v4.or(v6).filter(|ip| match ip {
            IpAddr::V4(ip) => !ip.is_link_local(),
            IpAddr::V6(ip) => bound.is_ipv6() && !ip.is_unicast_link_local(),
        });
        found.extend(usable.filter(|ip| !found.contains(ip)));
    }
    // Encoders that try one candidate only take the first.
    found.sort_by_key(|ip| (ip.is_loopback(), ip.is_ipv6()));
    Ok(found.into_iter().map(with_port).collect())
}
