//! The UDP socket: many datagrams per system call, with the local address of each and the kernel's drop count.
//!
//! The one file of this workspace that calls libc directly. Every pointer handed to the kernel is set immediately before
//! the call from vectors this module owns and does not touch until the call returns.
#![allow(
    unsafe_code,
    reason = "recvmmsg and sendmmsg with control messages have no safe binding that fits a reused batch"
)]

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::socket::{getsockopt, setsockopt, sockopt};

/// Datagrams per system call.
pub const BATCH: usize = 64;
/// Room per datagram, bytes; one over the largest ICE, DTLS or RTP packet any publisher sends.
const DATAGRAM_BYTES: usize = 2_048;
/// Room for control messages per datagram, bytes: packet information, time stamp and drop counter take 96.
const CONTROL_BYTES: usize = 128;
/// An arrival longer ago than this means that the wall clock was set meanwhile.
const AGE_MAX: Duration = Duration::from_secs(5);

/// A control buffer aligned as the kernel's headers are.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL_BYTES]);

/// One received datagram.
pub struct Received<'a> {
    pub source: SocketAddr,
    /// Address it was sent to, if the kernel told.
    pub local: Option<IpAddr>,
    /// How long before the reading it arrived, by the kernel's time stamp.
    pub age: Duration,
    pub payload: &'a [u8],
}

/// One datagram to send.
pub struct Outgoing {
    pub destination: SocketAddr,
    /// Address to send from; None lets the kernel choose.
    pub local: Option<IpAddr>,
    pub payload: Vec<u8>,
}

/// Reusable room for a batch.
struct Batch {
    headers: Vec<libc::mmsghdr>,
    vectors: Vec<libc::iovec>,
    names: Vec<libc::sockaddr_storage>,
    controls: Vec<Control>,
}

// SAFETY: the raw pointers inside are set before each system call and never followed by anyone else.
unsafe impl Send for Batch {}

/// A bound, non-blocking UDP socket.
pub struct Udp {
    socket: UdpSocket,
    is_v6: bool,
    batch: Batch,
    buffers: Vec<u8>,
    lengths: Vec<usize>,
    drops_seen: u32,
    read_at: SystemTime,
}

impl Udp {
    /// Bind; ask for a receive buffer of `buffer_bytes`, by privilege if we have it, else up to the system's limit.
    pub fn bind(address: SocketAddr, buffer_bytes: usize) -> io::Result<Self> {
        let socket = UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        if setsockopt(&socket, sockopt::RcvBufForce, &buffer_bytes).is_err() {
            setsockopt(&socket, sockopt::RcvBuf, &buffer_bytes)?;
        }
        setsockopt(&socket, sockopt::RxqOvfl, &1)?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        let is_v6 = address.is_ipv6();
        if is_v6 {
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        }
        Ok(Self {
            socket,
            is_v6,
            batch: Batch::new(),
            buffers: vec![0; BATCH * DATAGRAM_BYTES],
            lengths: vec![0; BATCH],
            drops_seen: 0,
            read_at: UNIX_EPOCH,
        })
    }

    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Return the receive buffer the kernel granted, bytes.
    pub fn buffer_bytes(&self) -> u64 {
        let granted = getsockopt(&self.socket, sockopt::RcvBuf).unwrap_or(0);
        u64::try_from(granted).unwrap_or(0)
    }

    /// Read what is there, at most one batch; return how many datagrams, 0 if none waits.
    ///
    /// Less than `BATCH` means that nothing is left.
    pub fn receive(&mut self) -> io::Result<usize> {
        self.batch.prepare_receive(&mut self.buffers);
        let count = c_uint(BATCH);
        // SAFETY: `headers` holds BATCH entries whose pointers were set just above to live, disjoint buffers.
        let received = unsafe {
            let headers = self.batch.headers.as_mut_ptr();
            libc::recvmmsg(self.socket.as_raw_fd(), headers, count, libc::MSG_DONTWAIT, std::ptr::null_mut())
        };
        let Ok(received) = usize::try_from(received) else {
            let error = io::Error::last_os_error();
            return if is_transient(&error) { Ok(0) } else { Err(error) };
        };
        self.read_at = SystemTime::now();
        for (length, header) in self.lengths.iter_mut().zip(&self.batch.headers).take(received) {
            *length = usize::try_from(header.msg_len).unwrap_or(0).min(DATAGRAM_BYTES);
        }
        Ok(received)
    }

