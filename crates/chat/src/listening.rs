//! Sockets that listen, and how they accept.

use std::io;
use std::net::SocketAddr;

use reactor::Opening;
#[cfg(unix)]
use socket2::Domain;
use socket2::{SockAddr, Socket, Type};

use crate::address::Address;
use crate::admission::Accepted;
use crate::connecting::tcp_socket;
use crate::endpoint::Endpoint;
use crate::inet_name::InetName;
use crate::network::{self, first_that_works};
#[cfg(unix)]
use crate::opening::new_socket;
use crate::stream::Stream;
#[cfg(unix)]
use crate::unix_bind::UnixBind;
use crate::wire::Wire;

/// How many connections may wait to be accepted (`listen(2)`'s backlog).
const BACKLOG: i32 = 1_024;

impl Endpoint {
    /// Like the standard library's listener: on the first address that works.
    pub(crate) fn listen(&mut self, name: &InetName, opening: &mut Opening<'_>) -> io::Result<()> {
        self.wire = first_that_works(name, opening, |address, opening| {
            match network::of(opening) {
                Some(network) => network.listen(&address.into()).map(Wire::Listener),
                None => listen_on(address),
            }
        })?;
        Ok(())
    }

    #[cfg(unix)]
    pub(crate) fn listen_unix(
        &mut self,
        bind: &UnixBind,
        opening: &mut Opening<'_>,
    ) -> io::Result<()> {
        if let Some(network) = network::of(opening) {
            self.wire = Wire::Listener(network.listen(&bind.address())?);
            return Ok(());
        }
        let socket = new_socket(Domain::UNIX, Type::STREAM)?;
        let path = bind.bind(&socket)?;
        socket.listen(BACKLOG)?;
        self.wire = Wire::new(socket, Type::STREAM);
        self.has_bound(path);
        Ok(())
    }

    /// Accepts one connection; `None` if none is waiting. The new socket is
    /// non-blocking. Connections that were reset while they waited are skipped.
    ///
    /// In `handle_accept`, this hands out the connection that the callback is for, which
    /// [`Limits::admission`](crate::Limits::admission) let in, and no second one: the callback
    /// comes again for the next. Elsewhere, these limits neither refuse nor count what it
    /// accepts.
    ///
    /// # Errors
    ///
    /// Those of `accept(2)`, such as `EMFILE`. The listener stays open. If the callback
    /// returns the error, the listener pauses for 250 ms.
    pub fn accept(&mut self) -> io::Result<Option<(Stream, Address)>> {
        let accepted = self.take_admitted();
        let accepted = accepted.unwrap_or_else(|| self.accept_next());
        self.has_accepted |= matches!(accepted, Ok(Some(_)));
        accepted
    }

    /// Accepts the next connection that waits in the system.
    pub(crate) fn accept_next(&mut self) -> io::Result<Accepted> {
        loop {
            match self.wire.accept() {
                Ok(accepted) => {
                    self.note_activity();
                    return Ok(Some(accepted));
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
}

fn listen_on(address: SocketAddr) -> io::Result<Wire> {
    let socket = tcp_socket(address)?; // an accepted socket inherits its options
    // asyncore's set_reuse_addr: a restarted server gets its port back.
    // On Windows the option means something else.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(Wire::new(socket, Type::STREAM))
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
pub(crate) fn is_listener(socket: &Socket) -> io::Result<bool> {
    socket.is_listener()
}

/// Where `SO_ACCEPTCONN` cannot be read, a listener must be made by `listen`.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
pub(crate) fn is_listener(_: &Socket) -> io::Result<bool> {
    Ok(false)
}

/// One system call instead of three.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
pub(crate) fn accept_nonblocking(socket: &Socket) -> io::Result<(Socket, SockAddr)> {
    // accept4(2) takes socket(2)'s flags; socket2 has them on its types only.
    let flags = i32::from(Type::STREAM.nonblocking().cloexec()) & !i32::from(Type::STREAM);
    socket.accept4(flags)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
pub(crate) fn accept_nonblocking(socket: &Socket) -> io::Result<(Socket, SockAddr)> {
    let (peer, address) = socket.accept()?;
    peer.set_nonblocking(true)?;
    Ok((peer, address))
}
