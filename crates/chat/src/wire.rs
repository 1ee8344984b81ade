//! What a channel is on: a stream socket, one that keeps bounds, or a transport; or none
//! yet.

use std::io::{self, IoSlice, Read};
use std::mem::MaybeUninit;
use std::net::Shutdown;

use reactor::{Registration, Source, Token};
use socket2::{SockRef, Socket, Type};

use crate::address::Address;
use crate::datagram::Datagram;
use crate::listening::accept_nonblocking;
use crate::network::{DatagramSocket, Listener};
use crate::opening::Target;
use crate::output::MAX_SLICES;
use crate::stream::Stream;
use crate::transport::Transport;

#[derive(Debug)]
pub(crate) enum Wire {
    Plain(Source<Socket>),
    /// In a box: streams are small, and many.
    Datagram(Box<Datagram>),
    Other(Box<dyn Transport>),
    Listener(Box<dyn Listener>),
    /// The channel is to enter a map first. `None`: its connection could not even begin.
    Unopened(Option<Box<Target>>),
}

impl Wire {
    pub(crate) fn new(socket: Socket, kind: Type) -> Self {
        match kind {
            Type::STREAM => Self::Plain(Source::new(socket)),
            _ => Self::Datagram(Box::new(Datagram::new(socket, kind))),
        }
    }

    pub(crate) fn foreign(socket: Box<dyn DatagramSocket>) -> Self {
        Self::Datagram(Box::new(Datagram::Foreign(socket)))
    }

    pub(crate) fn registration(&self) -> Option<&Registration> {
        match self {
            Self::Plain(socket) => Some(socket.registration()),
            Self::Datagram(socket) => socket.registration(),
            Self::Other(transport) => transport.registration(),
            Self::Listener(_) | Self::Unopened(_) => None,
        }
    }

