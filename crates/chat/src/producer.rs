//! Sources of output: [`Producer`], and a kit of them.

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

/// What a [`Producer`] says of itself after it was asked for data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// There is more; ask again when this is sent. Without any data it keeps the
    /// loop awake: a producer that waits says `Later`.
    Again,
    /// There is nothing for now. The producer stays at the head of the queue
    /// and is asked again when its channel is called or touched
    /// ([`ChannelMap::touch`](reactor::ChannelMap::touch)). No time limit runs
    /// meanwhile, unless the peer has ended its input: then
    /// [`Limits::stall`](crate::Limits::stall) does.
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
/// | to send | take |
/// |---|---|
/// | data that is there already | [`SimpleProducer`], or just `push_bytes` |
/// | the items of an iterator | [`IterProducer`] |
/// | what a reader reads, so many bytes of it, a range of a file | [`ReadProducer`] |
/// | what another producer makes, in HTTP's chunks | [`ChunkedProducer`] |
/// | what another producer makes, and then call a function | [`HookedProducer`] |
///
/// ```
/// use std::io;
/// use bytes::BufMut;
/// use chat::{More, Producer};
///
/// /// The numbers from one to three, a line each.
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
    /// Appends data to `out`, preferably not more than `max` bytes
    /// ([`Limits::out_buffer_size`](crate::Limits::out_buffer_size)).
    ///
    /// # Errors
    ///
    /// An error closes the channel with
    /// [`CloseReason::Io`](reactor::CloseReason::Io): what was promised to the
    /// peer cannot be sent.
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
