//! The passive ICE-TCP port, for publishers whose network lets no UDP out. Same number as the UDP port.
//!
//! Connections are few and cheap: each may hold two unread frames, each unsent byte is bounded, and one that does not
//! prove to belong to a session within five seconds is closed. Until then it is a stranger's: of those an address may have
//! a few, and where there is no place the oldest stranger makes room. Spec: RFC 6544, RFC 4571.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use soloist_core::framing::{Deframer, frame};

const CONNECTIONS_MAX: usize = 1_024;
/// Connections of one address that have not proved anything yet; behind a NAT many may come at the same time.
const STRANGERS_PER_ADDRESS_MAX: usize = 32;
/// How long a connection may take to prove that it belongs to a session, and may outlive one.
const PATIENCE: Duration = Duration::from_secs(5);
/// Connections accepted per turn, so that those who knock cannot keep the thread.
const ACCEPTS_PER_TURN: usize = 64;
/// Most bytes kept for a peer that does not read; it gets little more than reports from us.
const UNSENT_BYTES_MAX: usize = 256 * 1024;
const READ_BYTES: usize = 64 * 1024;
/// Readings of one connection per turn, so that one peer cannot keep the thread.
const READS_PER_TURN: usize = 4;

/// Names a connection in epoll; never 0 or 1.
pub type Token = u64;

struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    incoming: Deframer,
    unsent: Vec<u8>,
    checked_at: Instant,
    /// It belonged to a session when last looked at.
    is_proven: bool,
}

/// The listening socket and its connections.
pub struct TcpPort {
    listener: TcpListener,
    /// By token, which is by age.
    connections: BTreeMap<Token, Connection>,
    by_peer: HashMap<SocketAddr, Token>,
    /// Those with something to send.
    unsent: Vec<Token>,
    next_token: Token,
    buffer: Vec<u8>,
    refused: u64,
}

impl TcpPort {
    pub fn bind(address: SocketAddr, first_token: Token) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            connections: BTreeMap::new(),
            by_peer: HashMap::new(),
            unsent: Vec::new(),
            next_token: first_token,
            buffer: vec![0; READ_BYTES],
            refused: 0,
        })
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// Accept those who knock; `watch` puts a connection under a token into epoll, which forgets it when it closes.
    pub fn accept(&mut self, now: Instant, watch: impl Fn(BorrowedFd<'_>, Token) -> io::Result<()>) {
        for _ in 0..ACCEPTS_PER_TURN {
            // Any error is the knocker's, or a shortage of descriptors that the next turn may find over.
            let Ok((stream, peer)) = self.listener.accept() else {
                return;
            };
            let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
            let token = self.next_token;
            let is_usable = stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true));
            if !self.has_place(peer.ip()) || is_usable.and_then(|()| watch(stream.as_fd(), token)).is_err() {
                self.refused += 1;
                continue;
            }
            self.next_token += 1;
            self.by_peer.insert(peer, token);
            let incoming = Deframer::default();
            let connection =
                Connection { stream, peer, incoming, unsent: Vec::new(), checked_at: now, is_proven: false };
            self.connections.insert(token, connection);
        }
    }

    /// Tell whether one more of this address fits; strangers make room, their oldest first.
    fn has_place(&mut self, address: IpAddr) -> bool {
        let strangers = self.connections.iter().filter(|(_, one)| !one.is_proven);
        let of_address = strangers.clone().filter(|(_, one)| one.peer.ip() == address);
        let makes_room = if of_address.clone().count() >= STRANGERS_PER_ADDRESS_MAX {
            of_address.map(|(token, _)| *token).next()
        } else if self.connections.len() >= CONNECTIONS_MAX {
            strangers.map(|(token, _)| *token).next()
        } else {
            return true;
        };
        if let Some(token) = makes_room {
            self.refused += 1;
            self.close(token);
        }
        makes_room.is_some()
    }

    /// Read a connection; `take(peer, datagram)` tells whether a datagram belongs to a session. Closes what ended.
    pub fn read(&mut self, token: Token, mut take: impl FnMut(SocketAddr, &[u8]) -> bool) {
        let Some(connection) = self.connections.get_mut(&token) else {
            return;
        };
        for _ in 0..READS_PER_TURN {
            let length = match connection.stream.read(&mut self.buffer) {
                Ok(length) if length > 0 => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                _ => return self.close(token),
            };
            let fits = self.buffer.get(..length).is_some_and(|bytes| connection.incoming.push(bytes));
            let (mut is_ours, mut has_any) = (true, false);
            while let Some(datagram) = connection.incoming.pop() {
                is_ours &= take(connection.peer, datagram);
                has_any = true;
            }
            if !fits || !is_ours {
                return self.close(token);
            }
            connection.is_proven |= has_any;
        }
    }

    /// Send a datagram to a connected peer; to another it is lost.
    pub fn send(&mut self, peer: SocketAddr, datagram: &[u8]) {
        let Some(token) = self.by_peer.get(&peer).copied() else {
            return;
        };
        if let Some(connection) = self.connections.get_mut(&token) {
            if connection.unsent.is_empty() {
                self.unsent.push(token);
            }
            frame(datagram, &mut connection.unsent);
        }
    }

    /// Write what waits; close peers that do not read it.
    pub fn flush(&mut self) {
        for token in std::mem::take(&mut self.unsent) {
            let Some(connection) = self.connections.get_mut(&token) else {
                continue;
            };
            if !connection.write() {
                self.close(token);
            } else if !connection.unsent.is_empty() {
                self.unsent.push(token);
            }
        }
    }

    /// Close connections that belong to no session, `PATIENCE` after they were last seen to.
    pub fn sweep(&mut self, now: Instant, is_known: impl Fn(SocketAddr) -> bool) {
        let mut strangers = Vec::new();
        for (token, connection) in &mut self.connections {
            connection.is_proven = is_known(connection.peer);
            if connection.is_proven {
                connection.checked_at = now;
            } else if now.saturating_duration_since(connection.checked_at) >= PATIENCE {
                strangers.push(*token);
            }
        }
        for token in strangers {
            self.close(token);
        }
    }

    /// Return how many connections are open, and how many were refused or made room for others.
    pub fn counts(&self) -> (u64, u64) {
        (self.connections.len() as u64, self.refused)
    }

    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    fn close(&mut self, token: Token) {
        if let Some(connection) = self.connections.remove(&token)
            && self.by_peer.get(&connection.peer) == Some(&token)
        {
            self.by_peer.remove(&connection.peer);
        }
    }
}

impl Connection {
    /// Write what the peer's window takes; false if it is gone or takes nothing any more.
    fn write(&mut self) -> bool {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(length) if length > 0 => drop(self.unsent.drain(..length)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return self.unsent.len() <= UNSENT_BYTES_MAX,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                _ => return false,
            }
        }
        true
    }
}
