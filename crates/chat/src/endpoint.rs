//! The socket side of a channel: [`Endpoint`].

use std::fmt;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr, ToSocketAddrs};
use std::path::Path;

use bytes::Bytes;
use reactor::{CloseReason, Registration, Source, Token};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use crate::address::Address;
use crate::transport::{Transport, Wire, retry};

/// How many connections may wait to be accepted (`listen(2)`'s backlog).
const BACKLOG: i32 = 1_024;

/// The socket of a channel, and where its connection stands: the documents'
/// `dispatcher` without its events.
///
/// A handler gets it with every callback. Whatever goes wrong is seen by the
/// channel as well: after the callback, an endpoint that was closed, or whose
/// socket failed, goes to `handle_close` with the reason.
pub struct Endpoint {
    pub(crate) wire: Wire,
    pub(crate) me: Token,
    pub(crate) state: State,
    /// Input that was received and not handed out yet.
    pub(crate) unread: Bytes,
    /// The peer will send nothing more.
    pub(crate) is_eof: bool,
    /// `handle_eof` was called.
    pub(crate) is_eof_told: bool,
    /// Addresses to connect to if this one fails, the next one last.
    #[expect(clippy::box_collection, reason = "a word in every channel, not three")]
    others: Option<Box<Vec<SocketAddr>>>,
    /// `accept` has returned a connection since this was last reset.
    pub(crate) has_accepted: bool,
    /// To be closed, for this reason.
    pub(crate) closing: Option<CloseReason>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// No stream of bytes: datagrams, which have no end.
    Open,
    Connecting,
    Connected,
    Accepting,
}

