//! Sources of output: [`Producer`], and ready-made ones.

use std::fmt;
use std::io;

pub use chunked::ChunkedProducer;
pub use hooked::HookedProducer;
pub use iter::IterProducer;
pub use read::ReadProducer;
pub use simple::SimpleProducer;

mod chunked;
mod hooked;
mod iter;
mod read;
mod simple;

/// The state of a [`Producer`] after it was asked for data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// There is more. The producer is asked again when this data is sent. `Again`
    /// without any data keeps the loop from sleeping; a producer that waits answers
    /// `Later`.
    Again,
    /// There is no data for now. The producer stays at the head of the queue, and is
    /// asked again when its channel is called or
    /// [touched](reactor::ChannelMap::touch).
    ///
    /// No time limit runs meanwhile, unless the peer has ended its input or a callback
    /// has failed: then [`Limits::stall`](crate::Limits::stall) does.
    Later,
    /// That was all. The next item of the queue follows.
    Done,
}

/// A source that makes output when the channel has room for it: a file that is never
/// in memory as a whole, an encoder, another channel's input.
///
/// [`push_with_producer`](crate::Chat::push_with_producer) queues it. The channel asks
/// it for data when all output pushed before is sent, and drops it after
/// [`More::Done`] or at the channel's end.
///
/// | to send | use |
/// |---|---|
/// | data that is there already | [`SimpleProducer`], or just `push_bytes` |
/// | the items of an iterator | [`IterProducer`] |
/// | a reader's data, a number of its bytes, or a range of a file | [`ReadProducer`] |
/// | another producer's output, in HTTP's chunks | [`ChunkedProducer`] |
/// | another producer's output, then call a function | [`HookedProducer`] |
/// | what the handler itself keeps | [`push_with_handler`](crate::Chat::push_with_handler) |
///
/// ```
/// use std::io;
/// use bytes::BufMut;
/// use chat::{More, Producer};
///
/// /// The numbers down to one, a line each.
/// #[derive(Debug)]
/// struct Countdown(u32);
///
/// impl Producer for Countdown {
///     fn more(&mut self, out: &mut Vec<u8>, _max: usize) -> io::Result<More> {
///         out.put_slice(format!("{}\r\n", self.0).as_bytes());
///         self.0 -= 1;
///         Ok(if self.0 == 0 { More::Done } else { More::Again })
///     }
/// }
///
/// let mut out = Vec::new();
/// let mut producer = Countdown(2);
/// assert_eq!(producer.more(&mut out, 65_536)?, More::Again);
/// assert_eq!(producer.more(&mut out, 65_536)?, More::Done);
/// assert_eq!(&out[..], b"2\r\n1\r\n");
/// # Ok::<(), io::Error>(())
/// ```
pub trait Producer {
    /// Appends data to `out`: preferably `max` bytes at most, which is
    /// [`Limits::out_buffer_size`](crate::Limits::out_buffer_size).
    ///
    /// # Errors
    ///
    /// Any. It closes the channel with [`CloseReason::Io`](reactor::CloseReason::Io),
    /// since the promised output cannot be sent.
    fn more(&mut self, out: &mut Vec<u8>, max: usize) -> io::Result<More>;
}

impl<P: Producer + ?Sized> Producer for Box<P> {
    fn more(&mut self, out: &mut Vec<u8>, max: usize) -> io::Result<More> {
        (**self).more(out, max)
    }
}

impl fmt::Debug for dyn Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dyn Producer")
    }
}

#[cfg(test)]
mod tests;