    /// Return datagram `index` of the last batch; None if its address is unreadable or it did not fit.
    pub fn received(&self, index: usize) -> Option<Received<'_>> {
        let header = &self.batch.headers.get(index)?.msg_hdr;
        if header.msg_flags & libc::MSG_TRUNC != 0 {
            return None;
        }
        let source = address_of(self.batch.names.get(index)?)?;
        let start = index * DATAGRAM_BYTES;
        let payload = self.buffers.get(start..start + self.lengths.get(index)?)?;
        let arrived_at = arrival_of(header).unwrap_or(self.read_at);
        let age = self.read_at.duration_since(arrived_at).ok().filter(|age| *age <= AGE_MAX).unwrap_or_default();
        Some(Received { source, local: local_of(header), age, payload })
    }

    /// Return how many datagrams the kernel dropped since the last call, as far as the last batch of `count` tells.
    pub fn new_kernel_drops(&mut self, count: usize) -> u64 {
        let Some(total) = self.batch.headers.iter().take(count).rev().find_map(|header| drops_of(&header.msg_hdr))
        else {
            return 0;
        };
        let new = total.wrapping_sub(self.drops_seen);
        self.drops_seen = total;
        u64::from(new)
    }

    /// Send; what the kernel refuses is lost, as UDP may be.
    pub fn send(&mut self, outgoing: &mut Vec<Outgoing>) {
        for chunk in outgoing.chunks_mut(BATCH) {
            let mut done = 0;
            while done < chunk.len() {
                let rest = &mut chunk[done..];
                self.batch.prepare_send(rest, self.is_v6);
                let count = c_uint(rest.len());
                // SAFETY: the first `count` headers were set just above to point into `rest` and the batch's own vectors.
                let sent = unsafe {
                    let headers = self.batch.headers.as_mut_ptr();
                    libc::sendmmsg(self.socket.as_raw_fd(), headers, count, libc::MSG_DONTWAIT)
                };
                // A refused datagram is skipped, those after it are tried.
                done += usize::try_from(sent).unwrap_or(0).max(1);
            }
        }
        outgoing.clear();
    }
}

impl Batch {
    fn new() -> Self {
        // SAFETY: all-zero is a valid value of these plain C structures.
        let (header, vector, name) = unsafe { (mem::zeroed(), mem::zeroed(), mem::zeroed()) };
        Self {
            headers: vec![header; BATCH],
            vectors: vec![vector; BATCH],
            names: vec![name; BATCH],
            controls: vec![Control([0; CONTROL_BYTES]); BATCH],
        }
    }

    fn prepare_receive(&mut self, buffers: &mut [u8]) {
        let slots = self.headers.iter_mut().zip(&mut self.vectors).zip(&mut self.names).zip(&mut self.controls);
        for ((((header, vector), name), control), buffer) in slots.zip(buffers.chunks_exact_mut(DATAGRAM_BYTES)) {
            vector.iov_base = buffer.as_mut_ptr().cast();
            vector.iov_len = buffer.len();
            let header = &mut header.msg_hdr;
            header.msg_name = std::ptr::from_mut(name).cast();
            header.msg_namelen = socklen(size_of::<libc::sockaddr_storage>());
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            header.msg_control = control.0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL_BYTES;
            header.msg_flags = 0;
        }
    }

    fn prepare_send(&mut self, outgoing: &mut [Outgoing], is_v6: bool) {
        let slots = self.headers.iter_mut().zip(&mut self.vectors).zip(&mut self.names).zip(&mut self.controls);
        for ((((header, vector), name), control), datagram) in slots.zip(outgoing) {
            vector.iov_base = datagram.payload.as_mut_ptr().cast();
            vector.iov_len = datagram.payload.len();
            let header = &mut header.msg_hdr;
            header.msg_namelen = write_address(name, datagram.destination, is_v6);
            header.msg_name = std::ptr::from_mut(name).cast();
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            header.msg_flags = 0;
            header.msg_control = control.0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL_BYTES;
            header.msg_controllen = datagram.local.map_or(0, |local| write_local(header, local, is_v6));
            if header.msg_controllen == 0 {
                header.msg_control = std::ptr::null_mut();
            }
        }
    }
}

fn is_transient(error: &io::Error) -> bool {
    // ECONNREFUSED is an ICMP answer to something sent earlier; it says nothing about this socket.
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionRefused)
}

fn c_uint(value: usize) -> libc::c_uint {
    libc::c_uint::try_from(value).unwrap_or(libc::c_uint::MAX)
}

fn socklen(value: usize) -> libc::socklen_t {
    libc::socklen_t::try_from(value).unwrap_or(libc::socklen_t::MAX)
}

fn address_of(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match libc::c_int::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says the kernel wrote a sockaddr_in, and the storage is large and aligned enough.
            let name = unsafe { &*std::ptr::from_ref(name).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(name.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above, for a sockaddr_in6.
            let name = unsafe { &*std::ptr::from_ref(name).cast::<libc::sockaddr_in6>() };
            let ip = IpAddr::V6(Ipv6Addr::from(name.sin6_addr.s6_addr)).to_canonical();
            Some(SocketAddr::new(ip, u16::from_be(name.sin6_port)))
        }
        _ => None,
    }
}

