//! How a Unix socket is bound: [`UnixBind`].

use std::io;
use std::path::Path;

use socket2::Socket;

use crate::address::Address;
use crate::bound_path::{BoundPath, remove_stale};
use crate::unix_name::UnixName;

/// The name that a Unix socket is bound to, and what becomes of its path.
///
/// Any path or [`UnixName`] converts to it: `Dispatcher::listen_unix("/run/room.sock", Room)`.
/// `bind(2)` makes the path, and the path outlives the socket. This server can start again
/// after a crash, and leaves nothing behind:
///
/// ```
/// use chat::{ChannelMap, Dispatcher, DispatcherHandler, UnixBind};
///
/// struct Room;
/// impl DispatcherHandler for Room {}
///
/// # let path = std::env::temp_dir().join(format!("chat-doc-{}", std::process::id()));
/// # std::os::unix::net::UnixListener::bind(&path)?; // the one before has crashed
/// let bind = UnixBind::path(&path).replacing_dead().removed_on_close();
/// let mut map = ChannelMap::new()?;
/// map.insert(Dispatcher::listen_unix(bind, Room))?;
/// assert!(path.exists());
/// drop(map);
/// assert!(!path.exists());
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// A client has nothing to bind. This does not compile:
///
/// ```compile_fail,E0277
/// use chat::{Dispatcher, DispatcherHandler, UnixBind};
///
/// struct Guest;
/// impl DispatcherHandler for Guest {}
///
/// let guest = Dispatcher::connect_unix(UnixBind::path("/run/room.sock"), Guest);
/// ```
#[derive(Clone, Debug)]
pub struct UnixBind {
    name: UnixName,
    replaces_dead: bool,
    removed_on_close: bool,
}

impl UnixBind {
    /// A path. By default binding fails if it exists (`EADDRINUSE`), and it stays when the
    /// socket is closed.
    pub fn path(path: impl AsRef<Path>) -> Self {
        UnixName::from(path).into()
    }

    /// When the socket is bound: replaces a dead socket at the path, such as a crash leaves.
    ///
    /// Anything else at the path stays, and the error is `EADDRINUSE`: a socket that is
    /// bound, whether it listens or not, or a file of another kind. If several programs find
    /// the same dead socket, one of them gets the path.
    ///
    /// The replacement takes several system calls, and does not lock other programs out
    /// meanwhile. Two races are left, in which another program stays bound to its socket but
    /// loses the path:
    ///
    /// - Its `bind(2)` has just made the path, and has not put the socket there yet. The
    ///   path looks dead at that moment, and is replaced.
    /// - A living socket has taken the dead one's place, and this program has moved it
    ///   aside, where no client finds it. The other program binds the path before the living
    ///   socket is put back.
    ///
    /// Only a lock that the programs share, such as a locked file, excludes both.
    #[must_use]
    pub fn replacing_dead(mut self) -> Self {
        self.replaces_dead = true;
        self
    }

    /// Removes the path when the channel bound to it is closed, or dropped with the map. A
    /// child process that drops its copy of the channel does not.
    ///
    /// If a successor has replaced the path meanwhile, it stays, since its inode is another.
    /// Only a replacement between that check and the removal is not noticed.
    #[must_use]
    pub fn removed_on_close(mut self) -> Self {
        self.removed_on_close = true;
        self
    }

    pub(crate) fn address(&self) -> Address {
        self.name.clone().into()
    }

    /// Binds `socket`; returns the path that is to be removed.
    pub(crate) fn bind(&self, socket: &Socket) -> io::Result<Option<Box<BoundPath>>> {
        let address = self.name.sock_addr()?;
        let bound = socket.bind(&address);
        let UnixName::Path(path) = &self.name else {
            return bound.map(|()| None); // such a name goes with its socket
        };
        match bound {
            Err(error) if self.replaces_dead && error.kind() == io::ErrorKind::AddrInUse => {
                if !remove_stale(path)? {
                    return Err(error);
                }
                socket.bind(&address)?;
            }
            bound => bound?,
        }
        match self.removed_on_close {
            true => Ok(Some(Box::new(BoundPath::new(path)?))),
            false => Ok(None),
        }
    }
}

/// Replaces nothing, and leaves the path behind.
impl<N: Into<UnixName>> From<N> for UnixBind {
    fn from(name: N) -> Self {
        Self {
            name: name.into(),
            replaces_dead: false,
            removed_on_close: false,
        }
    }
}
