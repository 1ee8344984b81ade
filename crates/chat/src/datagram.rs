//! Sockets that keep the bounds of what they carry: datagrams, which are sent and
//! received with addresses, and records.

use std::io::{self, IoSlice, IoSliceMut, Read};
use std::net::{Shutdown, UdpSocket};
#[cfg(unix)]
use std::os::unix::net::UnixDatagram;

use reactor::{Opening, Registration, Source, Token};
use socket2::{Domain, SockRef, Socket, Type};

use crate::address::Address;
use crate::endpoint::Endpoint;
use crate::inet_name::InetName;
use crate::network::{self, DatagramSocket, first_that_works};
use crate::opening::new_socket;
#[cfg(unix)]
use crate::unix_bind::UnixBind;
use crate::wire::{Wire, retry};

/// No datagram of UDP is as long.
const MORE_THAN_UDP: usize = 65_536;

/// A socket that keeps bounds. Those with addresses are the standard library's type
/// for their family: it receives addresses into safe buffers.
#[derive(Debug)]
pub(crate) enum Datagram {
    Inet(Source<UdpSocket>, Spare),
    #[cfg(unix)]
    Unix(Source<UnixDatagram>, Spare),
    /// `SOCK_SEQPACKET`, or another family.
    Other(Source<Socket>),
    /// In a network of the map's own.
    Foreign(Box<dyn DatagramSocket>),
}

impl Datagram {
    pub(crate) fn new(socket: Socket, kind: Type) -> Self {
        match socket.local_addr() {
            Ok(address) if kind == Type::DGRAM && address.as_socket().is_some() => {
                Self::Inet(Source::new(socket.into()), Spare::default())
            }
            #[cfg(unix)]
            Ok(address) if kind == Type::DGRAM && address.is_unix() => {
                Self::Unix(Source::new(socket.into()), Spare::default())
            }
            _ => Self::Other(Source::new(socket)),
        }
    }

    pub(crate) fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(socket) = self.socket() else {
            return self.recv_from(buffer).map(|(len, _)| len);
        };
        let room = buffer.len();
        let mut beyond = [0];
        let mut slices = [IoSliceMut::new(buffer), IoSliceMut::new(&mut beyond)];
        match (&*socket).read_vectored(&mut slices)? {
            len if len > room => Err(does_not_fit("what was received", room)),
            len => Ok(len),
        }
    }

    pub(crate) fn send_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let socket = self.socket().ok_or(io::ErrorKind::NotConnected)?;
        socket.send_vectored(slices)
    }

    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let socket = self.socket().ok_or(io::ErrorKind::NotConnected)?;
        socket.shutdown(how)
    }

    pub(crate) fn registration(&self) -> Option<&Registration> {
        match self {
            Self::Inet(socket, _) => Some(socket.registration()),
            #[cfg(unix)]
            Self::Unix(socket, _) => Some(socket.registration()),
            Self::Other(socket) => Some(socket.registration()),
            Self::Foreign(_) => None,
        }
    }

    pub(crate) fn socket(&self) -> Option<SockRef<'_>> {
        match self {
            Self::Inet(socket, _) => Some(SockRef::from(&**socket)),
            #[cfg(unix)]
            Self::Unix(socket, _) => Some(SockRef::from(&**socket)),
            Self::Other(socket) => Some(SockRef::from(&**socket)),
            Self::Foreign(_) => None,
        }
    }

    pub(crate) fn local_addr(&self) -> Option<Address> {
        match self {
            Self::Foreign(socket) => socket.local_addr(),
            _ => Some(self.socket()?.local_addr().ok()?.into()),
        }
    }

    pub(crate) fn wants_token(&self) -> bool {
        matches!(self, Self::Foreign(_))
    }

    pub(crate) fn enter(&mut self, me: Token) {
        if let Self::Foreign(socket) = self {
            socket.enter(me);
        }
    }

    pub(crate) fn has_input(&self) -> bool {
        matches!(self, Self::Foreign(socket) if socket.has_input())
    }

    fn recv_from(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Address)> {
        match self {
            Self::Inet(socket, _) if buffer.len() >= MORE_THAN_UDP => {
                socket.recv_from(buffer).map(with_address)
            }
            Self::Inet(socket, spare) => {
                spare.receive(buffer, |spare| socket.recv_from(spare).map(with_address))
            }
            #[cfg(unix)]
            Self::Unix(socket, spare) => {
                spare.receive(buffer, |spare| socket.recv_from(spare).map(with_address))
            }
            Self::Other(_) => Err(no_datagrams()),
            Self::Foreign(socket) => match socket.recv_from(buffer)? {
                (len, from) if len > buffer.len() => Err(too_long(&from, buffer.len())),
                received => Ok(received),
            },
        }
    }

    fn send_to(&mut self, data: &[u8], to: &Address) -> io::Result<usize> {
        match (self, to) {
            (Self::Inet(socket, _), Address::Inet(to)) => socket.send_to(data, to),
            #[cfg(unix)]
            (Self::Unix(socket, _), Address::Unix(Some(name))) => {
                SockRef::from(&**socket).send_to(data, &name.sock_addr()?)
            }
            (Self::Other(_), _) => Err(no_datagrams()),
            (Self::Foreign(socket), to) => socket.send_to(data, to),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{to} is no address to send to from this socket"),
            )),
        }
    }
}

