//! HTTP's chunked transfer coding.

use std::io::{self, Write};

use super::{More, Producer};

/// Produces another producer's output in HTTP's chunks, for a body of unknown length
/// (RFC 9112, section 7.1). When the other is done, the last chunk follows, without a
/// trailer.
///
/// ```
/// use chat::{ChunkedProducer, IterProducer, More, Producer};
///
/// let mut producer = ChunkedProducer::new(IterProducer::new(["Hello, ", "world"]));
/// let mut out = Vec::new();
/// assert_eq!(producer.more(&mut out, 65_536)?, More::Done);
/// assert_eq!(&out[..], b"c\r\nHello, world\r\n0\r\n\r\n");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[doc(alias = "chunked_producer")]
pub struct ChunkedProducer<P> {
    producer: P,
}

impl<P: Producer> ChunkedProducer<P> {
    /// Produces the output of `producer`. Each of its answers becomes a chunk.
    pub fn new(producer: P) -> Self {
        Self { producer }
    }
}

impl<P: Producer> Producer for ChunkedProducer<P> {
    fn more(&mut self, out: &mut Vec<u8>, max: usize) -> io::Result<More> {
        let mut data = Vec::new();
        let more = self.producer.more(&mut data, max)?;
        // A chunk without data would be the last one.
        if !data.is_empty() {
            write!(out, "{:x}\r\n", data.len())?;
            out.extend_from_slice(&data);
            out.extend_from_slice(b"\r\n");
        }
        if more == More::Done {
            out.extend_from_slice(b"0\r\n\r\n");
        }
        Ok(more)
    }
}
