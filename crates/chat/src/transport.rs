//! What carries the bytes: a socket, or something in its place.

use std::fmt;
use std::io::{self, IoSlice, Read};
use std::mem::MaybeUninit;
use std::net::Shutdown;

use reactor::{Registration, Source};
use socket2::{SockRef, Socket};

use crate::datagram::Datagram;

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
    /// `WouldBlock` if there is nothing now; any other error but `Interrupted`
    /// ends the channel.
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Sends from the front of `slices`, as `sendmsg(2)`.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is no room now; any other error but `Interrupted`
    /// ends the channel, after the input that is left.
    fn send_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Says that nothing more will be sent, as `shutdown(SHUT_WR)`. A chat
    /// channel that closes when done then waits for the peer to close, too.
    ///
    /// # Errors
    ///
    /// The peer cannot be told, or is gone: the channel closes without waiting.
    fn shutdown(&mut self) -> io::Result<()>;

    /// Whether there is input that the poller does not know of: plaintext that
    /// was decrypted with an earlier record. The default is `false`.
    fn has_input(&self) -> bool {
        false
    }

    /// What a send that said `WouldBlock` waits for: room in the socket, which
    /// is the default, or (`false`) input, as a handshake does. Then it is not
    /// tried again before something was received.
    fn waits_for_room(&self) -> bool {
        true
    }

    /// The socket underneath, for addresses and options. The default is `None`.
    fn socket(&self) -> Option<SockRef<'_>> {
        None
    }

    /// Whether the transport itself has something to send, with nothing queued
    /// on the channel: a handshake. [`send_vectored`](Self::send_vectored) is
    /// called with no slices then. The default is `false`.
    fn has_output(&self) -> bool {
        false
    }
}

#[derive(Debug)]
pub(crate) enum Wire {
    Plain(Source<Socket>),
    Datagram(Datagram),
    Other(Box<dyn Transport>),
}

impl Wire {
    pub(crate) fn plain(socket: Socket) -> Self {
        Self::Plain(Source::new(socket))
    }

    #[inline]
    pub(crate) fn registration(&self) -> Option<&Registration> {
        match self {
            Self::Plain(socket) => Some(socket.registration()),
            Self::Datagram(socket) => Some(socket.registration()),
            Self::Other(transport) => transport.registration(),
        }
    }

    #[inline(always)]
    pub(crate) fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => retry(|| (&**socket).read(buffer)),
            Self::Datagram(socket) => retry(|| socket.recv(buffer)),
            // Whatever a transport says, it is not more than there is room for.
            Self::Other(transport) => {
                retry(|| transport.recv(buffer)).map(|len| len.min(buffer.len()))
            }
        }
    }

    #[inline(always)]
    pub(crate) fn send(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => retry(|| socket.send(data)),
            _ => self.send_vectored(&[IoSlice::new(data)]),
        }
    }

    pub(crate) fn send_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => retry(|| socket.send_vectored(slices)),
            Self::Datagram(socket) => retry(|| socket.socket().send_vectored(slices)),
            // Whatever a transport says, it is not more than it was given.
            Self::Other(transport) => {
                let len = slices.iter().map(|slice| slice.len()).sum();
                retry(|| transport.send_vectored(slices)).map(|sent| sent.min(len))
            }
        }
    }

    /// Reads the out-of-band byte and drops it, so that it is reported no more.
    /// Returns whether there was one.
    pub(crate) fn discard_out_of_band(&self) -> bool {
        let Self::Plain(socket) = self else {
            return false;
        };
        let mut byte = [MaybeUninit::uninit()];
        retry(|| socket.recv_out_of_band(&mut byte)).is_ok_and(|len| len > 0)
    }

    pub(crate) fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.shutdown(Shutdown::Write),
            Self::Datagram(_) => Ok(()),
            Self::Other(transport) => transport.shutdown(),
        }
    }

    pub(crate) fn socket(&self) -> Option<SockRef<'_>> {
        match self {
            Self::Plain(socket) => Some(SockRef::from(&**socket)),
            Self::Datagram(socket) => Some(socket.socket()),
            Self::Other(transport) => transport.socket(),
        }
    }

    #[inline]
    pub(crate) fn waits_for_room(&self) -> bool {
        match self {
            Self::Plain(_) | Self::Datagram(_) => true,
            Self::Other(transport) => transport.waits_for_room(),
        }
    }

    #[inline]
    pub(crate) fn has_input(&self) -> bool {
        match self {
            Self::Plain(_) | Self::Datagram(_) => false,
            Self::Other(transport) => transport.has_input(),
        }
    }

    #[inline]
    pub(crate) fn has_output(&self) -> bool {
        match self {
            Self::Plain(_) | Self::Datagram(_) => false,
            Self::Other(transport) => transport.has_output(),
        }
    }
}

/// Calls again what a signal interrupted.
#[inline]
pub(crate) fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
