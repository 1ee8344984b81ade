//! Where a Unix socket is: [`UnixName`].

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use socket2::{SockAddr, Socket};

use crate::bound_path::{BoundPath, remove_stale};

/// The name of a Unix socket: a path or, on Linux, a name in the abstract namespace.
///
/// Anything that converts to a path is a name:
/// `Dispatcher::listen_unix("/run/room.sock", Room)`. `bind(2)` makes the path, and the
/// path outlives the socket. This server can start again after a crash, and leaves nothing
/// behind:
///
/// ```
/// use chat::{Dispatcher, DispatcherHandler, UnixName};
///
/// struct Room;
/// impl DispatcherHandler for Room {}
///
/// # let path = std::env::temp_dir().join(format!("chat-doc-{}", std::process::id()));
/// # std::os::unix::net::UnixListener::bind(&path)?; // the one before has crashed
/// let room = Dispatcher::listen_unix(UnixName::path(&path).replace().remove(), Room)?;
/// assert!(path.exists());
/// drop(room);
/// assert!(!path.exists());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UnixName {
    name: Name,
    replaces: bool,
    removes: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Name {
    Path(PathBuf),
    #[cfg(any(target_os = "linux", target_os = "android"))]
    Abstract(Vec<u8>),
}

impl UnixName {
    /// A path.
    pub fn path(path: impl AsRef<Path>) -> Self {
        Self::new(Name::Path(path.as_ref().to_path_buf()))
    }

    /// A name in Linux's abstract namespace, without the zero byte that `unix(7)` puts in
    /// front. It is free as soon as its socket is closed, and no permissions protect it.
    ///
    /// ```
    /// # #[cfg(target_os = "linux")] {
    /// use chat::{Address, Dispatcher, DispatcherHandler, UnixName};
    ///
    /// struct Room;
    /// impl DispatcherHandler for Room {}
    ///
    /// # let name = format!("room-{}", std::process::id()).into_bytes();
    /// let room = Dispatcher::listen_unix(UnixName::abstract_name(&name), Room)?;
    /// assert_eq!(room.endpoint.local_addr(), Some(Address::Abstract(name)));
    /// # }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn abstract_name(name: impl AsRef<[u8]>) -> Self {
        Self::new(Name::Abstract(name.as_ref().to_vec()))
    }

    /// Has the bind replace a dead socket at the path, such as a crash leaves. Anything
    /// else at the path stays, and the error is `EADDRINUSE`: a socket in use, or a file
    /// of another kind.
    ///
    /// Programs that start at the same time do not take the path from each other: a
    /// socket that turns out not to be the dead one is put back. Two races are left. If a
    /// third program binds the path before the socket is put back, that program loses the
    /// path. And while `bind(2)` is making a path, it looks like a dead socket's.
    #[must_use]
    pub fn replace(mut self) -> Self {
        self.replaces = true;
        self
    }

    /// Removes the path when the channel bound to it is dropped: after `handle_close`, or
    /// with the map, but not in a child process. If a successor has replaced the path
    /// meanwhile, it stays, since its inode is another. Only a replacement between that
    /// check and the removal is not noticed.
    #[must_use]
    pub fn remove(mut self) -> Self {
        self.removes = true;
        self
    }

    fn new(name: Name) -> Self {
        Self {
            name,
            replaces: false,
            removes: false,
        }
    }

    /// Binds `socket`; returns the path that is to be removed.
    pub(crate) fn bind(&self, socket: &Socket) -> io::Result<Option<Box<BoundPath>>> {
        let address = self.sock_addr()?;
        let bound = socket.bind(&address);
        match (&self.name, bound) {
            (Name::Path(path), Err(error))
                if self.replaces && error.kind() == io::ErrorKind::AddrInUse =>
            {
                if !remove_stale(path)? {
                    return Err(error);
                }
                socket.bind(&address)?;
            }
            (_, bound) => bound?,
        }
        match &self.name {
            Name::Path(path) if self.removes => Ok(Some(Box::new(BoundPath::new(path)?))),
            _ => Ok(None),
        }
    }

    pub(crate) fn sock_addr(&self) -> io::Result<SockAddr> {
        match &self.name {
            Name::Path(path) => {
                let bytes = path.as_os_str().as_bytes();
                if bytes.is_empty() || bytes.contains(&0) {
                    return Err(invalid(
                        "the path of a Unix socket is empty or has a zero byte",
                    ));
                }
                SockAddr::unix(path)
            }
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Name::Abstract(name) if name.is_empty() => Err(invalid("an abstract name is empty")),
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Name::Abstract(name) => {
                let bytes = [b"\0", &name[..]].concat();
                SockAddr::unix(std::ffi::OsStr::from_bytes(&bytes))
            }
        }
    }
}

/// A path.
impl<P: AsRef<Path>> From<P> for UnixName {
    fn from(path: P) -> Self {
        Self::path(path)
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}
