//! Datagram sockets, which send and receive with addresses.

use std::io;
use std::net::UdpSocket;
#[cfg(unix)]
use std::os::unix::net::UnixDatagram;

use reactor::{Registration, Source};
use socket2::{SockRef, Socket};

use crate::address::Address;
use crate::endpoint::Endpoint;
use crate::wire::{Wire, retry};

/// A datagram socket, as the standard library's type for its family: those
/// receive addresses into safe buffers.
#[derive(Debug)]
pub(crate) enum Datagram {
    Inet(Source<UdpSocket>),
    #[cfg(unix)]
    Unix(Source<UnixDatagram>),
}

impl Datagram {
    /// # Errors
    ///
    /// Hands the socket back if it is of another family.
    pub(crate) fn new(socket: Socket) -> Result<Self, Socket> {
        match socket.local_addr() {
            Ok(address) if address.as_socket().is_some() => {
                Ok(Self::Inet(Source::new(socket.into())))
            }
            #[cfg(unix)]
            Ok(address) if address.is_unix() => Ok(Self::Unix(Source::new(socket.into()))),
            _ => Err(socket),
        }
    }

    pub(crate) fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Inet(socket) => socket.recv(buffer),
            #[cfg(unix)]
            Self::Unix(socket) => socket.recv(buffer),
        }
    }

    pub(crate) fn registration(&self) -> &Registration {
        match self {
            Self::Inet(socket) => socket.registration(),
            #[cfg(unix)]
            Self::Unix(socket) => socket.registration(),
        }
    }

    pub(crate) fn socket(&self) -> SockRef<'_> {
        match self {
            Self::Inet(socket) => SockRef::from(&**socket),
            #[cfg(unix)]
            Self::Unix(socket) => SockRef::from(&**socket),
        }
    }

    fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, Address)> {
        match self {
            Self::Inet(socket) => {
                let (len, from) = socket.recv_from(buffer)?;
                Ok((len, from.into()))
            }
            #[cfg(unix)]
            Self::Unix(socket) => {
                let (len, from) = socket.recv_from(buffer)?;
                let path = from.as_pathname().map(std::path::Path::to_path_buf);
                Ok((len, Address::Unix(path)))
            }
        }
    }

    fn send_to(&self, data: &[u8], to: &Address) -> io::Result<usize> {
        match (self, to) {
            (Self::Inet(socket), Address::Inet(to)) => socket.send_to(data, to),
            #[cfg(unix)]
            (Self::Unix(socket), Address::Unix(Some(path))) => socket.send_to(data, path),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{to} is no address to send to from this socket"),
            )),
        }
    }
}

/// # Datagrams
impl Endpoint {
    /// Receives a datagram, and who sent it, as `recvfrom(2)`. What does not fit
    /// into `buffer` is lost. A Unix socket without a path has no name to answer
    /// to: [`Address::Unix`] of `None`.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is none now; `InvalidInput` if this is no datagram
    /// socket, of UDP or of Unix. An error of the socket's does not close the
    /// channel, also if it is returned from the callback: the next datagram may
    /// be another's.
    pub fn recv_from(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Address)> {
        let received = match &self.wire {
            Wire::Datagram(socket) => retry(|| socket.recv_from(buffer)),
            _ => return Err(no_datagrams()),
        };
        self.note(received)
    }

    /// Sends a datagram to `to`, as `sendto(2)`.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from), and `InvalidInput` for an address of
    /// another family, or a Unix one without a path.
    pub fn send_to(&mut self, data: &[u8], to: &Address) -> io::Result<usize> {
        let sent = match &self.wire {
            Wire::Datagram(socket) => retry(|| socket.send_to(data, to)),
            _ => return Err(no_datagrams()),
        };
        self.note(sent)
    }
}

fn no_datagrams() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a datagram socket")
}
