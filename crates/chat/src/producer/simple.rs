//! Data that is there already.

use std::io;

use bytes::Bytes;

use super::{More, Producer};

/// Produces a piece of data, `max` bytes at a time: asynchat's `simple_producer`.
///
/// ```
/// use chat::{More, Producer, SimpleProducer};
///
/// let mut producer = SimpleProducer::new("abcde");
/// let mut out = Vec::new();
/// assert_eq!(producer.more(&mut out, 3)?, More::Again);
/// assert_eq!(producer.more(&mut out, 3)?, More::Done);
/// assert_eq!(&out[..], b"abcde");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[doc(alias = "simple_producer")]
pub struct SimpleProducer {
    data: Bytes,
}

impl SimpleProducer {
    /// Produces `data`, which is shared, and copied only when it is sent.
    pub fn new(data: impl Into<Bytes>) -> Self {
        Self { data: data.into() }
    }
}

impl Producer for SimpleProducer {
    fn more(&mut self, out: &mut Vec<u8>, max: usize) -> io::Result<More> {
        let part = self.data.split_to(self.data.len().min(max));
        out.extend_from_slice(&part);
        Ok(if self.data.is_empty() {
            More::Done
        } else {
            More::Again
        })
    }
}
