//! How a connection comes about: one address after another, without blocking.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use reactor::CloseReason;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::endpoint::{Endpoint, is_connection_oriented};
use crate::life::Stage;
#[cfg(unix)]
use crate::unix_name::UnixName;
use crate::wire::{Wire, retry};

impl Endpoint {
    /// Begins to connect the caller's own `socket` to `address`. It serves cases that
    /// [`Dispatcher::connect`](crate::Dispatcher::connect) does not cover, such as a
    /// chosen local port.
    ///
    /// Make the channel by `from_endpoint`: its handler then gets `handle_connect` or
    /// `handle_close`. A datagram socket is connected at once. A TCP socket that is bound
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
    /// let endpoint = Endpoint::connect_from(socket, server.local_addr()?)?;
    /// map.insert(Dispatcher::from_endpoint(endpoint, Client(from)))?;
    /// map.run()?;
    /// # Ok::<(), chat::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The operating system's, if it does not make the socket non-blocking, or if
    /// `connect(2)` fails on a datagram socket. Any other failure of `connect(2)` goes to
    /// `handle_close`.
    pub fn connect_from(
        socket: impl Into<Socket>,
        address: impl Into<SockAddr>,
    ) -> io::Result<Self> {
        let (socket, address) = (socket.into(), address.into());
        let kind = socket.r#type()?;
        if is_connection_oriented(kind) {
            return Self::begin_connect(socket, kind, &address);
        }
        socket.connect(&address)?;
        Self::new(socket)
    }

    pub(crate) fn connect(addresses: impl ToSocketAddrs) -> io::Result<Self> {
        let mut addresses: Vec<SocketAddr> = addresses.to_socket_addrs()?.collect();
        addresses.reverse(); // the first is taken first, from the end
        let (socket, begun) = begin_next(&mut addresses, no_address())?;
        let mut endpoint = Self::connecting_by(socket, Type::STREAM, begun)?;
        if let Some(others) = endpoint.life.others() {
            *others = addresses;
        }
        Ok(endpoint)
    }

    #[cfg(unix)]
    pub(crate) fn connect_unix(name: &UnixName) -> io::Result<Self> {
        let address = name.sock_addr()?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        Self::begin_connect(socket, Type::STREAM, &address)
    }

    /// A connection under way has come to something. If it failed, the next
    /// address is tried; if that was the last one, the channel is closed.
    pub(crate) fn finish_connect(&mut self) {
        let outcome = self.wire.socket().map_or(Ok(()), |socket| {
            match socket.take_error()? {
                Some(error) => Err(error),
                // Connected and reset at once: the error is gone, and so is the
                // peer.
                None => refuse_self(&socket.peer_addr()?, &socket),
            }
        });
        let failure = match (outcome, self.life.others()) {
            (Ok(()), _) => return self.has_connected(),
            (Err(error), Some(others)) => begin_next(others, error),
            (Err(error), None) => Err(error),
        };
        match failure {
            Ok((socket, Ok(()))) => self.wire = Wire::new(socket, Type::STREAM),
            Ok((_, Err(error))) | Err(error) => self.close_with(CloseReason::Io(error)),
        }
    }

    /// Begins to connect. A failure is the channel's, not the caller's: it is
    /// reported as one that the network takes its time for.
    fn begin_connect(socket: Socket, kind: Type, address: &SockAddr) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let begun = begin(&socket, address);
        Self::connecting_by(socket, kind, begun)
    }

    fn connecting_by(socket: Socket, kind: Type, begun: io::Result<()>) -> io::Result<Self> {
        let mut endpoint = Self::on(socket, kind, Stage::Connecting(Box::default()))?;
        if let Err(error) = begun {
            endpoint.close_with(CloseReason::Io(error));
        }
        Ok(endpoint)
    }
}

/// Begins to connect to the last of `addresses`, or to the one before if that
/// fails at once, and so on; `error` is for there being none. Returns the socket,
/// and how its connect began.
fn begin_next(
    addresses: &mut Vec<SocketAddr>,
    mut error: io::Error,
) -> io::Result<(Socket, io::Result<()>)> {
    while let Some(address) = addresses.pop() {
        let socket = tcp_socket(address).and_then(|socket| {
            socket.set_nonblocking(true)?;
            Ok(socket)
        });
        match socket {
            Ok(socket) => {
                let begun = begin(&socket, &address.into());
                if begun.is_ok() || addresses.is_empty() {
                    return Ok((socket, begun));
                }
            }
            Err(next) => error = next,
        }
    }
    Err(error)
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
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_keepalive(true)?;
    Ok(socket)
}

pub(crate) fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the name has no address")
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
