//! Where a TCP or UDP socket is: [`InetName`].

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// The name of a TCP or UDP port: a host and a port, or addresses. A host is resolved when
/// its channel enters a map.
///
/// Text, a host and a port, and addresses convert to it: `"example.org:25"`,
/// `("example.org", 25)`, `(Ipv4Addr::LOCALHOST, 25)`, a `SocketAddr`, several of them.
///
/// ```
/// use chat::InetName;
///
/// assert_eq!(InetName::from(("example.org", 25)), InetName::from("example.org:25"));
/// assert_eq!(InetName::from(("::1", 25)).to_string(), "[::1]:25");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InetName(Name);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Name {
    Addresses(Vec<SocketAddr>),
    Host(String, u16),
    /// No host and port.
    Invalid(String),
}

impl InetName {
    /// The addresses, in the order in which they are to be tried. `resolve` finds a host's.
    pub(crate) fn addresses(
        &self,
        resolve: impl FnOnce(&str, u16) -> io::Result<Vec<SocketAddr>>,
    ) -> io::Result<Vec<SocketAddr>> {
        let addresses = match &self.0 {
            Name::Addresses(addresses) => addresses.clone(),
            Name::Host(host, port) => resolve(host, *port)?,
            Name::Invalid(text) => {
                let what = format!("{text:?} is no host and port");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
            }
        };
        match addresses.is_empty() {
            true => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the name has no address",
            )),
            false => Ok(addresses),
        }
    }
}

/// `example.org:25`, `192.0.2.1:25`, `[2001:db8::1]:25`. Anything else is an error
/// (`InvalidInput`) when the channel enters a map.
impl From<&str> for InetName {
    fn from(text: &str) -> Self {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return address.into();
        }
        let host = text.rsplit_once(':').and_then(|(host, port)| {
            let port = port.parse().ok()?;
            Some(Name::Host(host.to_owned(), port))
        });
        Self(host.unwrap_or_else(|| Name::Invalid(text.to_owned())))
    }
}

/// A host's name or address, and a port.
impl From<(&str, u16)> for InetName {
    fn from((host, port): (&str, u16)) -> Self {
        match host.parse::<IpAddr>() {
            Ok(ip) => (ip, port).into(),
            Err(_) => Self(Name::Host(host.to_owned(), port)),
        }
    }
}

/// Several addresses, to be tried in this order.
impl From<Vec<SocketAddr>> for InetName {
    fn from(addresses: Vec<SocketAddr>) -> Self {
        Self(Name::Addresses(addresses))
    }
}

/// Several addresses, to be tried in this order.
impl From<&[SocketAddr]> for InetName {
    fn from(addresses: &[SocketAddr]) -> Self {
        addresses.to_vec().into()
    }
}

/// As text: see the conversion of `&str`.
impl From<&String> for InetName {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

/// As text: see the conversion of `&str`.
impl From<String> for InetName {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

/// A host's name or address, and a port.
impl From<(String, u16)> for InetName {
    fn from((host, port): (String, u16)) -> Self {
        (host.as_str(), port).into()
    }
}

/// One address.
impl From<SocketAddr> for InetName {
    fn from(address: SocketAddr) -> Self {
        vec![address].into()
    }
}

/// One address.
impl From<&SocketAddr> for InetName {
    fn from(address: &SocketAddr) -> Self {
        (*address).into()
    }
}

macro_rules! from_address {
    ($($address:ty),*) => {$(
        /// One address.
        impl From<$address> for InetName {
            fn from(address: $address) -> Self {
                SocketAddr::from(address).into()
            }
        }
    )*};
}

from_address!(
    SocketAddrV4,
    SocketAddrV6,
    (IpAddr, u16),
    (Ipv4Addr, u16),
    (Ipv6Addr, u16)
);

/// `example.org:25`, `[::1]:25`; of several addresses, the first.
impl fmt::Display for InetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Name::Addresses(addresses) => match addresses.first() {
                Some(address) => address.fmt(f),
                None => f.write_str("(no address)"),
            },
            Name::Host(host, port) => write!(f, "{host}:{port}"),
            Name::Invalid(text) => f.write_str(text),
        }
    }
}
