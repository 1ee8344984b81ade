//! Sockets are opened when their channel enters a map: [`Target`].

use std::io;
use std::mem;

use reactor::{CloseReason, Opening};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use crate::endpoint::{Endpoint, copy};
use crate::flags::{SECURING, UNOPENED};
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
    /// No channel can be made of the caller's socket.
    Refused(Wire, io::Error),
    #[cfg(unix)]
    ListenUnix(UnixBind),
    /// For datagrams.
    #[cfg(unix)]
    BindUnix(UnixBind),
    #[cfg(unix)]
    ConnectUnix(UnixName),
}

impl Target {
    /// The caller's socket, if there is one.
    pub(crate) fn socket(&self) -> Option<SockRef<'_>> {
        match self {
            Self::ConnectFrom(wire, _) | Self::Refused(wire, _) => wire.socket(),
            _ => None,
        }
    }

    pub(crate) fn keeps_bounds(&self) -> bool {
        match self {
            Self::Bind(_) => true,
            #[cfg(unix)]
            Self::BindUnix(_) => true,
            Self::ConnectFrom(wire, _) | Self::Refused(wire, _) => wire.keeps_bounds(),
            _ => false,
        }
    }
}

impl Endpoint {
    /// An endpoint that is to be opened.
    pub(crate) fn unopened(target: Target, stage: Stage) -> Self {
        let mut endpoint = Self::with_wire(Wire::Unopened(Some(Box::new(target))), stage);
        endpoint.flags |= UNOPENED;
        endpoint
    }

    /// No channel can be made of the wire: the insertion fails with `error`.
    pub(crate) fn refuse(&mut self, error: io::Error) {
        let wire = mem::replace(&mut self.wire, Wire::Unopened(None));
        self.wire = Wire::Unopened(Some(Box::new(Target::Refused(wire, error))));
        self.flags |= UNOPENED;
    }

    /// Opens the socket, if that is still to be done, and enters the map.
    pub(crate) fn open(&mut self, opening: &mut Opening<'_>) -> io::Result<()> {
        if self.is_unopened() {
            self.open_target(opening)?;
            self.use_limits(); // which depend on the socket's type
        }
        if self.enter(opening.me()) {
            let buffers = opening.buffers();
            self.move_to(buffers, buffers.moment(opening.now()));
        }
        if self.is_unopened() {
            self.enter_earlier(opening.me());
            self.enter_wire(opening);
        }
        Ok(())
    }

    /// Tells the wire where it is. It may have connected already.
    pub(crate) fn enter_wire(&mut self, opening: &mut Opening<'_>) {
        self.flags &= !UNOPENED;
        self.wire.enter(opening.me());
        if self.wire.is_handshaking() {
            self.flags |= SECURING;
        }
        if self.connecting() && self.wire.transport().is_some() {
            self.finish_connect(opening);
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
            Target::Connect(name) => self.begin_connect(name, opening),
            Target::ConnectFrom(wire, address) => self.connect_on(wire, address),
            Target::Refused(_, error) => Err(copy(error)),
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