impl Endpoint {
    /// A socket as it is: listening, connected or neither.
    ///
    /// A stream that is not connected may be connecting, or may have been reset
    /// while it waited to be accepted. Both will be writable, and tell then.
    pub(crate) fn new(socket: Socket) -> io::Result<Self> {
        let state = if is_listener(&socket)? {
            State::Accepting
        } else if socket.r#type()? != Type::STREAM {
            State::Open
        } else if socket.peer_addr().is_ok() {
            State::Connected
        } else {
            State::Connecting
        };
        Self::with_state(socket, state)
    }

    /// A socket that is known to be connected.
    pub(crate) fn connected_socket(socket: Socket) -> io::Result<Self> {
        Self::with_state(socket, State::Connected)
    }

    pub(crate) fn over(transport: Box<dyn Transport>) -> Self {
        Self::with_wire(Wire::Other(transport), State::Connected)
    }

    /// Like the standard library's listener: on the first address that works.
    pub(crate) fn listen(addresses: impl ToSocketAddrs) -> io::Result<Self> {
        let mut last = no_address();
        for address in addresses.to_socket_addrs()? {
            match Self::listen_on(address) {
                Ok(endpoint) => return Ok(endpoint),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn listen_on(address: SocketAddr) -> io::Result<Self> {
        let socket = tcp_socket(address)?; // what is accepted inherits its options
        // asyncore's set_reuse_addr: a restarted server gets its port back.
        // On Windows the option means something else.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Self::with_state(socket, State::Accepting)
    }

    #[cfg(unix)]
    pub(crate) fn listen_unix(path: &Path) -> io::Result<Self> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        socket.listen(BACKLOG)?;
        Self::with_state(socket, State::Accepting)
    }

    pub(crate) fn connect(addresses: impl ToSocketAddrs) -> io::Result<Self> {
        let mut addresses: Vec<SocketAddr> = addresses.to_socket_addrs()?.collect();
        addresses.reverse(); // the first is taken first, from the end
        Self::begin_next(addresses, no_address())
    }

    /// Begins to connect to the last of `addresses`, or to the one before if
    /// that fails at once, and so on; `error` is for there being none.
    fn begin_next(mut addresses: Vec<SocketAddr>, mut error: io::Error) -> io::Result<Self> {
        while let Some(address) = addresses.pop() {
            let begun =
                tcp_socket(address).and_then(|socket| Self::begin_connect(socket, &address.into()));
            match begun {
                Ok(mut endpoint) if endpoint.closing.is_none() || addresses.is_empty() => {
                    endpoint.others = (!addresses.is_empty()).then(|| Box::new(addresses));
                    return Ok(endpoint);
                }
                Ok(_) => {}
                Err(next) => error = next,
            }
        }
        Err(error)
    }

    #[cfg(unix)]
    pub(crate) fn connect_unix(path: &Path) -> io::Result<Self> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        Self::begin_connect(socket, &SockAddr::unix(path)?)
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

    fn with_state(socket: Socket, state: State) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let is_udp = state == State::Open
            && socket.r#type()? == Type::DGRAM
            && socket.local_addr()?.as_socket().is_some();
        let wire = match is_udp {
            true => Wire::Udp(Source::new(socket.into())),
            false => Wire::Plain(Source::new(socket)),
        };
        Ok(Self::with_wire(wire, state))
    }

    fn with_wire(wire: Wire, state: State) -> Self {
        Self {
            wire,
            me: Token::NONE,
            state,
            unread: Bytes::new(),
            is_eof: false,
            is_eof_told: false,
            others: None,
            has_accepted: false,
            closing: None,
        }
    }

    /// Receives into `buffer`, as `recv(2)`. 0 is the end of the stream: the
    /// handler's `handle_eof` comes next, and no more input.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is nothing to receive now, however the callback
    /// came about; it does no harm to return it from the callback. Any other
    /// error closes the channel with [`CloseReason::Io`] after the callback.
    pub fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.unread.is_empty() {
            let held = self.unread.split_to(buffer.len().min(self.unread.len()));
            buffer[..held.len()].copy_from_slice(&held);
            return Ok(held.len());
        }
        let received = self.wire.recv(buffer);
        match &received {
            Ok(0) if !buffer.is_empty() && self.state == State::Connected => self.is_eof = true,
            Ok(_) => {}
            Err(error) => self.note(error),
        }
        received
    }

    /// Sends from the front of `data`, as `send(2)`; returns how much was sent.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is no room now, otherwise as
    /// [`recv`](Self::recv).
    pub fn send(&mut self, data: &[u8]) -> io::Result<usize> {
        self.send_vectored(&[IoSlice::new(data)])
    }

    /// Sends from the front of several pieces of data, in order.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let sent = self.wire.send_vectored(slices);
        if let Err(error) = &sent {
            self.note(error);
        }
        sent
    }

    /// Receives a datagram of UDP, and who sent it, as `recvfrom(2)`. What does
    /// not fit into `buffer` is lost.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is none now; `InvalidInput` if this is no UDP
    /// socket. No error closes the channel: the next datagram may be another's.
    pub fn recv_from(&mut self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match &self.wire {
            Wire::Udp(socket) => retry(|| socket.recv_from(buffer)),
            _ => Err(no_datagrams()),
        }
    }

    /// Sends a datagram of UDP to `to`, as `sendto(2)`.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    pub fn send_to(&mut self, data: &[u8], to: SocketAddr) -> io::Result<usize> {
        match &self.wire {
            Wire::Udp(socket) => retry(|| socket.send_to(data, to)),
            _ => Err(no_datagrams()),
        }
    }

    /// Accepts one connection; `None` if none is waiting. The socket is
    /// non-blocking. Connections that were reset while they waited are passed
    /// over.
    ///
    /// # Errors
    ///
    /// What `accept(2)` says, `EMFILE` for example. The listener stays, and
    /// pauses for a quarter of a second after an error.
    pub fn accept(&mut self) -> io::Result<Option<(Socket, Address)>> {
        let Some(socket) = self.wire.socket() else {
            return Ok(None);
        };
        loop {
            match accept_nonblocking(&socket) {
                Ok((peer, address)) => {
                    self.has_accepted = true;
                    return Ok(Some((peer, address.into())));
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(None),
                    io::ErrorKind::Interrupted
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::ConnectionReset => {}
                    _ => return Err(error),
                },
            }
        }
    }

    /// Ends one half of the connection, as `shutdown(2)`. What was sent before
    /// is delivered.
    ///
    /// # Errors
    ///
    /// What `shutdown(2)` says: `ENOTCONN` if the peer has reset the connection.
    pub fn shutdown(&mut self, how: Shutdown) -> io::Result<()> {
        match (&mut self.wire, how) {
            (Wire::Plain(socket), how) => socket.shutdown(how),
            (wire, Shutdown::Write | Shutdown::Both) => wire.shutdown(),
            (_, Shutdown::Read) => Ok(()),
        }
    }

    /// Closes the channel. [`handle_close`](crate::DispatcherHandler::handle_close)
    /// follows when the present callback has returned. To close another channel,
    /// use [`ChannelMap::close`](reactor::ChannelMap::close), which hides it at
    /// once; closed by its endpoint, it is found until it is next settled.
    pub fn close(&mut self) {
        self.close_with(CloseReason::Requested);
    }

    /// Like [`close`](Self::close), for a reason of the caller's. The first
    /// reason stands.
    pub fn close_with(&mut self, reason: CloseReason) {
        self.closing.get_or_insert(reason);
    }

    /// The channel's token; [`Token::NONE`] before it is in a map.
    #[must_use]
    pub fn token(&self) -> Token {
        self.me
    }

    /// Whether the socket is connected: the documents' `connected`.
    #[must_use]
    pub fn connected(&self) -> bool {
        self.state == State::Connected
    }

    /// Whether the socket listens: the documents' `accepting`.
    #[must_use]
    pub fn accepting(&self) -> bool {
        self.state == State::Accepting
    }

    /// Whether a connection is under way: the documents' `connecting`.
    #[must_use]
    pub fn connecting(&self) -> bool {
        self.state == State::Connecting
    }

    /// Whether the channel is about to be closed: the documents' `closing`.
    #[must_use]
    pub fn closing(&self) -> bool {
        self.closing.is_some()
    }

    /// The documents' `addr`: the peer's address if there is a peer, otherwise
    /// the socket's own. Asks the operating system.
    #[must_use]
    pub fn addr(&self) -> Option<Address> {
        self.peer_addr().or_else(|| self.local_addr())
    }

    /// The peer's address (`getpeername(2)`); `None` if there is no peer (any
    /// more).
    #[must_use]
    pub fn peer_addr(&self) -> Option<Address> {
        Some(self.wire.socket()?.peer_addr().ok()?.into())
    }

    /// The socket's own address (`getsockname(2)`): for a listener on port 0,
    /// where it listens.
    #[must_use]
    pub fn local_addr(&self) -> Option<Address> {
        Some(self.wire.socket()?.local_addr().ok()?.into())
    }

    /// The socket, for its options; `None` over a [`Transport`] of another
    /// kind.
    #[must_use]
    pub fn socket(&self) -> Option<SockRef<'_>> {
        self.wire.socket()
    }

    pub(crate) fn registration(&self) -> Option<&Registration> {
        self.wire.registration()
    }

    /// Whether there is input that no event will tell of.
    pub(crate) fn has_unread(&self) -> bool {
        !self.unread.is_empty() || self.wire.has_input()
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
        match result {
            Ok(()) => {
                self.state = State::Connected;
                self.others = None;
                Ok(())
            }
            Err(error) => self.try_next(error),
        }
    }

    /// Goes on with the next address; `error` is why the one before failed.
    fn try_next(&mut self, error: io::Error) -> io::Result<()> {
        let others = self.others.take().map_or_else(Vec::new, |others| *others);
        let next = Self::begin_next(others, error)?;
        if let Some(CloseReason::Io(error)) = next.closing {
            return Err(error);
        }
        self.wire = next.wire;
        self.others = next.others;
        Ok(())
    }

    /// An error that ends the connection ends the channel.
    fn note(&mut self, error: &io::Error) {
        let is_fatal = self.state == State::Connected && error.kind() != io::ErrorKind::WouldBlock;
        if is_fatal {
            self.close_with(CloseReason::Io(copy(error)));
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.addr().map(|address| address.to_string());
        f.debug_struct("Endpoint")
            .field("state", &self.state)
            .field(
                "addr",
                &format_args!("{}", address.as_deref().unwrap_or("-")),
            )
            .finish()
    }
}

fn no_datagrams() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a UDP socket")
}

fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the name has no address")
}

/// A chat channel sends once a turn, so that Nagle's algorithm could only delay.
fn tcp_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket)
}

/// `io::Error` is not `Clone`; what the operating system said survives.
pub(crate) fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => error.kind().into(),
    }
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

#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_listener(socket: &Socket) -> io::Result<bool> {
    socket.is_listener()
}

/// Where `SO_ACCEPTCONN` cannot be read, a listener must be made by `listen`.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_listener(_: &Socket) -> io::Result<bool> {
    Ok(false)
}

/// One system call instead of three.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn accept_nonblocking(socket: &Socket) -> io::Result<(Socket, SockAddr)> {
    // accept4(2) takes socket(2)'s flags; socket2 has them on its types only.
    let flags = i32::from(Type::STREAM.nonblocking().cloexec()) & !i32::from(Type::STREAM);
    socket.accept4(flags)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn accept_nonblocking(socket: &Socket) -> io::Result<(Socket, SockAddr)> {
    let (peer, address) = socket.accept()?;
    peer.set_nonblocking(true)?;
    Ok((peer, address))
}
