//! A connection without a channel: [`Stream`].

use std::fmt;
use std::io;

use socket2::{SockRef, Socket, Type};

use crate::endpoint::Endpoint;
use crate::ledger::Place;
use crate::life::Stage;
use crate::transport::Transport;
use crate::wire::Wire;

/// A connection that has no channel yet. A listener hands one over for each that it
/// accepts; [`AsyncChat::new`](crate::AsyncChat::new) and
/// [`Dispatcher::new`](crate::Dispatcher::new) make a channel of it.
///
/// It can go to the map of another thread. Dropping it closes the connection.
///
/// ```
/// use std::os::unix::net::UnixStream;
/// use chat::{AsyncChat, ChannelMap, Stream};
///
/// let (ours, theirs) = UnixStream::pair()?;
/// let stream = Stream::from(ours);
/// let thread = std::thread::spawn(move || {
///     let mut map = ChannelMap::new()?;
///     map.insert(AsyncChat::new(stream, "\n", ()))?;
///     map.run() // until the peer closes
/// });
/// drop(theirs);
/// thread.join().unwrap()?;
/// # Ok::<(), chat::Error>(())
/// ```
pub struct Stream {
    kind: Kind,
    /// Counts the connection among those of its address.
    pub(crate) place: Option<Place>,
}

enum Kind {
    /// A socket, and whether it is a stream, connected and non-blocking: nothing is to be
    /// asked, and no system call made.
    Socket(Socket, bool),
    Transport(Box<dyn Transport + Send>),
}

impl Stream {
    /// A socket that our own listener has accepted: non-blocking, and of the listener's
    /// type.
    pub(crate) fn accepted(socket: Socket, kind: Type) -> Self {
        Self::new(Kind::Socket(socket, kind == Type::STREAM))
    }

    /// A connection over a [`Transport`] in place of a socket: what the listener of a
    /// [`Network`](crate::Network) hands over.
    pub fn over(transport: impl Transport + Send + 'static) -> Self {
        Self::new(Kind::Transport(Box::new(transport)))
    }

    fn new(kind: Kind) -> Self {
        Self { kind, place: None }
    }

    /// The socket, for its options; `None` over a transport without one.
    pub fn socket(&self) -> Option<SockRef<'_>> {
        match &self.kind {
            Kind::Socket(socket, _) => Some(SockRef::from(socket)),
            Kind::Transport(transport) => transport.socket(),
        }
    }

    /// Takes the socket: non-blocking, if a listener accepted it. It does not count toward
    /// [`Admission::connections_per_address`](crate::Admission::connections_per_address) any more.
    ///
    /// # Errors
    ///
    /// `Unsupported` over a transport.
    pub fn into_socket(self) -> io::Result<Socket> {
        match self.kind {
            Kind::Socket(socket, _) => Ok(socket),
            Kind::Transport(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// The wire alone, without a channel.
    pub(crate) fn into_wire(self) -> io::Result<Wire> {
        match self.kind {
            Kind::Socket(socket, true) => Ok(Wire::new(socket, Type::STREAM)),
            Kind::Socket(socket, false) => {
                socket.set_nonblocking(true)?;
                let kind = socket.r#type()?;
                Ok(Wire::new(socket, kind))
            }
            Kind::Transport(transport) => Ok(Wire::Other(transport)),
        }
    }
}

/// A connected socket. It becomes non-blocking when a channel is made of it.
impl<S: Into<Socket>> From<S> for Stream {
    fn from(socket: S) -> Self {
        Self::new(Kind::Socket(socket.into(), false))
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Socket(socket, _) => f.debug_tuple("Stream").field(socket).finish(),
            Kind::Transport(transport) => f.debug_tuple("Stream").field(transport).finish(),
        }
    }
}

impl From<Stream> for Endpoint {
    fn from(stream: Stream) -> Self {
        let mut endpoint = match stream.kind {
            Kind::Socket(socket, true) => {
                Self::with_wire(Wire::new(socket, Type::STREAM), Stage::Live)
            }
            Kind::Socket(socket, false) => socket.into(),
            Kind::Transport(transport) => Self::over_boxed(transport),
        };
        endpoint.place = stream.place;
        endpoint
    }
}
