//! The socket side of a channel: [`Endpoint`].

use std::fmt;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr, ToSocketAddrs};
use std::path::Path;

use bytes::{Bytes, BytesMut};
use reactor::{CloseReason, Registration, Token};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use crate::address::Address;
use crate::connecting::{no_address, tcp_socket};
use crate::datagram::Datagram;
use crate::transport::{Transport, Wire};

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
    pub(crate) rare: Option<Box<Rare>>,
    /// The socket took less than it was offered; until it is writable again,
    /// sending is in vain.
    pub(crate) is_blocked: bool,
    /// What the last call failed with: a callback may pass it on.
    pub(crate) told: Option<io::ErrorKind>,
    /// `accept` has returned a connection since this was last reset.
    pub(crate) has_accepted: bool,
    /// To be closed, for this reason.
    pub(crate) closing: Option<CloseReason>,
}

/// What few endpoints have: a word in every channel.
#[derive(Default)]
pub(crate) struct Rare {
    /// Addresses to connect to if the present one fails, the next one last.
    pub(crate) others: Vec<SocketAddr>,
    /// What was pushed and is to be sent.
    pub(crate) queue: BytesMut,
    /// Sending that failed: ends the channel after the input that is left.
    pub(crate) output_error: Option<io::Error>,
    /// To be closed when the queue is sent, for this reason.
    pub(crate) finishing: Option<CloseReason>,
    /// To be shut for writing when the queue is sent.
    pub(crate) is_to_be_shut: bool,
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
        } else if !is_connection_oriented(socket.r#type()?) {
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

    pub(crate) fn with_state(socket: Socket, state: State) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let is_datagram = state == State::Open && socket.r#type()? == Type::DGRAM;
        let wire = match is_datagram {
            true => Datagram::new(socket).map_or_else(Wire::plain, Wire::Datagram),
            false => Wire::plain(socket),
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
            rare: None,
            is_blocked: false,
            told: None,
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
    /// came about. Any other error closes the channel with [`CloseReason::Io`]
    /// after the callback, but for datagrams: the next one may be another's. In
    /// all these cases it does no harm to return it from the callback.
    pub fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.unread.is_empty() {
            let held = self.unread.split_to(buffer.len().min(self.unread.len()));
            buffer[..held.len()].copy_from_slice(&held);
            return Ok(held.len());
        }
        let received = self.wire.recv(buffer);
        if received.is_ok() && !self.wire.waits_for_room() {
            self.is_blocked = false; // it may have waited for this
        }
        if matches!(received, Ok(0)) && !buffer.is_empty() && self.state == State::Connected {
            self.is_eof = true;
        }
        self.note(received)
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
        if self.queued() > 0 {
            return self.note(Err(io::ErrorKind::WouldBlock.into())); // what was pushed goes first
        }
        let sent = self.wire.send_vectored(slices);
        self.note(sent)
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
    /// is delivered; the half for writing is shut when what was
    /// [pushed](Self::push) is sent.
    ///
    /// # Errors
    ///
    /// What `shutdown(2)` says: `ENOTCONN` if the peer has reset the connection.
    pub fn shutdown(&mut self, how: Shutdown) -> io::Result<()> {
        if self.queued() > 0 && how != Shutdown::Read {
            self.rare().is_to_be_shut = true;
            return match how {
                Shutdown::Both => self.shutdown(Shutdown::Read),
                _ => Ok(()),
            };
        }
        match (&mut self.wire, how) {
            (Wire::Plain(socket), how) => socket.shutdown(how),
            (Wire::Datagram(socket), how) => socket.socket().shutdown(how),
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

    /// Closes the channel when what was [pushed](Self::push) is sent, at once if
    /// there is nothing. No input is delivered meanwhile. A peer that takes
    /// nothing for 120 s, the default of [`Limits::stall`](crate::Limits::stall),
    /// is not waited for any longer.
    ///
    /// It does not linger as [`Chat::close_when_done`](crate::Chat::close_when_done)
    /// does: a peer that goes on sending may be reset, and lose the end.
    pub fn close_when_done(&mut self) {
        self.close_when_done_with(CloseReason::Done);
    }

    /// Like [`close_when_done`](Self::close_when_done), for a reason of the
    /// caller's. The first reason stands.
    pub fn close_when_done_with(&mut self, reason: CloseReason) {
        match self.has_output() {
            true => {
                self.rare().finishing.get_or_insert(reason);
            }
            false => self.close_with(reason),
        }
    }

    /// The channel's token; [`Token::NONE`] before the loop has come to it.
    #[must_use]
    pub fn token(&self) -> Token {
        self.me
    }

    /// Whether a stream is connected: the documents' `connected`.
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
    #[inline]
    pub fn connecting(&self) -> bool {
        self.state == State::Connecting
    }

    /// Whether the channel is about to be closed: the documents' `closing`.
    #[must_use]
    pub fn closing(&self) -> bool {
        self.closing.is_some() || self.is_finishing()
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

    #[inline]
    pub(crate) fn registration(&self) -> Option<&Registration> {
        self.wire.registration()
    }

    /// Whether there is input that no event will tell of.
    #[inline]
    pub(crate) fn has_unread(&self) -> bool {
        !self.unread.is_empty() || self.wire.has_input()
    }

    pub(crate) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// An error that ends the connection ends the channel.
    pub(crate) fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        self.told = result.as_ref().err().map(io::Error::kind);
        if let Err(error) = &result {
            let is_fatal = error.kind() != io::ErrorKind::WouldBlock;
            if is_fatal && self.state == State::Connected {
                self.close_with(CloseReason::Io(copy(error)));
            }
        }
        result
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

/// A peer that had to be cut off is worth a warning.
pub(crate) fn log_close(me: Token, reason: &CloseReason) {
    match reason {
        CloseReason::OverLimit | CloseReason::SlowReader | CloseReason::TimedOut => {
            log::warn!("channel {me}: closed: {reason}");
        }
        _ => log::debug!("channel {me}: closed: {reason}"),
    }
}

/// `io::Error` is not `Clone`; what the operating system said survives.
pub(crate) fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => error.kind().into(),
    }
}

/// Such a socket has an end of its input.
pub(crate) fn is_connection_oriented(kind: Type) -> bool {
    #[cfg(unix)]
    if kind == Type::SEQPACKET {
        return true;
    }
    kind == Type::STREAM
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
