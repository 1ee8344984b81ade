//! Sources of output: [`Producer`].

use std::fmt;
use std::io;

use bytes::{Bytes, BytesMut};

/// What a [`Producer`] says of itself after it was asked for data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// There is more; ask again when this is sent. Without any data it keeps the
    /// loop awake: a producer that waits says `Later`.
    Again,
    /// There is nothing for now. The producer stays at the head of the queue
    /// and is asked again when its channel is called or touched
    /// ([`ChannelMap::touch`](reactor::ChannelMap::touch)).
    Later,
    /// That was all: the next producer's turn.
    Done,
}

/// Something that makes output when the channel has room for it: a file that
/// is never in memory as a whole, an encoding, another channel's input.
///
/// Given to `push_with_producer`; it is asked when everything pushed before
/// was sent, and dropped after [`More::Done`] or with its channel.
///
/// ```
/// use std::io;
/// use bytes::{BufMut, BytesMut};
/// use chat::{More, Producer};
///
/// /// The numbers from one to three, a line each.
/// #[derive(Debug)]
/// struct Countdown(u32);
///
/// impl Producer for Countdown {
///     fn more(&mut self, out: &mut BytesMut, _max: usize) -> io::Result<More> {
///         out.put_slice(format!("{}\r\n", self.0).as_bytes());
///         self.0 -= 1;
///         Ok(if self.0 == 0 { More::Done } else { More::Again })
///     }
/// }
///
/// let mut out = BytesMut::new();
/// let mut producer = Countdown(2);
/// assert_eq!(producer.more(&mut out, 65_536)?, More::Again);
/// assert_eq!(producer.more(&mut out, 65_536)?, More::Done);
/// assert_eq!(&out[..], b"2\r\n1\r\n");
/// # Ok::<(), io::Error>(())
/// ```
pub trait Producer {
    /// Appends data to `out`, preferably not more than `max` bytes
    /// ([`Limits::out_buffer_size`](crate::Limits::out_buffer_size)).
    ///
    /// # Errors
    ///
    /// An error closes the channel with
    /// [`CloseReason::Io`](reactor::CloseReason::Io): what was promised to the
    /// peer cannot be sent.
    fn more(&mut self, out: &mut BytesMut, max: usize) -> io::Result<More>;
}

/// The documents' `simple_producer`: a piece of data, handed out by `max`
/// bytes at a time.
///
/// ```
/// use bytes::BytesMut;
/// use chat::{More, Producer, SimpleProducer};
///
/// let mut producer = SimpleProducer::new("abcde");
/// let mut out = BytesMut::new();
/// assert_eq!(producer.more(&mut out, 3)?, More::Again);
/// assert_eq!(producer.more(&mut out, 3)?, More::Done);
/// assert_eq!(&out[..], b"abcde");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct SimpleProducer {
    data: Bytes,
}

impl SimpleProducer {
    /// Produces `data`, which is shared and not copied until it is sent.
    pub fn new(data: impl Into<Bytes>) -> Self {
        Self { data: data.into() }
    }
}

impl Producer for SimpleProducer {
    fn more(&mut self, out: &mut BytesMut, max: usize) -> io::Result<More> {
        let part = self.data.split_to(self.data.len().min(max));
        out.extend_from_slice(&part);
        Ok(if self.data.is_empty() {
            More::Done
        } else {
            More::Again
        })
    }
}

impl fmt::Debug for dyn Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dyn Producer")
    }
}

#[cfg(test)]
mod tests;
