//! The datagram transport OpenSSL reads from and writes to: one waiting datagram in, a queue of datagrams out.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};

/// Datagram boundaries are kept in both directions: one read returns one datagram, one write makes one.
#[derive(Debug, Default)]
pub struct Pipe {
    incoming: Option<Vec<u8>>,
    outgoing: VecDeque<Vec<u8>>,
}

impl Pipe {
    /// Put in the datagram the next read returns; one that was not read is replaced.
    pub fn put(&mut self, datagram: &[u8]) {
        self.incoming = Some(datagram.to_vec());
    }

    /// Take out the next datagram to send.
    pub fn pop(&mut self) -> Option<Vec<u8>> {
        self.outgoing.pop_front()
    }

    pub fn is_drained(&self) -> bool {
        self.outgoing.is_empty()
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let datagram = self.incoming.take().ok_or(ErrorKind::WouldBlock)?;
        let length = datagram.len().min(buffer.len());
        buffer[..length].copy_from_slice(&datagram[..length]);
        Ok(length)
    }
}

impl Write for Pipe {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.outgoing.push_back(datagram.to_vec());
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Pipe;
    use std::io::{ErrorKind, Read, Write};

    #[test]
    fn a_read_returns_one_datagram_and_never_more_than_fits() {
        let mut pipe = Pipe::default();
        pipe.put(&[1, 2, 3, 4]);
        let mut small = [0; 3];
        assert_eq!(pipe.read(&mut small).ok(), Some(3));
        assert_eq!(pipe.read(&mut small).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
    }

    #[test]
    fn each_write_is_a_datagram_of_its_own() {
        let mut pipe = Pipe::default();
        assert_eq!(pipe.write(&[1]).ok(), Some(1));
        assert_eq!(pipe.write(&[2, 3]).ok(), Some(2));
        assert_eq!((pipe.pop(), pipe.pop(), pipe.pop()), (Some(vec![1]), Some(vec![2, 3]), None));
    }
}
