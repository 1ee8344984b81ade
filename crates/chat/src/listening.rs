//! Sockets that listen, and how they accept.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

#[cfg(unix)]
use socket2::Domain;
use socket2::{SockAddr, Socket, Type};

use crate::address::Address;
use crate::connecting::{no_address, tcp_socket};
use crate::endpoint::Endpoint;
use crate::life::{Bound, Stage};
#[cfg(unix)]
use crate::unix_bind::UnixBind;

/// How many connections may wait to be accepted (`listen(2)`'s backlog).
const BACKLOG: i32 = 1_024;

impl Endpoint {
    /// Like the standard library's listener: on the first address that works.
    pub(crate) fn listen(addresses: impl ToSocketAddrs) -> io::Result<Self> {
        let mut last = no_address();
        for address in addresses.to_socket_addrs()? {
            match listen_on(address) {
                Ok(socket) => {
                    return Self::on(socket, Type::STREAM, Stage::Listening(Bound::default()));
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    #[cfg(unix)]
    pub(crate) fn listen_unix(bind: &UnixBind) -> io::Result<Self> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        let path = bind.bind(&socket)?;
        socket.listen(BACKLOG)?;
        Self::on(socket, Type::STREAM, Stage::Listening(path))
    }

    /// Accepts one connection; `None` if none is waiting. The new socket is
    /// non-blocking. Connections that were reset while they waited are skipped.
    ///
    /// # Errors
    ///
    /// Those of `accept(2)`, such as `EMFILE`. The listener stays open. If the callback
    /// returns the error, the listener pauses for 250 ms.
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
}

fn listen_on(address: SocketAddr) -> io::Result<Socket> {
    let socket = tcp_socket(address)?; // an accepted socket inherits its options
    // asyncore's set_reuse_addr: a restarted server gets its port back.
    // On Windows the option means something else.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
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
