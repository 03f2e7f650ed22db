//! Datagrams over TCP: each preceded by its length. Spec: RFC 4571 §2, RFC 6544 §3.

/// Most bytes of an unfinished frame plus what follows it; two frames of the largest size.
const WAITING_BYTES_MAX: usize = 2 * (u16::MAX as usize + LENGTH_BYTES);
const LENGTH_BYTES: usize = 2;

/// Cuts a byte stream into frames.
#[derive(Debug, Default)]
pub struct Deframer {
    waiting: Vec<u8>,
    /// Bytes at the front of `waiting` that were handed out already.
    taken: usize,
}

impl Deframer {
    /// Add bytes as they came; tell whether there was room. A peer that overruns it does not speak this protocol.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        self.waiting.drain(..self.taken);
        self.taken = 0;
        if self.waiting.len() + bytes.len() > WAITING_BYTES_MAX {
            return false;
        }
        self.waiting.extend_from_slice(bytes);
        true
    }

    /// Return the next whole frame; None until more bytes come. Empty frames are skipped.
    pub fn pop(&mut self) -> Option<&[u8]> {
        loop {
            let rest = self.waiting.get(self.taken..)?;
            let [high, low, ..] = *rest else {
                return None;
            };
            let length = usize::from(u16::from_be_bytes([high, low]));
            let begin = self.taken + LENGTH_BYTES;
            self.waiting.get(begin..begin + length)?;
            self.taken = begin + length;
            if length > 0 {
                return self.waiting.get(begin..begin + length);
            }
        }
    }
}

/// Append a datagram as a frame; one too long for a frame is left out, as UDP would lose it.
pub fn frame(datagram: &[u8], stream: &mut Vec<u8>) {
    if let Ok(length) = u16::try_from(datagram.len()) {
        stream.extend_from_slice(&length.to_be_bytes());
        stream.extend_from_slice(datagram);
    }
}

#[cfg(test)]
mod tests {
    use super::{Deframer, frame};

    #[test]
    fn frames_come_out_as_they_went_in_however_the_stream_is_cut() {
        let mut stream = Vec::new();
        for datagram in [&b"one"[..], b"", b"three", &[7; 1_500]] {
            frame(datagram, &mut stream);
        }
        for cut in 1..stream.len() {
            let mut deframer = Deframer::default();
            let mut frames: Vec<Vec<u8>> = Vec::new();
            for part in stream.chunks(cut) {
                assert!(deframer.push(part));
                while let Some(frame) = deframer.pop() {
                    frames.push(frame.to_vec());
                }
            }
            assert_eq!(frames, [b"one".to_vec(), b"three".to_vec(), vec![7; 1_500]], "cut at {cut}");
        }
    }

    #[test]
    fn a_peer_that_sends_more_than_two_frames_without_an_end_is_found_out() {
        let mut deframer = Deframer::default();
        let flood = vec![0xff; 60_000];
        assert!(deframer.push(&flood));
        assert!(deframer.push(&flood));
        assert!(!deframer.push(&flood));
    }
}
