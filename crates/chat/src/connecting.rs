//! How a connection comes about: one address after another, without blocking.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::time::Duration;

use reactor::{CloseReason, Opening};
use socket2::{Domain, SockAddr, SockRef, Socket, TcpKeepalive, Type};

use crate::endpoint::{Endpoint, is_connection_oriented};
use crate::inet_name::InetName;
use crate::life::{Bound, Stage};
use crate::network;
use crate::opening::{Target, new_socket};
#[cfg(unix)]
use crate::unix_name::UnixName;
use crate::wire::{Wire, retry};

impl Endpoint {
    /// Begins to connect the caller's own `socket` to `address`. It serves cases that
    /// [`Dispatcher::connect`](crate::Dispatcher::connect) does not cover, such as a
    /// chosen local port.
    ///
    /// A channel made of it gets `handle_connect` or `handle_close`. `connect(2)` is called
    /// when it enters a map. A datagram socket is connected at once. A TCP socket that is bound
    /// to `address` itself is refused (`ConnectionRefused`), as by a port without a
    /// listener.
    ///
    /// ```
    /// use chat::{ChannelMap, Dispatcher, DispatcherHandler, Endpoint, Result, Socket};
    /// use chat::socket2::{Domain, Type};
    /// use std::net::{SocketAddr, TcpListener};
    ///
    /// struct Client(SocketAddr);
    ///
    /// impl DispatcherHandler for Client {
    ///     fn handle_connect(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
    ///         assert_eq!(endpoint.local_addr(), Some(self.0.into()));
    ///         endpoint.close();
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let server = TcpListener::bind("127.0.0.1:0")?;
    /// let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    /// socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    /// let from = socket.local_addr()?.as_socket().unwrap();
    ///
    /// let mut map = ChannelMap::new()?;
    /// let endpoint = Endpoint::connect_from(socket, server.local_addr()?);
    /// map.insert(Dispatcher::new(endpoint, Client(from)))?;
    /// map.run()?;
    /// # Ok::<(), chat::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// None here. If the operating system does not make the socket non-blocking, or if
    /// `connect(2)` fails on a datagram socket, the insertion of the channel fails. Any other
    /// failure of `connect(2)` goes to `handle_close`.
    pub fn connect_from(socket: impl Into<Socket>, address: impl Into<SockAddr>) -> Self {
        let socket = socket.into();
        let kind = match socket.r#type() {
            Ok(kind) => kind,
            Err(error) => return Self::refused(socket, error),
        };
        let stage = match is_connection_oriented(kind) {
            true => Stage::Connecting(Box::default()),
            false => Stage::Datagrams(Bound::default()),
        };
        let target = Target::ConnectFrom(Wire::new(socket, kind), address.into());
        Self::unopened(target, stage)
    }

    pub(crate) fn begin_connect(
        &mut self,
        name: &InetName,
        opening: &mut Opening<'_>,
    ) -> io::Result<()> {
        let addresses = network::resolve(opening, name)?;
        let begun = self.connect_to(addresses, opening);
        self.has_begun(begun)
    }

    #[cfg(unix)]
    pub(crate) fn connect_unix(
        &mut self,
        name: &UnixName,
        opening: &mut Opening<'_>,
    ) -> io::Result<()> {
        let begun = begin_unix(name, opening).map(|wire| self.wire = wire);
        self.has_begun(begun)
    }

    /// Connects the caller's socket.
    pub(crate) fn connect_on(&mut self, wire: &mut Wire, address: &SockAddr) -> io::Result<()> {
        let Some(socket) = wire.socket() else {
            return Ok(());
        };
        socket.set_nonblocking(true)?;
        let begun = begin(&socket, address);
        if !self.connecting() {
            begun?;
            mem::swap(&mut self.wire, wire);
            return Ok(());
        }
        mem::swap(&mut self.wire, wire);
        self.has_begun(begun.map_err(Failure::Connect))
    }

    /// A connection under way has come to something. If it failed, the next
    /// address is tried; if that was the last one, the channel is closed.
    pub(crate) fn finish_connect(&mut self, opening: &mut Opening<'_>) {
        if matches!(self.wire, Wire::Unopened(_)) {
            return; // it has not begun
        }
        match self.wire.finish_connect() {
            Ok(()) => self.go_on_connected(opening),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => self.connect_next(CloseReason::Io(error), opening),
        }
    }

    /// The wire is connected: now the layer over it connects, if there is to be one.
    pub(crate) fn go_on_connected(&mut self, opening: &mut Opening<'_>) {
        match self.put_awaited_layer() {
            Ok(true) => self.enter_wire(opening),
            Ok(false) => self.has_connected(),
            Err(error) => self.close_with(CloseReason::Io(error)),
        }
    }

    /// A failure of `connect(2)` is the channel's, not the insertion's: it is told as one
    /// that the network takes its time for.
    fn has_begun(&mut self, begun: Result<(), Failure>) -> io::Result<()> {
        match begun {
            Ok(()) => Ok(()),
            Err(Failure::Socket(error)) => Err(error),
            Err(Failure::Connect(error)) => {
                self.close_with(CloseReason::Io(error));
                Ok(())
            }
        }
    }
}