/// Room for one byte more than the caller has: `recvfrom(2)` says nothing when it cuts
/// a datagram.
#[derive(Debug, Default)]
pub(crate) struct Spare(Vec<u8>);

impl Spare {
    fn receive(
        &mut self,
        buffer: &mut [u8],
        receive: impl FnOnce(&mut [u8]) -> io::Result<(usize, Address)>,
    ) -> io::Result<(usize, Address)> {
        let room = buffer.len();
        if self.0.len() <= room {
            self.0.resize(room + 1, 0);
        }
        let (len, from) = receive(&mut self.0[..=room])?;
        let fits = len.min(room);
        buffer[..fits].copy_from_slice(&self.0[..fits]);
        match len > room {
            true => Err(too_long(&from, room)),
            false => Ok((len, from)),
        }
    }
}

fn with_address<A: Into<Address>>((len, from): (usize, A)) -> (usize, Address) {
    (len, from.into())
}

impl Endpoint {
    /// On the first address that works.
    pub(crate) fn bind(&mut self, name: &InetName, opening: &mut Opening<'_>) -> io::Result<()> {
        self.wire = first_that_works(name, opening, |address, opening| {
            if let Some(network) = network::of(opening) {
                return network.bind(&address.into()).map(Wire::foreign);
            }
            let socket = new_socket(Domain::for_address(address), Type::DGRAM)?;
            socket.bind(&address.into())?;
            Ok(Wire::new(socket, Type::DGRAM))
        })?;
        Ok(())
    }

    #[cfg(unix)]
    pub(crate) fn bind_unix(
        &mut self,
        bind: &UnixBind,
        opening: &mut Opening<'_>,
    ) -> io::Result<()> {
        if let Some(network) = network::of(opening) {
            self.wire = Wire::foreign(network.bind(&bind.address())?);
            return Ok(());
        }
        let socket = new_socket(Domain::UNIX, Type::DGRAM)?;
        let path = bind.bind(&socket)?;
        self.wire = Wire::new(socket, Type::DGRAM);
        self.has_bound(path);
        Ok(())
    }
}

/// # Datagrams
impl Endpoint {
    /// Receives a datagram and its sender's address, as `recvfrom(2)`. A Unix socket
    /// without a name has the address `Address::Unix(None)`, and cannot be answered.
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use std::net::UdpSocket;
    /// use chat::{Dispatcher, DispatcherHandler};
    ///
    /// struct Receiver;
    /// impl DispatcherHandler for Receiver {}
    ///
    /// let ours = UdpSocket::bind("127.0.0.1:0")?;
    /// let theirs = UdpSocket::bind("127.0.0.1:0")?;
    /// theirs.send_to(b"hello", ours.local_addr()?)?;
    /// theirs.send_to(b"hello", ours.local_addr()?)?;
    ///
    /// let mut endpoint = Dispatcher::new(ours, Receiver).endpoint;
    /// let mut buffer = [0; 5];
    /// assert_eq!(endpoint.recv_from(&mut buffer)?, (5, theirs.local_addr()?.into()));
    /// let too_long = endpoint.recv_from(&mut buffer[..4]).unwrap_err();
    /// assert_eq!(too_long.kind(), ErrorKind::InvalidData);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - `WouldBlock` if there is none now, or enough was received in this turn
    ///   ([`Limits::received_per_turn`](crate::Limits::received_per_turn)).
    /// - `InvalidData` if the datagram is longer than `buffer`. The error's text names the
    ///   sender, `buffer` has the beginning, and the rest is lost. 65,536 bytes are room
    ///   for any UDP datagram.
    /// - `InvalidInput` if this is no datagram socket, of UDP or of Unix. `NotConnected` if
    ///   it is not in a map yet.
    ///
    /// No error of a datagram socket closes the channel, even if the callback returns it,
    /// since the next datagram may be another peer's.
    pub fn recv_from(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Address)> {
        let received = match &mut self.wire {
            Wire::Datagram(_) if self.left_of_turn == 0 => Err(io::ErrorKind::WouldBlock.into()),
            Wire::Datagram(socket) => retry(|| socket.recv_from(buffer)),
            wire if wire.keeps_bounds() => Err(io::ErrorKind::NotConnected.into()),
            _ => return Err(no_datagrams()),
        };
        if let Ok((len, _)) = received {
            self.received += len as u64;
            self.spend_turn(len);
            self.note_activity();
        }
        self.told(received, Self::end_input)
    }

    /// Sends a datagram to `to`, as `sendto(2)`.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is no room now. `InvalidInput` if this is no datagram socket,
    /// or if `to` is of another family or has no name. Otherwise those of `sendto(2)`,
    /// which do not close the channel.
    pub fn send_to(&mut self, data: &[u8], to: &Address) -> io::Result<usize> {
        let sent = match &mut self.wire {
            Wire::Datagram(socket) => retry(|| socket.send_to(data, to)),
            wire if wire.keeps_bounds() => Err(io::ErrorKind::NotConnected.into()),
            _ => return Err(no_datagrams()),
        };
        self.told_of_sending(sent)
    }
}

fn too_long(from: &Address, room: usize) -> io::Error {
    does_not_fit(format_args!("a datagram from {from}"), room)
}

fn does_not_fit(what: impl std::fmt::Display, room: usize) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{what} does not fit into {room} bytes"),
    )
}

fn no_datagrams() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a datagram socket")
}
