//! What may carry the bytes in place of a socket: [`Transport`].

use std::fmt;
use std::io::{self, IoSlice};

use reactor::Registration;
use socket2::SockRef;

/// A stream of bytes in place of a plain socket: TLS over one, or the
/// simulated network of a test.
///
/// Everything is non-blocking: `WouldBlock` says "not now". A transport
/// without a [`registration`](Self::registration) gets its events by
/// [`ChannelMap::dispatch`](reactor::ChannelMap::dispatch).
///
/// ```
/// use std::io::{self, IoSlice};
/// use chat::{Registration, Transport};
///
/// /// A peer that says one thing and listens to nothing.
/// #[derive(Debug)]
/// struct Script(&'static [u8]);
///
/// impl Transport for Script {
///     fn registration(&self) -> Option<&Registration> {
///         None
///     }
///     fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
///         io::Read::read(&mut self.0, buffer)
///     }
///     fn send_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
///         Ok(slices.iter().map(|slice| slice.len()).sum())
///     }
///     fn shutdown(&mut self) -> io::Result<()> {
///         Ok(())
///     }
/// }
///
/// let mut buffer = [0; 8];
/// assert_eq!(Script(b"hi").recv(&mut buffer)?, 2);
/// # Ok::<(), io::Error>(())
/// ```
pub trait Transport: fmt::Debug {
    /// The registration of the socket underneath, if there is one.
    fn registration(&self) -> Option<&Registration>;

    /// Receives into `buffer`, as `recv(2)`; 0 is the end of the stream.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is nothing now. Any other error but `Interrupted`
    /// ends the input, and the channel when what is queued, here
    /// ([`queued`](Self::queued)) and on the channel, has been sent.
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Sends from the front of `slices`, as `sendmsg(2)`. What it returns it has
    /// taken: sent, or [kept](Self::queued) to send it later.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if it takes nothing now; any other error but `Interrupted`
    /// ends the channel, after the input that is left. A handshake that has failed
    /// is such an error: with `WouldBlock` the channel would wait for
    /// [`Limits::stall`](crate::Limits::stall).
    fn send_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Says that nothing more will be sent, as `shutdown(SHUT_WR)`. Called when
    /// all is sent by a channel that closes when done, or is
    /// [shut down](crate::Endpoint::shutdown), whether or not the peer has
    /// closed its end. What there is to say it may [keep](Self::queued): that is
    /// sent before the channel waits for the peer to close, too.
    ///
    /// # Errors
    ///
    /// The peer cannot be told, or is gone: a channel that closes when done
    /// does not wait for it.
    fn shutdown(&mut self) -> io::Result<()>;

    /// Whether there is input that the poller does not know of: plaintext that
    /// was decrypted with an earlier record. The default is `false`.
    fn has_input(&self) -> bool {
        false
    }

    /// What a send that said `WouldBlock` waits for: room in the socket, which
    /// is the default, or (`false`) input, as a handshake does. Then it is tried
    /// again after the next [`recv`](Self::recv), whatever that returned.
    fn waits_for_room(&self) -> bool {
        true
    }

    /// How many bytes the transport itself has yet to send: what it has taken
    /// and keeps, and words of its own, such as a handshake's. While there are
    /// any, [`send_vectored`](Self::send_vectored) is called when there is room,
    /// with no slices if nothing is queued on the channel. They are part of
    /// [`Endpoint::queued`](crate::Endpoint::queued). The default is 0.
    fn queued(&self) -> usize {
        0
    }

    /// How many bytes the transport has handed to the operating system so far,
    /// in its own coding: whether the peer takes anything. It is what
    /// [`Limits::stall`](crate::Limits::stall) goes by. `None`, the default, is
    /// for a transport that keeps nothing.
    fn sent(&self) -> Option<u64> {
        None
    }

    /// The socket underneath, for addresses and options. The default is `None`.
    fn socket(&self) -> Option<SockRef<'_>> {
        None
    }
}