fn write_address(name: &mut libc::sockaddr_storage, address: SocketAddr, is_v6: bool) -> libc::socklen_t {
    let address = if is_v6 { SocketAddr::V6(mapped(address)) } else { address };
    match address {
        SocketAddr::V4(address) => {
            let written = libc::sockaddr_in {
                sin_family: family(libc::AF_INET),
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
                sin_zero: [0; 8],
            };
            // SAFETY: sockaddr_storage is at least as large and as strictly aligned as sockaddr_in.
            unsafe { std::ptr::from_mut(name).cast::<libc::sockaddr_in>().write(written) };
            socklen(size_of::<libc::sockaddr_in>())
        }
        SocketAddr::V6(address) => {
            let written = libc::sockaddr_in6 {
                sin6_family: family(libc::AF_INET6),
                sin6_port: address.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                sin6_scope_id: address.scope_id(),
            };
            // SAFETY: sockaddr_storage is at least as large and as strictly aligned as sockaddr_in6.
            unsafe { std::ptr::from_mut(name).cast::<libc::sockaddr_in6>().write(written) };
            socklen(size_of::<libc::sockaddr_in6>())
        }
    }
}

fn family(value: libc::c_int) -> libc::sa_family_t {
    libc::sa_family_t::try_from(value).unwrap_or(0)
}

fn mapped(address: SocketAddr) -> SocketAddrV6 {
    match address {
        SocketAddr::V4(address) => SocketAddrV6::new(address.ip().to_ipv6_mapped(), address.port(), 0, 0),
        SocketAddr::V6(address) => address,
    }
}

fn drops_of(header: &libc::msghdr) -> Option<u32> {
    control_messages(header)
        .find(|message| message.cmsg_level == libc::SOL_SOCKET && message.cmsg_type == libc::SO_RXQ_OVFL)
        .map(read_data::<u32>)
}

fn arrival_of(header: &libc::msghdr) -> Option<SystemTime> {
    let stamp: libc::timespec = control_messages(header)
        .find(|message| message.cmsg_level == libc::SOL_SOCKET && message.cmsg_type == libc::SCM_TIMESTAMPNS)
        .map(read_data)?;
    let (seconds, ns) = (u64::try_from(stamp.tv_sec).ok()?, u32::try_from(stamp.tv_nsec).ok()?);
    Some(UNIX_EPOCH + Duration::new(seconds, ns))
}

fn local_of(header: &libc::msghdr) -> Option<IpAddr> {
    control_messages(header).find_map(|message| match (message.cmsg_level, message.cmsg_type) {
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
            let info: libc::in_pktinfo = read_data(message);
            Some(IpAddr::V4(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr))))
        }
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
            let info: libc::in6_pktinfo = read_data(message);
            Some(IpAddr::V6(Ipv6Addr::from(info.ipi6_addr.s6_addr)).to_canonical())
        }
        _ => None,
    })
}

fn control_messages(header: &libc::msghdr) -> impl Iterator<Item = &libc::cmsghdr> {
    // SAFETY: the kernel wrote `msg_controllen` bytes of well-formed control messages into our aligned buffer.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(header).as_ref() };
    std::iter::from_fn(move || {
        let message = next?;
        // SAFETY: `message` came from the same header.
        next = unsafe { libc::CMSG_NXTHDR(header, message).as_ref() };
        Some(message)
    })
}

fn read_data<T: Copy>(message: &libc::cmsghdr) -> T {
    // SAFETY: level and type were checked by the caller, so the kernel wrote a T here; it may be unaligned.
    unsafe { libc::CMSG_DATA(message).cast::<T>().read_unaligned() }
}

/// Write the source address to use into the header's control buffer; return the bytes it takes.
fn write_local(header: &libc::msghdr, local: IpAddr, is_v6: bool) -> usize {
    match (local, is_v6) {
        (IpAddr::V4(ip), false) => {
            let info = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr { s_addr: u32::from(ip).to_be() },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            write_control(header, libc::IPPROTO_IP, libc::IP_PKTINFO, info)
        }
        (ip, true) => {
            let ip = match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                IpAddr::V6(ip) => ip,
            };
            let info = libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: ip.octets() }, ipi6_ifindex: 0 };
            write_control(header, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info)
        }
        (IpAddr::V6(_), false) => 0,
    }
}

fn write_control<T>(header: &libc::msghdr, level: libc::c_int, kind: libc::c_int, data: T) -> usize {
    let bytes = c_uint(size_of::<T>());
    // SAFETY: the header's control buffer is CONTROL_BYTES long and aligned, which holds one such message.
    unsafe {
        let Some(message) = libc::CMSG_FIRSTHDR(header).as_mut() else {
            return 0;
        };
        message.cmsg_level = level;
        message.cmsg_type = kind;
        message.cmsg_len = usize::try_from(libc::CMSG_LEN(bytes)).unwrap_or(0);
        libc::CMSG_DATA(message).cast::<T>().write_unaligned(data);
        usize::try_from(libc::CMSG_SPACE(bytes)).unwrap_or(0)
    }
}
