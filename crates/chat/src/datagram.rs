//! Sockets that keep the bounds of what they carry: datagrams, which are sent and
//! received with addresses, and records.

use std::io::{self, IoSliceMut, Read};
use std::net::UdpSocket;
#[cfg(unix)]
use std::os::unix::net::UnixDatagram;

use reactor::{Opening, Registration, Source};
use socket2::{Domain, SockRef, Socket, Type};

use crate::address::Address;
use crate::endpoint::Endpoint;
use crate::inet_name::InetName;
use crate::life::Stage;
use crate::network::{self, first_that_works};
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

    pub(crate) fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len();
        let mut beyond = [0];
        let mut slices = [IoSliceMut::new(buffer), IoSliceMut::new(&mut beyond)];
        match (&*self.socket()).read_vectored(&mut slices)? {
            len if len > room => Err(does_not_fit("what was received", room)),
            len => Ok(len),
        }
    }

    pub(crate) fn registration(&self) -> &Registration {
        match self {
            Self::Inet(socket, _) => socket.registration(),
            #[cfg(unix)]
            Self::Unix(socket, _) => socket.registration(),
            Self::Other(socket) => socket.registration(),
        }
    }

    pub(crate) fn socket(&self) -> SockRef<'_> {
        match self {
            Self::Inet(socket, _) => SockRef::from(&**socket),
            #[cfg(unix)]
            Self::Unix(socket, _) => SockRef::from(&**socket),
            Self::Other(socket) => SockRef::from(&**socket),
        }
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
        }
    }

    fn send_to(&self, data: &[u8], to: &Address) -> io::Result<usize> {
        match (self, to) {
            (Self::Inet(socket, _), Address::Inet(to)) => socket.send_to(data, to),
            #[cfg(unix)]
            (Self::Unix(socket, _), Address::Unix(Some(name))) => {
                SockRef::from(&**socket).send_to(data, &name.sock_addr()?)
            }
            (Self::Other(_), _) => Err(no_datagrams()),
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
            true => Err(does_not_fit(format_args!("a datagram from {from}"), room)),
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
                return network.bind(&address.into()).map(Wire::Other);
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
            self.wire = Wire::Other(network.bind(&bind.address())?);
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
    /// - `WouldBlock` if there is none now.
    /// - `InvalidData` if the datagram is longer than `buffer`. The error's text names the
    ///   sender, `buffer` has the beginning, and the rest is lost. 65,536 bytes are room
    ///   for any UDP datagram.
    /// - `InvalidInput` if this is no datagram socket, of UDP or of Unix.
    ///
    /// No error of a datagram socket closes the channel, even if the callback returns it,
    /// since the next datagram may be another peer's.
    pub fn recv_from(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Address)> {
        let received = match (&mut self.wire, self.life.stage()) {
            (Wire::Datagram(socket), _) => retry(|| socket.recv_from(buffer)),
            (Wire::Other(transport), Stage::Datagrams(_)) => retry(|| transport.recv_from(buffer)),
            _ => return Err(no_datagrams()),
        };
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
        let sent = match (&mut self.wire, self.life.stage()) {
            (Wire::Datagram(socket), _) => retry(|| socket.send_to(data, to)),
            (Wire::Other(transport), Stage::Datagrams(_)) => retry(|| transport.send_to(data, to)),
            _ => return Err(no_datagrams()),
        };
        self.told_of_sending(sent)
    }
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
