//! Which packets of one stream were authentic already: its index beyond 16 bits, and what is a repetition.
//!
//! Spec: RFC 3711 §3.3.1 (guessing the index), §3.3.2 (replay protection). Pure.

/// Packets behind the newest that may still come. str0m takes 100; libsrtp in browsers 1,024.
const PACKETS: u64 = 1_024;
const WORD_BITS: u64 = 64;
const WORDS: usize = 16;

/// The newest packets of one stream.
#[derive(Debug, Clone)]
pub struct Window {
    newest: u64,
    /// One bit for each of the newest packets, at its index modulo their number.
    seen: [u64; WORDS],
}

impl Window {
    /// Begin with a stream's first authentic packet.
    pub fn new(index: u64) -> Self {
        let mut window = Self { newest: index, seen: [0; WORDS] };
        window.set(index);
        window
    }

    /// Return the index of a packet by its 16-bit number: the one nearest to the newest. None before the first possible.
    pub fn index_of(&self, number: u16) -> Option<u64> {
        let newest = u16::try_from(self.newest & 0xffff).unwrap_or(0);
        self.newest.checked_add_signed(number.wrapping_sub(newest).cast_signed().into())
    }

    /// Tell whether a packet is neither seen nor too old to know.
    pub fn is_new(&self, index: u64) -> bool {
        index > self.newest || (self.newest - index < PACKETS && !self.is_seen(index))
    }

    /// Note that a packet was authentic.
    pub fn note(&mut self, index: u64) {
        if index > self.newest {
            let skipped = self.newest + 1..index;
            if index - self.newest >= PACKETS {
                self.seen = [0; WORDS];
            } else {
                skipped.for_each(|index| self.clear(index));
            }
            self.newest = index;
        }
        self.set(index);
    }

    fn is_seen(&self, index: u64) -> bool {
        let (word, bit) = place(index);
        self.seen[word] & bit != 0
    }

    fn set(&mut self, index: u64) {
        let (word, bit) = place(index);
        self.seen[word] |= bit;
    }

    fn clear(&mut self, index: u64) {
        let (word, bit) = place(index);
        self.seen[word] &= !bit;
    }
}

fn place(index: u64) -> (usize, u64) {
    let at = index % PACKETS;
    (usize::try_from(at / WORD_BITS).unwrap_or(0), 1 << (at % WORD_BITS))
}

#[cfg(test)]
mod tests {
    use super::{PACKETS, Window};

    #[test]
    fn a_packet_is_new_once_and_while_it_is_not_too_old() {
        let mut window = Window::new(10);
        for index in [11, 15, 12, 9] {
            assert!(window.is_new(index));
            window.note(index);
            assert!(!window.is_new(index), "{index}");
        }
        assert!(window.is_new(13) && window.is_new(14));
        window.note(15 + PACKETS);
        assert!(!window.is_new(15) && window.is_new(16), "as many as the window holds behind the newest");
        window.note(13 + 5 * PACKETS);
        assert!(!window.is_new(13 + 4 * PACKETS) && window.is_new(14 + 4 * PACKETS), "a leap forgets all");
    }

    #[test]
    fn the_index_is_the_nearest_to_the_newest() {
        let window = Window::new(65_534);
        assert_eq!([1, 65_535, 40_000].map(|number| window.index_of(number)), [65_537, 65_535, 40_000].map(Some));
        assert_eq!(Window::new(2).index_of(65_534), None);
        assert_eq!(Window::new((7 << 16) + 2).index_of(65_534), Some((6 << 16) + 65_534));
    }
}
