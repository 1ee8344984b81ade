//! A network of the map's own, in place of the operating system's: [`Network`].

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use reactor::{Opening, Token};

use crate::address::Address;
use crate::inet_name::InetName;
use crate::stream::Stream;
use crate::transport::Transport;
use crate::wire::Wire;

/// The network that the channels of a map open their sockets in, in place of the operating
/// system's. [`ChatMap::set_network`](crate::ChatMap::set_network) gives it to a map.
///
/// A program's `fn serve(map: &mut ChannelMap)` does not know which it is. So a test can run
/// it, unchanged, in a network that it simulates. Sockets that a program brings along, such
/// as a `TcpStream`, stay the operating system's.
///
/// What it opens learns its channel's token by `enter`. Its events come by
/// [`ChannelMap::dispatch`](reactor::ChannelMap::dispatch). They are those of a
/// level-triggered poller: as long as there is something to accept or to receive,
/// `has_input` returns `true`, or the channel is dispatched as readable again.
pub trait Network: 'static {
    /// Resolves a host's name, as `getaddrinfo(3)`: to its addresses with `port`, in the
    /// order in which they are to be tried.
    ///
    /// # Errors
    ///
    /// Any: the channel's insertion fails with it.
    fn resolve(&mut self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;

    /// Listens for connections, as `bind(2)` and `listen(2)`.
    ///
    /// # Errors
    ///
    /// Any: the name's next address is tried. The channel's insertion fails with the error of
    /// the last one.
    fn listen(&mut self, at: &Address) -> io::Result<Box<dyn Listener>>;

    /// Begins to connect, as a non-blocking `connect(2)`. The transport's
    /// [`finish_connect`](Transport::finish_connect) says what comes of it.
    ///
    /// # Errors
    ///
    /// Any: the name's next address is tried. The error of the last one goes to
    /// `handle_close`.
    fn connect(&mut self, to: &Address) -> io::Result<Box<dyn Transport>>;

    /// Binds a socket for datagrams, as `bind(2)`.
    ///
    /// # Errors
    ///
    /// As [`listen`](Self::listen).
    fn bind(&mut self, at: &Address) -> io::Result<Box<dyn DatagramSocket>>;
}

/// A listener in a [`Network`].
pub trait Listener: fmt::Debug {
    /// Called when the channel enters a map, or another one, before any other call.
    fn enter(&mut self, me: Token);

    /// Accepts a connection, as a non-blocking `accept(2)`.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if none is waiting. `ConnectionReset` and `ConnectionAborted` say that
    /// one was, and is gone: the next one is accepted. Others as those of
    /// [`Endpoint::accept`](crate::Endpoint::accept).
    fn accept(&mut self) -> io::Result<(Stream, Address)>;

    /// Whether a connection waits.
    fn has_input(&self) -> bool;

    /// The address that it listens on, as `getsockname(2)`.
    fn local_addr(&self) -> Option<Address>;
}

/// A socket for datagrams in a [`Network`]. It is not connected.
pub trait DatagramSocket: fmt::Debug {
    /// Called when the channel enters a map, or another one, before any other call.
    fn enter(&mut self, me: Token);

    /// Receives a datagram and its sender's address, as `recvfrom(2)`. Returns its whole
    /// length, even if it is longer than `buffer`: the caller's error is `InvalidData` then.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is none.
    fn recv_from(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Address)>;

    /// Sends a datagram, as `sendto(2)`.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is no room.
    fn send_to(&mut self, data: &[u8], to: &Address) -> io::Result<usize>;

    /// Whether a datagram waits.
    fn has_input(&self) -> bool;

    /// The address that it is bound to, as `getsockname(2)`.
    fn local_addr(&self) -> Option<Address>;
}

/// The map's network, if it has one.
pub(crate) fn of<'a>(opening: &'a mut Opening<'_>) -> Option<&'a mut dyn Network> {
    let network = opening.provider::<Box<dyn Network>>()?;
    Some(&mut **network)
}

pub(crate) fn resolve(opening: &mut Opening<'_>, name: &InetName) -> io::Result<Vec<SocketAddr>> {
    name.addresses(|host, port| match of(opening) {
        Some(network) => network.resolve(host, port),
        None => Ok((host, port).to_socket_addrs()?.collect()),
    })
}

/// Opens a socket at the first address of a name at which that works.
pub(crate) fn first_that_works(
    name: &InetName,
    opening: &mut Opening<'_>,
    open: impl Fn(SocketAddr, &mut Opening<'_>) -> io::Result<Wire>,
) -> io::Result<Wire> {
    let mut last = None;
    for address in resolve(opening, name)? {
        match open(address, opening) {
            Ok(wire) => return Ok(wire),
            Err(error) => last = Some(error),
        }
    }
    Err(last.expect("a name has an address, or is an error"))
}
