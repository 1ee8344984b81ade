//! Where the other end is: [`Address`].

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use socket2::SockAddr;

use crate::unix_name::UnixName;

/// The address of one end of a socket, of any family.
///
/// ```
/// use chat::{Address, UnixName};
///
/// let address = Address::Inet("127.0.0.1:7000".parse()?);
/// assert_eq!(address.to_string(), "127.0.0.1:7000");
/// assert_eq!(Address::Unix(None).to_string(), "unix:(unnamed)");
/// assert_eq!(Address::from(UnixName::from("/run/room")).to_string(), "unix:/run/room");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// IPv4 or IPv6.
    Inet(SocketAddr),
    /// A Unix socket's name; `None` for a socket without a name, as a client's mostly is.
    Unix(Option<UnixName>),
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
            Self::Unix(Some(UnixName::Path(path))) => Some(path),
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
                return UnixName::Abstract(name.to_vec()).into();
            }
            #[cfg(unix)]
            return Self::Unix(address.as_pathname().map(UnixName::from));
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
            return UnixName::Abstract(name.to_vec()).into();
        }
        Self::Unix(address.as_pathname().map(UnixName::from))
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Inet(address)
    }
}

impl From<UnixName> for Address {
    fn from(name: UnixName) -> Self {
        Self::Unix(Some(name))
    }
}

/// `127.0.0.1:7000`, `[::1]:7000`, `unix:/run/room.sock`, `unix:@room`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::Unix(Some(name)) => write!(f, "unix:{name}"),
            Self::Unix(None) => f.write_str("unix:(unnamed)"),
            Self::Other => f.write_str("(another family)"),
        }
    }
}
