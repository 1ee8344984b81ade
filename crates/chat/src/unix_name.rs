//! Where a Unix socket is: [`UnixName`].

use std::fmt;
use std::path::{Path, PathBuf};

#[cfg(unix)]
use socket2::SockAddr;

/// The name of a Unix socket: a path or, on Linux, a name in the abstract namespace.
///
/// Anything that converts to a path is a name:
/// `Dispatcher::connect_unix("/run/room.sock", Guest)`. The name in an
/// [`Address`](crate::Address) can be connected to as it is.
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// use chat::{Address, ChannelMap, Dispatcher, DispatcherHandler, UnixName};
///
/// struct Room;
/// impl DispatcherHandler for Room {}
/// struct Guest;
/// impl DispatcherHandler for Guest {}
///
/// # let name = format!("room-{}", std::process::id()).into_bytes();
/// let name = UnixName::Abstract(name);
/// let mut map = ChannelMap::new()?;
/// let room = map.insert(Dispatcher::listen_unix(name.clone(), Room))?;
/// let bound = map.get(room)?.endpoint.local_addr();
/// assert_eq!(bound, Some(Address::Unix(Some(name.clone()))));
/// let guest = map.insert(Dispatcher::connect_unix(name, Guest))?;
/// # }
/// # Ok::<(), chat::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UnixName {
    /// A path.
    Path(PathBuf),
    /// A name in Linux's abstract namespace, without the zero byte that `unix(7)` puts in
    /// front. It is free as soon as its socket is closed, and no permissions protect it.
    /// A socket that asked for any name (`autobind`) has one, too. Other systems have no
    /// such names: there using one is the error `Unsupported`.
    Abstract(Vec<u8>),
}

#[cfg(unix)]
impl UnixName {
    pub(crate) fn sock_addr(&self) -> std::io::Result<SockAddr> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        use std::os::unix::ffi::OsStrExt;

        match self {
            Self::Path(path) => {
                let bytes = path.as_os_str().as_encoded_bytes();
                if bytes.is_empty() || bytes.contains(&0) {
                    return Err(invalid(
                        "the path of a Unix socket is empty or has a zero byte",
                    ));
                }
                SockAddr::unix(path)
            }
            Self::Abstract(name) if name.is_empty() => Err(invalid("an abstract name is empty")),
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Self::Abstract(name) => {
                let bytes = [b"\0", &name[..]].concat();
                SockAddr::unix(std::ffi::OsStr::from_bytes(&bytes))
            }
            #[cfg(not(any(target_os = "linux", target_os = "android")))]
            Self::Abstract(_) => Err(std::io::ErrorKind::Unsupported.into()),
        }
    }
}

/// A path.
impl<P: AsRef<Path>> From<P> for UnixName {
    fn from(path: P) -> Self {
        Self::Path(path.as_ref().to_path_buf())
    }
}

/// `/run/room.sock`, `@room`. A peer may choose its name: control characters and those
/// that cannot be seen are escaped, and a name is one line.
impl fmt::Display for UnixName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.to_string_lossy().escape_debug().fmt(f),
            Self::Abstract(name) => write!(f, "@{}", name.escape_ascii()),
        }
    }
}

#[cfg(unix)]
fn invalid(what: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidInput, what)
}
