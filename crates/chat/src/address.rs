//! Where the other end is: [`Address`].

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use socket2::SockAddr;

/// The address of one end of a socket, of any family.
///
/// ```
/// use chat::Address;
///
/// let address = Address::Inet("127.0.0.1:7000".parse()?);
/// assert_eq!(address.to_string(), "127.0.0.1:7000");
/// assert_eq!(Address::Unix(None).to_string(), "unix:(unnamed)");
/// assert_eq!(Address::Abstract(b"room".to_vec()).to_string(), "unix:@room");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// IPv4 or IPv6.
    Inet(SocketAddr),
    /// A Unix socket's path; `None` for a socket without a name, as a client's mostly is.
    Unix(Option<PathBuf>),
    /// A Unix socket's name in Linux's abstract namespace, without the zero byte that
    /// `unix(7)` puts in front. A socket that asked for any name (`autobind`) has one, too.
    Abstract(Vec<u8>),
    /// Another family.
    Other,
}

impl Address {
    /// The IP address and port, if it has them.
    pub fn as_inet(&self) -> Option<SocketAddr> {
        match self {
            Self::Inet(address) => Some(*address),
            _ => None,
        }
    }

    /// The path, if it is that of a Unix socket.
    pub fn as_path(&self) -> Option<&Path> {
        match self {
            Self::Unix(path) => path.as_deref(),
            _ => None,
        }
    }
}

impl From<SockAddr> for Address {
    fn from(address: SockAddr) -> Self {
        if let Some(inet) = address.as_socket() {
            Self::Inet(inet)
        } else if address.is_unix() {
            #[cfg(unix)]
            if let Some(name) = address.as_abstract_namespace() {
                return Self::Abstract(name.to_vec());
            }
            #[cfg(unix)]
            return Self::Unix(address.as_pathname().map(Path::to_path_buf));
            #[cfg(not(unix))]
            Self::Unix(None)
        } else {
            Self::Other
        }
    }
}

#[cfg(unix)]
impl From<std::os::unix::net::SocketAddr> for Address {
    fn from(address: std::os::unix::net::SocketAddr) -> Self {
        #[cfg(target_os = "android")]
        use std::os::android::net::SocketAddrExt;
        #[cfg(target_os = "linux")]
        use std::os::linux::net::SocketAddrExt;

        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(name) = address.as_abstract_name() {
            return Self::Abstract(name.to_vec());
        }
        Self::Unix(address.as_pathname().map(Path::to_path_buf))
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Inet(address)
    }
}

/// `127.0.0.1:7000`, `[::1]:7000`, `unix:/run/room.sock`, `unix:@room`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::Unix(Some(path)) => write!(f, "unix:{}", path.display()),
            Self::Abstract(name) => write!(f, "unix:@{}", name.escape_ascii()),
            Self::Unix(None) => f.write_str("unix:(unnamed)"),
            Self::Other => f.write_str("(another family)"),
        }
    }
}
