//! Sockets are opened when their channel enters a map: [`Target`].

use std::io;

use reactor::{CloseReason, Opening, Token};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::endpoint::{Endpoint, copy};
use crate::flags::UNOPENED;
use crate::inet_name::InetName;
use crate::life::Stage;
#[cfg(unix)]
use crate::unix_bind::UnixBind;
#[cfg(unix)]
use crate::unix_name::UnixName;
use crate::wire::Wire;

/// What a channel's socket is to be.
#[derive(Debug)]
pub(crate) enum Target {
    Listen(InetName),
    /// For datagrams.
    Bind(InetName),
    Connect(InetName),
    /// The caller's own socket.
    ConnectFrom(Wire, SockAddr),
    #[cfg(unix)]
    ListenUnix(UnixBind),
    /// For datagrams.
    #[cfg(unix)]
    BindUnix(UnixBind),
    #[cfg(unix)]
    ConnectUnix(UnixName),
}

impl Endpoint {
    /// An endpoint that is to be opened.
    pub(crate) fn unopened(target: Target, stage: Stage) -> Self {
        let mut endpoint = Self::with_wire(Wire::Unopened(Some(Box::new(target))), stage);
        endpoint.flags |= UNOPENED;
        endpoint
    }

    /// Opens the socket, if that is still to be done.
    pub(crate) fn open(&mut self, opening: &mut Opening<'_>) -> io::Result<()> {
        let is_new = self.me == Token::NONE;
        if let Some(error) = self.life.failure().filter(|_| is_new) {
            return Err(copy(error)); // a socket that no channel can be made of
        }
        self.enter(opening.me());
        if !self.is_unopened() {
            return Ok(());
        }
        self.open_target(opening)?;
        self.open_transport(opening)?;
        self.flags &= !UNOPENED;
        Ok(())
    }

    /// Tells a transport where it is.
    pub(crate) fn open_transport(&mut self, opening: &mut Opening<'_>) -> io::Result<()> {
        match &mut self.wire {
            Wire::Other(transport) => transport.open(opening),
            _ => Ok(()),
        }
    }

    /// Opens the socket of a channel that has come into the map by other ways than
    /// insertion.
    #[cold]
    pub(crate) fn open_late(&mut self, opening: &mut Opening<'_>) {
        if let Err(error) = self.open(opening) {
            self.close_with(CloseReason::Io(error));
        }
    }

    /// Whether the socket is to be opened, or a transport to be told where it is.
    pub(crate) fn is_unopened(&self) -> bool {
        self.flags & UNOPENED != 0 && !self.is_closed()
    }

    /// Opens what the channel's socket is to be, if there is none.
    fn open_target(&mut self, opening: &mut Opening<'_>) -> io::Result<()> {
        let Wire::Unopened(target) = &mut self.wire else {
            return Ok(());
        };
        let Some(mut target) = target.take() else {
            return Ok(());
        };
        let opened = self.open_as(&mut target, opening);
        if opened.is_err() {
            self.wire = Wire::Unopened(Some(target)); // it may be inserted again
        }
        opened
    }

    fn open_as(&mut self, target: &mut Target, opening: &mut Opening<'_>) -> io::Result<()> {
        match target {
            Target::Listen(name) => self.listen(name, opening),
            Target::Bind(name) => self.bind(name, opening),
            Target::Connect(name) => self.connect(name, opening),
            Target::ConnectFrom(wire, address) => self.connect_on(wire, address),
            #[cfg(unix)]
            Target::ListenUnix(bind) => self.listen_unix(bind, opening),
            #[cfg(unix)]
            Target::BindUnix(bind) => self.bind_unix(bind, opening),
            #[cfg(unix)]
            Target::ConnectUnix(name) => self.connect_unix(name, opening),
        }
    }
}

/// A socket that does not block.
pub(crate) fn new_socket(domain: Domain, kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(domain, kind, None)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
