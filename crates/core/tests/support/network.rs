//! A network that loses, delays, reorders and doubles datagrams by a seed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Which way a datagram travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Towards {
    Receiver,
    Publisher,
}

/// How the network behaves once `begins` has passed since the first datagram.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    pub seed: u64,
    pub loss_percent: u64,
    pub duplicate_percent: u64,
    /// Datagrams with a bit turned.
    pub damage_percent: u64,
    pub latency: Duration,
    /// Each datagram takes up to this much longer, so that some overtake others.
    pub jitter: Duration,
    /// Fair weather until then, so that the handshake passes.
    pub begins: Duration,
}

impl Weather {
    pub const fn fair() -> Self {
        Self {
            seed: 1,
            loss_percent: 0,
            duplicate_percent: 0,
            damage_percent: 0,
            latency: Duration::from_millis(10),
            jitter: Duration::ZERO,
            // The loss of the first packet of a stream cannot be noticed, so it is not part of the weather.
            begins: Duration::from_millis(1_200),
        }
    }

    pub const fn rough(seed: u64, loss_percent: u64) -> Self {
        Self { seed, loss_percent, duplicate_percent: 3, jitter: Duration::from_millis(15), ..Self::fair() }
    }
}

/// Datagrams under way, in order of arrival.
pub struct Network {
    weather: Weather,
    random: u64,
    first_at: Option<Instant>,
    sent: u64,
    under_way: BTreeMap<(Instant, u64), (Towards, Vec<u8>)>,
    /// Nothing passes while set.
    pub is_down: bool,
    /// How much longer what is sent now takes.
    pub detour: Duration,
}

impl Network {
    pub fn new(weather: Weather) -> Self {
        let random = weather.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self {
            weather,
            random,
            first_at: None,
            sent: 0,
            under_way: BTreeMap::new(),
            is_down: false,
            detour: Duration::ZERO,
        }
    }

    pub fn send(&mut self, now: Instant, towards: Towards, datagram: Vec<u8>) {
        let first_at = *self.first_at.get_or_insert(now);
        if self.is_down {
            return;
        }
        if now < first_at + self.weather.begins {
            self.deliver(now + self.weather.latency + self.detour, towards, datagram);
            return;
        }
        if self.percent() < self.weather.loss_percent {
            return;
        }
        if self.percent() < self.weather.duplicate_percent {
            let arrival = self.arrival(now);
            self.deliver(arrival, towards, datagram.clone());
        }
        let arrival = self.arrival(now);
        let datagram = if towards == Towards::Receiver { self.damaged(datagram) } else { datagram };
        self.deliver(arrival, towards, datagram);
    }

    pub fn arrived(&mut self, now: Instant) -> Option<(Towards, Vec<u8>)> {
        let (key, _) = self.under_way.first_key_value().filter(|((at, _), _)| *at <= now)?;
        let key = *key;
        self.under_way.remove(&key)
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.under_way.keys().next().map(|(at, _)| *at)
    }

    fn deliver(&mut self, arrival: Instant, towards: Towards, datagram: Vec<u8>) {
        self.sent += 1;
        self.under_way.insert((arrival, self.sent), (towards, datagram));
    }

    fn damaged(&mut self, mut datagram: Vec<u8>) -> Vec<u8> {
        let length = u64::try_from(datagram.len()).unwrap_or(0);
        // What the publisher is sent stays whole: str0m as publisher is not on trial.
        if self.percent() < self.weather.damage_percent && length > 12 {
            let at = usize::try_from(self.next_random() % length).unwrap_or(0);
            datagram[at] ^= 1 << (self.next_random() % 8);
        }
        datagram
    }

    fn arrival(&mut self, now: Instant) -> Instant {
        let jitter_us = u64::try_from(self.weather.jitter.as_micros()).unwrap_or(0);
        let extra = if jitter_us == 0 { 0 } else { self.next_random() % jitter_us };
        now + self.weather.latency + Duration::from_micros(extra)
    }

    fn percent(&mut self) -> u64 {
        self.next_random() % 100
    }

    /// xorshift64: enough randomness for a network, the same everywhere.
    fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}
