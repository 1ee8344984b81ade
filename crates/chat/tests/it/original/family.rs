//! The families of sockets that the facts are tried with.

use std::env::temp_dir;
use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};

use chat::{
    Address, AsyncChat, ChatHandler, Dispatcher, DispatcherHandler, Socket, Terminator, UnixName,
};
use socket2::{Domain, SockAddr, Type};

use crate::common::opened;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Inet,
    Inet6,
    Unix,
}

impl Family {
    /// Those of the internet, as far as this machine has them.
    pub(crate) fn inet() -> Vec<Self> {
        if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
            return vec![Self::Inet, Self::Inet6];
        }
        let _ = writeln!(io::stderr(), "skipped: no IPv6");
        vec![Self::Inet]
    }

    pub(crate) fn all() -> Vec<Self> {
        let mut all = Self::inet();
        all.push(Self::Unix);
        all
    }

    pub(crate) fn domain(self) -> Domain {
        match self {
            Self::Inet => Domain::IPV4,
            Self::Inet6 => Domain::IPV6,
            Self::Unix => Domain::UNIX,
        }
    }

    /// A free port of this machine, or a path that does not exist.
    pub(crate) fn free(self) -> Address {
        static PATHS: AtomicUsize = AtomicUsize::new(0);
        match self {
            Self::Inet => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into(),
            Self::Inet6 => SocketAddr::from((Ipv6Addr::LOCALHOST, 0)).into(),
            Self::Unix => {
                let number = PATHS.fetch_add(1, Ordering::Relaxed);
                let name = format!("chat-original-{}-{number}", process::id());
                UnixName::from(temp_dir().join(name)).into()
            }
        }
    }

    /// Two ends of a connection: the channel's, and its peer's, which does not
    /// block.
    pub(crate) fn pair(self) -> (Socket, Socket) {
        let (place, listener) = Place::plain(self);
        let theirs = place.dial();
        let (ours, _) = listener.accept().unwrap();
        (ours, theirs)
    }
}

/// Where a server listens. A path is removed when its test is over.
pub(crate) struct Place(Address);

impl Place {
    /// A dispatcher that listens.
    pub(crate) fn listen<H: DispatcherHandler>(
        family: Family,
        handler: H,
    ) -> (Self, Dispatcher<H>) {
        let server = listen_at(&family.free(), handler).unwrap();
        (Self(server.endpoint.local_addr().unwrap()), server)
    }

    /// A listening socket outside of any map.
    pub(crate) fn plain(family: Family) -> (Self, Socket) {
        let listener: Socket = match family.free() {
            Address::Inet(address) => TcpListener::bind(address).unwrap().into(),
            Address::Unix(Some(UnixName::Path(path))) => UnixListener::bind(path).unwrap().into(),
            other => panic!("nowhere to listen: {other}"),
        };
        (Self(listener.local_addr().unwrap().into()), listener)
    }

    pub(crate) fn address(&self) -> &Address {
        &self.0
    }

    pub(crate) fn sock_addr(&self) -> SockAddr {
        match &self.0 {
            Address::Inet(address) => (*address).into(),
            Address::Unix(Some(UnixName::Path(path))) => SockAddr::unix(path).unwrap(),
            other => panic!("nowhere to connect to: {other}"),
        }
    }

    /// Another dispatcher that listens here.
    pub(crate) fn listen_again<H: DispatcherHandler>(
        &self,
        handler: H,
    ) -> io::Result<Dispatcher<H>> {
        listen_at(&self.0, handler)
    }

    pub(crate) fn connect<H: DispatcherHandler>(&self, handler: H) -> Dispatcher<H> {
        match &self.0 {
            Address::Unix(Some(name)) => Dispatcher::connect_unix(name.clone(), handler),
            address => Dispatcher::connect(address.as_inet().unwrap(), handler),
        }
    }

    pub(crate) fn connect_chat<H: ChatHandler>(
        &self,
        terminator: impl Into<Terminator>,
        handler: H,
    ) -> AsyncChat<H> {
        match &self.0 {
            Address::Unix(Some(name)) => AsyncChat::connect_unix(name.clone(), terminator, handler),
            address => AsyncChat::connect(address.as_inet().unwrap(), terminator, handler),
        }
    }

    /// A connected socket outside of any map, which does not block.
    pub(crate) fn dial(&self) -> Socket {
        let address = self.sock_addr();
        let socket = Socket::new(address.domain(), Type::STREAM, None).unwrap();
        socket.connect(&address).unwrap();
        if address.domain() != Domain::UNIX {
            socket.set_tcp_nodelay(true).unwrap(); // segments as they are written
        }
        socket.set_nonblocking(true).unwrap();
        socket
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(path) = self.0.as_path() {
            // There is nobody to tell if that fails.
            let _ = fs::remove_file(path);
        }
    }
}

fn listen_at<H: DispatcherHandler>(address: &Address, handler: H) -> io::Result<Dispatcher<H>> {
    opened(match address {
        Address::Unix(Some(name)) => Dispatcher::listen_unix(name.clone(), handler),
        address => Dispatcher::listen(address.as_inet().unwrap(), handler),
    })
}