impl Wire {
    /// What has become of its connection.
    pub(crate) fn finish_connect(&mut self) -> io::Result<()> {
        match self {
            Self::Other(transport) => retry(|| transport.finish_connect()),
            wire => wire.socket().map_or(Ok(()), outcome),
        }
    }
}

/// Why a connection could not even begin.
pub(crate) enum Failure {
    /// There is no socket for it.
    Socket(io::Error),
    Connect(io::Error),
}

pub(crate) fn begin_inet(address: SocketAddr, opening: &mut Opening<'_>) -> Result<Wire, Failure> {
    if let Some(network) = network::of(opening) {
        let begun = network.connect(&address.into());
        return begun.map(Wire::Other).map_err(Failure::Connect);
    }
    let socket = tcp_socket(address).map_err(Failure::Socket)?;
    begin(&socket, &address.into()).map_err(Failure::Connect)?;
    Ok(Wire::new(socket, Type::STREAM))
}

#[cfg(unix)]
fn begin_unix(name: &UnixName, opening: &mut Opening<'_>) -> Result<Wire, Failure> {
    if let Some(network) = network::of(opening) {
        let begun = network.connect(&name.clone().into());
        return begun.map(Wire::Other).map_err(Failure::Connect);
    }
    let address = name.sock_addr().map_err(Failure::Socket)?;
    let socket = new_socket(Domain::UNIX, Type::STREAM).map_err(Failure::Socket)?;
    begin(&socket, &address).map_err(Failure::Connect)?;
    Ok(Wire::new(socket, Type::STREAM))
}

/// What has become of a socket's connection.
fn outcome(socket: SockRef<'_>) -> io::Result<()> {
    match socket.take_error()? {
        Some(error) => Err(error),
        // Connected and reset at once: the error is gone, and so is the peer.
        None => refuse_self(&socket.peer_addr()?, &socket),
    }
}

fn begin(socket: &Socket, address: &SockAddr) -> io::Result<()> {
    match retry(|| socket.connect(address)) {
        Err(error) if is_in_progress(&error) => Ok(()),
        // A Unix socket says EAGAIN, and connects neither now nor later.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock && address.is_unix() => {
            Err(io::Error::new(
                io::ErrorKind::WouldBlock,
                "too many connections wait to be accepted there; try again later",
            ))
        }
        begun => begun,
    }
}

/// A port that nobody listens on may be the very one that the system picks for the
/// client: TCP connects the socket to itself, and holds the port.
fn refuse_self(peer: &SockAddr, socket: &Socket) -> io::Result<()> {
    if peer.as_socket().is_some() && socket.local_addr()? == *peer {
        socket.set_linger(Some(Duration::ZERO))?; // the port is free at once
        return Err(io::Error::new(
            io::ErrorKind::ConnectionRefused,
            "nobody listens on that port: the socket has connected to itself",
        ));
    }
    Ok(())
}

/// A chat channel gathers its output, so that Nagle's algorithm could only
/// delay. A peer that is gone without a word, such as a machine that was switched off,
/// is found out by the system: nothing that a channel waits for would tell it.
pub(crate) fn tcp_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = new_socket(Domain::for_address(address), Type::STREAM)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&keepalive())?;
    Ok(socket)
}

/// A peer that is gone is found out after two minutes.
fn keepalive() -> TcpKeepalive {
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15));
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    let keepalive = keepalive.with_retries(4);
    keepalive
}

/// `connect(2)` of a non-blocking socket has begun. The standard library has no
/// stable name for `EINPROGRESS`.
fn is_in_progress(error: &io::Error) -> bool {
    const EINPROGRESS: i32 = if cfg!(any(target_os = "linux", target_os = "android")) {
        115
    } else if cfg!(any(target_os = "solaris", target_os = "illumos")) {
        150
    } else {
        36 // the BSDs and macOS
    };
    if cfg!(windows) {
        error.kind() == io::ErrorKind::WouldBlock
    } else {
        error.raw_os_error() == Some(EINPROGRESS)
    }
}
