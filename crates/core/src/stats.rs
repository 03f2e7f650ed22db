//! Counters since start.

/// What the core counts; the socket loop adds what only it can see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// RTP and RTCP datagrams handed to a session.
    pub packets_received: u64,
    /// Their bytes, without UDP and IP headers.
    pub bytes_received: u64,
    /// Media packets missing for good when the frame after them was delivered.
    pub packets_lost: u64,
    /// Retransmitted media packets that arrived.
    pub packets_recovered: u64,
    /// Datagrams the kernel dropped because the socket buffer was full.
    pub kernel_drops: u64,
    /// Longest time between two readings of the socket while work was due, milliseconds.
    pub loop_gap_ms_max: u64,
    pub plis_sent: u64,
    pub nacks_sent: u64,
    /// Frame bytes waiting for the reader now.
    pub queue_bytes: u64,
    /// The most they ever were.
    pub queue_bytes_max: u64,
    /// How long the oldest item waits for the reader now, milliseconds.
    pub queue_age_ms: u64,
    /// Frames dropped because the queue was full or their session over its rate.
    pub frames_dropped: u64,
    /// Datagrams passed over because their session had used up its budget.
    pub packets_refused: u64,
    /// Sessions ended because ICE and DTLS took too long.
    pub connects_late: u64,
    /// ICE-TCP connections open now.
    pub tcp_connections: u64,
    /// ICE-TCP connections refused or closed to make room for others.
    pub tcp_refused: u64,
    /// Sessions open now.
    pub sessions: u64,
    /// Datagrams that belong to no session.
    pub datagrams_unknown: u64,
    /// What came under a publisher's address and was not the publisher's: RTP and RTCP packets whose tag was wrong, DTLS
    /// records and STUN requests that cannot be authentic. What the network damaged is among them.
    pub datagrams_forged: u64,
    /// Authentic packets that had come before: the network's duplicates, or replays.
    pub datagrams_repeated: u64,
}

impl Stats {
    /// Return how many datagrams proved to be nobody's so far, or a copy anybody can send.
    pub const fn unproven(&self) -> u64 {
        self.datagrams_forged + self.datagrams_repeated
    }

    /// Return every counter with the name Python sees.
    pub const fn named(&self) -> [(&'static str, u64); 20] {
        [
            ("packets_received", self.packets_received),
            ("bytes_received", self.bytes_received),
            ("packets_lost", self.packets_lost),
            ("packets_recovered", self.packets_recovered),
            ("kernel_drops", self.kernel_drops),
            ("loop_gap_ms_max", self.loop_gap_ms_max),
            ("plis_sent", self.plis_sent),
            ("nacks_sent", self.nacks_sent),
            ("queue_bytes", self.queue_bytes),
            ("queue_bytes_max", self.queue_bytes_max),
            ("queue_age_ms", self.queue_age_ms),
            ("frames_dropped", self.frames_dropped),
            ("packets_refused", self.packets_refused),
            ("connects_late", self.connects_late),
            ("tcp_connections", self.tcp_connections),
            ("tcp_refused", self.tcp_refused),
            ("sessions", self.sessions),
            ("datagrams_unknown", self.datagrams_unknown),
            ("datagrams_forged", self.datagrams_forged),
            ("datagrams_repeated", self.datagrams_repeated),
        ]
    }
}
