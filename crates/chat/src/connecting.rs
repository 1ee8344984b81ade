//! How a connection comes about: one address after another, without blocking.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
#[cfg(unix)]
use std::path::Path;

use reactor::CloseReason;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::endpoint::{Endpoint, State, is_connection_oriented};
use crate::transport::retry;

impl Endpoint {
    /// Begins to connect `socket`, made and bound by the caller, to `address`:
    /// for what [`Dispatcher::connect`](crate::Dispatcher::connect) does not
    /// cover, such as an own port to come from. The channel is made by
    /// `from_endpoint`; it hears of success and failure. A datagram socket is
    /// connected at once.
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
    /// If the socket cannot be made non-blocking, or it is a datagram socket and
    /// `connect(2)` fails: otherwise that is the channel's to hear.
    pub fn connect_from(
        socket: impl Into<Socket>,
        address: impl Into<SockAddr>,
    ) -> io::Result<Self> {
        let (socket, address) = (socket.into(), address.into());
        if is_connection_oriented(socket.r#type()?) {
            return Self::begin_connect(socket, &address);
        }
        socket.connect(&address)?;
        Self::new(socket)
    }

    pub(crate) fn connect(addresses: impl ToSocketAddrs) -> io::Result<Self> {
        let mut addresses: Vec<SocketAddr> = addresses.to_socket_addrs()?.collect();
        addresses.reverse(); // the first is taken first, from the end
        Self::begin_next(addresses, no_address())
    }

    #[cfg(unix)]
    pub(crate) fn connect_unix(path: &Path) -> io::Result<Self> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        Self::begin_connect(socket, &SockAddr::unix(path)?)
    }

    /// A connection under way has come to something. If it failed, the next
    /// address is tried, and the endpoint is still connecting.
    ///
    /// # Errors
    ///
    /// Why the last one failed.
    pub(crate) fn finish_connect(&mut self) -> io::Result<()> {
        let result = self.wire.socket().map_or(Ok(()), |socket| {
            match socket.take_error()? {
                Some(error) => Err(error),
                // Connected and reset at once: the error is gone, and so is the
                // peer.
                None => socket.peer_addr().map(|_| ()),
            }
        });
        let others = self.rare.as_mut().map(|rare| &mut rare.others);
        let others = others.map(std::mem::take).unwrap_or_default();
        match result {
            Ok(()) => {
                self.state = State::Connected;
                Ok(())
            }
            Err(error) => self.try_next(others, error),
        }
    }

    /// Goes on with the next address; `error` is why the one before failed.
    fn try_next(&mut self, others: Vec<SocketAddr>, error: io::Error) -> io::Result<()> {
        let next = Self::begin_next(others, error)?;
        if let Some(CloseReason::Io(error)) = next.closing {
            return Err(error);
        }
        self.wire = next.wire;
        if let Some(rare) = next.rare {
            self.rare().others = rare.others;
        }
        Ok(())
    }

    /// Begins to connect to the last of `addresses`, or to the one before if
    /// that fails at once, and so on; `error` is for there being none.
    fn begin_next(mut addresses: Vec<SocketAddr>, mut error: io::Error) -> io::Result<Self> {
        while let Some(address) = addresses.pop() {
            let begun =
                tcp_socket(address).and_then(|socket| Self::begin_connect(socket, &address.into()));
            match begun {
                Ok(mut endpoint) if endpoint.closing.is_none() || addresses.is_empty() => {
                    if !addresses.is_empty() {
                        endpoint.rare().others = addresses;
                    }
                    return Ok(endpoint);
                }
                Ok(_) => {}
                Err(next) => error = next,
            }
        }
        Err(error)
    }

    /// Begins to connect. A failure is the channel's, not the caller's: it is
    /// reported as one that the network takes its time for.
    fn begin_connect(socket: Socket, address: &SockAddr) -> io::Result<Self> {
        let mut endpoint = Self::with_state(socket, State::Connecting)?;
        if let Some(socket) = endpoint.wire.socket() {
            match retry(|| socket.connect(address)) {
                Err(error) if !is_in_progress(&error) => {
                    endpoint.closing = Some(CloseReason::Io(error));
                }
                _ => {}
            }
        }
        Ok(endpoint)
    }
}

/// A chat channel gathers what it sends, so that Nagle's algorithm could only
/// delay.
pub(crate) fn tcp_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_tcp_nodelay(true)?;
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
