//! A stream of bytes in place of a socket: [`Transport`].

use std::any::Any;
use std::fmt;
use std::io::{self, IoSlice};

use reactor::{Registration, Token};
use socket2::SockRef;

use crate::address::Address;

/// A stream of bytes in place of a plain socket: TLS over one, or a connection in the
/// simulated network of a test.
///
/// No method blocks: `WouldBlock` says "not now". A channel whose transport has no
/// [`registration`](Self::registration) gets its events by
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
#[expect(unused_variables, reason = "the defaults name what they ignore")]
pub trait Transport: Any + fmt::Debug {
    /// Called when the channel enters a map, or another one, before any other call, and again
    /// when a layer comes over the transport: a transport whose events come by
    /// [`ChannelMap::dispatch`](reactor::ChannelMap::dispatch) learns the channel's token.
    /// The default does nothing.
    fn enter(&mut self, me: Token) {}

    /// The registration of the socket underneath, if there is one.
    fn registration(&self) -> Option<&Registration>;

    /// Receives into `buffer`, as `recv(2)`. 0 is the end of the stream.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is nothing now. `Interrupted` is tried again at once;
    /// `ENOMEM` and `ENOBUFS` after 250 ms. Any other error ends the input: the channel
    /// sends its queued output, with what the transport [keeps](Self::queued), and
    /// closes.
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Sends from the front of `slices`, as `sendmsg(2)`. Returns how many bytes the
    /// transport has taken: those it sent, and those it [keeps](Self::queued) to send
    /// later.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if it takes nothing now. `Interrupted`, `ENOMEM` and `ENOBUFS` are
    /// tried again, as by [`recv`](Self::recv). Any other error ends the output: the
    /// channel delivers the input that is left, and closes.
    ///
    /// A failed handshake must return such an error. After `WouldBlock` the channel
    /// would wait, as long as [`Limits::stall`](crate::Limits::stall) when it closes.
    fn send_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Tells the peer that nothing more will be sent, as `shutdown(SHUT_WR)`.
    ///
    /// Called when all is sent, if the channel closes when done or was
    /// [shut down](crate::Endpoint::shutdown), even if the peer has closed its end. The
    /// transport may [keep](Self::queued) its last words: they are sent before the
    /// channel waits for the peer to close.
    ///
    /// # Errors
    ///
    /// Any, if the peer is gone or cannot be told. A channel that closes when done then
    /// does not wait for the peer, and its `handle_finished` is not called. `Unsupported`
    /// says that the close alone tells the peer: then it is called. A channel that is shut
    /// for sending calls this again when it is next settled.
    fn shutdown(&mut self) -> io::Result<()>;

    /// Whether there is input that the poller does not know of, such as plaintext that
    /// was decrypted with an earlier record. The default is `false`.
    fn has_input(&self) -> bool {
        false
    }

    /// Whether a send that returned `WouldBlock` waits for room in the socket. The
    /// default is `true`. `false` says that it waits for input, as a handshake does: it
    /// is tried again after the next [`recv`](Self::recv), whatever that returned.
    fn waits_for_room(&self) -> bool {
        true
    }

    /// The number of bytes that the transport has yet to send: those it has taken and
    /// keeps, and its own, such as a handshake's. The default is 0.
    ///
    /// While there are any, [`send_vectored`](Self::send_vectored) is called when there
    /// is room, without slices if the channel has nothing queued.
    /// [`Endpoint::queued`](crate::Endpoint::queued) counts them.
    fn queued(&self) -> usize {
        0
    }

    /// The number of bytes, as encoded, that the transport has handed to the operating
    /// system so far. [`Limits::stall`](crate::Limits::stall) goes by it to see whether
    /// the peer takes anything. `None`, the default, is for a transport that keeps
    /// nothing.
    fn sent(&self) -> Option<u64> {
        None
    }

    /// Whether there is a network in between. A terminal or a pipe has none: somebody may
    /// type there, and a message has all the time. The default is `true`.
    fn is_network(&self) -> bool {
        true
    }

    /// Whether a handshake is under way, which both sides must finish within
    /// [`Limits::handshake`](crate::Limits::handshake). Until then a receive and a send return
    /// `WouldBlock`. The default is `false`.
    fn is_handshaking(&self) -> bool {
        false
    }

    /// The socket underneath, for addresses and options. The default is `None`.
    fn socket(&self) -> Option<SockRef<'_>> {
        None
    }

    /// The transport's own address, as `getsockname(2)`. The default asks the
    /// [socket](Self::socket).
    fn local_addr(&self) -> Option<Address> {
        Some(self.socket()?.local_addr().ok()?.into())
    }

    /// The peer's address, as `getpeername(2)`. The default asks the
    /// [socket](Self::socket).
    fn peer_addr(&self) -> Option<Address> {
        Some(self.socket()?.peer_addr().ok()?.into())
    }

    /// Finishes the connection that [`Network::connect`](crate::Network::connect) has begun.
    /// Called when the channel has entered the map, and for each of its events, until it
    /// returns something else than `WouldBlock`. The channel wants write events if the
    /// transport [waits for room](Self::waits_for_room), otherwise read events. The default
    /// says that the connection is made.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if the connection is still under way. `Interrupted` is tried again at
    /// once. Any other error says that it has
    /// failed: the name's next address is tried.
    fn finish_connect(&mut self) -> io::Result<()> {
        Ok(())
    }
}