    #[inline]
    pub(crate) fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => retry(|| (&**socket).read(buffer)),
            _ => self.recv_other(buffer),
        }
    }

    #[cold]
    /// The rare kinds: the usual read is the shorter without them.
    #[inline(never)]
    fn recv_other(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => (&**socket).read(buffer),
            Self::Datagram(socket) => retry(|| socket.recv(buffer)),
            // Whatever a transport says, it is not more than there is room for.
            Self::Other(transport) => {
                retry(|| transport.recv(buffer)).map(|len| len.min(buffer.len()))
            }
            Self::Listener(_) | Self::Unopened(_) => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    #[inline]
    pub(crate) fn send(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => retry(|| socket.send(data)),
            _ => self.send_vectored(&[IoSlice::new(data)]),
        }
    }

    pub(crate) fn send_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => retry(|| socket.send_vectored(slices)),
            Self::Datagram(socket) => retry(|| socket.send_vectored(slices)),
            // Whatever a transport says, it is not more than it was given.
            Self::Other(transport) => {
                let len = slices.iter().map(|slice| slice.len()).sum();
                retry(|| transport.send_vectored(slices)).map(|sent| sent.min(len))
            }
            Self::Listener(_) | Self::Unopened(_) => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// The same, but at most `max` bytes, if there is a limit. 0 is none for now.
    pub(crate) fn send_within(
        &mut self,
        max: Option<usize>,
        slices: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        let Some(mut left) = max else {
            return self.send_vectored(slices);
        };
        if left == 0 && slices.iter().any(|slice| !slice.is_empty()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut cut = [IoSlice::new(&[]); MAX_SLICES];
        for (part, slice) in cut.iter_mut().zip(slices) {
            *part = IoSlice::new(&slice[..slice.len().min(left)]);
            left -= part.len();
        }
        self.send_vectored(&cut[..slices.len().min(MAX_SLICES)])
    }

    /// Accepts a connection, whose socket is non-blocking.
    pub(crate) fn accept(&mut self) -> io::Result<(Stream, Address)> {
        let kind = match self {
            Self::Plain(_) => Type::STREAM,
            Self::Datagram(_) => Type::SEQPACKET,
            Self::Listener(listener) => return listener.accept(),
            Self::Other(_) | Self::Unopened(_) => return Err(io::ErrorKind::WouldBlock.into()),
        };
        let socket = self.socket().ok_or(io::ErrorKind::WouldBlock)?;
        let (socket, address) = accept_nonblocking(&socket)?;
        Ok((Stream::accepted(socket, kind), address.into()))
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

    pub(crate) fn shutdown(&mut self, how: Shutdown) -> io::Result<()> {
        match (self, how) {
            (Self::Plain(socket), how) => socket.shutdown(how),
            (Self::Datagram(socket), how) => socket.shutdown(how),
            (Self::Other(transport), Shutdown::Write | Shutdown::Both) => transport.shutdown(),
            (Self::Other(_), Shutdown::Read) => Ok(()),
            (Self::Listener(_) | Self::Unopened(_), _) => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    pub(crate) fn socket(&self) -> Option<SockRef<'_>> {
        match self {
            Self::Plain(socket) => Some(SockRef::from(&**socket)),
            Self::Datagram(socket) => socket.socket(),
            Self::Other(transport) => transport.socket(),
            Self::Listener(_) => None,
            Self::Unopened(target) => target.as_ref()?.socket(),
        }
    }

    pub(crate) fn local_addr(&self) -> Option<Address> {
        match self {
            Self::Other(transport) => transport.local_addr(),
            Self::Listener(listener) => listener.local_addr(),
            Self::Datagram(socket) => socket.local_addr(),
            _ => Some(self.socket()?.local_addr().ok()?.into()),
        }
    }

    pub(crate) fn peer_addr(&self) -> Option<Address> {
        match self {
            Self::Other(transport) => transport.peer_addr(),
            _ => Some(self.socket()?.peer_addr().ok()?.into()),
        }
    }

    /// Whether there is a network in between: nobody types there.
    pub(crate) fn is_network(&self) -> bool {
        self.transport().is_none_or(Transport::is_network)
    }

    /// Whether a transport's handshake is under way.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.transport().is_some_and(Transport::is_handshaking)
    }

    /// Whether it is to know in which channel it is.
    pub(crate) fn wants_token(&self) -> bool {
        match self {
            Self::Other(_) | Self::Listener(_) => true,
            Self::Datagram(socket) => socket.wants_token(),
            Self::Plain(_) | Self::Unopened(_) => false,
        }
    }

    /// Tells what is no socket of the system's in which channel it is.
    pub(crate) fn enter(&mut self, me: Token) {
        match self {
            Self::Other(transport) => transport.enter(me),
            Self::Listener(listener) => listener.enter(me),
            Self::Datagram(socket) => socket.enter(me),
            Self::Plain(_) | Self::Unopened(_) => {}
        }
    }

    /// Whether there is input that no poller knows of.
    pub(crate) fn has_input(&self) -> bool {
        match self {
            Self::Other(transport) => transport.has_input(),
            Self::Listener(listener) => listener.has_input(),
            Self::Datagram(socket) => socket.has_input(),
            Self::Plain(_) | Self::Unopened(_) => false,
        }
    }

    /// The bytes that it keeps, to be sent.
    pub(crate) fn queued(&self) -> usize {
        self.transport().map_or(0, Transport::queued)
    }

    /// Whether it keeps the bounds of what it carries, or will.
    pub(crate) fn keeps_bounds(&self) -> bool {
        match self {
            Self::Datagram(_) => true,
            Self::Unopened(Some(target)) => target.keeps_bounds(),
            _ => false,
        }
    }

    /// The transport, if it is one: those have a say of their own.
    pub(crate) fn transport(&self) -> Option<&dyn Transport> {
        match self {
            Self::Other(transport) => Some(&**transport),
            _ => None,
        }
    }

    /// The transport, to change it.
    pub(crate) fn transport_mut(&mut self) -> Option<&mut dyn Transport> {
        match self {
            Self::Other(transport) => Some(&mut **transport),
            _ => None,
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
