//! A network of the map's own, in place of the operating system's: [`Network`].

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use reactor::Opening;

use crate::address::Address;
use crate::inet_name::InetName;
use crate::transport::Transport;
use crate::wire::Wire;

/// The network that the channels of a map open their sockets in, in place of the operating
/// system's. [`ChatMap::set_network`](crate::ChatMap::set_network) gives it to a map.
///
/// A program's `fn serve(map: &mut ChannelMap)` does not know which it is. So a test can run
/// it, unchanged, in a network that it simulates. Sockets that a program brings along, such
/// as a `TcpStream`, stay the operating system's.
///
/// The transports that it makes get the token of their channel by
/// [`Transport::open`]. Their events come by
/// [`ChannelMap::dispatch`](reactor::ChannelMap::dispatch).
pub trait Network: 'static {
    /// Resolves a host's name, as `getaddrinfo(3)`: to its addresses with `port`, in the
    /// order in which they are to be tried.
    ///
    /// # Errors
    ///
    /// Any: the channel's insertion fails with it.
    fn resolve(&mut self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;

    /// Listens for connections, as `bind(2)` and `listen(2)`. The transport's
    /// [`accept`](Transport::accept) is called when the channel is dispatched as readable.
    ///
    /// # Errors
    ///
    /// Any: the channel's insertion fails with it, unless the name has another address.
    fn listen(&mut self, at: &Address) -> io::Result<Box<dyn Transport>>;

    /// Begins to connect, as a non-blocking `connect(2)`. The transport's
    /// [`finish_connect`](Transport::finish_connect) is called when the channel is
    /// dispatched as writable.
    ///
    /// # Errors
    ///
    /// Any: the next address of the name is tried. The error of the last one goes to
    /// `handle_close`.
    fn connect(&mut self, to: &Address) -> io::Result<Box<dyn Transport>>;

    /// Binds a socket for datagrams, as `bind(2)`. Its
    /// [`recv_from`](Transport::recv_from) and [`send_to`](Transport::send_to) are called.
    ///
    /// # Errors
    ///
    /// As [`listen`](Self::listen).
    fn bind(&mut self, at: &Address) -> io::Result<Box<dyn Transport>>;
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
