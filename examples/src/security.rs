//! TLS for a server, if its command line asks for it.

use std::io;

use chat::{Chat, Endpoint, InputPending, Stream};

use crate::Opt;

/// `--tls-cert FILE`, a server's certificates.
pub const TLS_CERT: Opt = Opt {
    name: "tls-cert",
    value: "FILE  PEM, the server's own certificate first; with --tls-key",
    default: Some(""),
};

/// `--tls-key FILE`, the private key of the first certificate.
pub const TLS_KEY: Opt = Opt {
    name: "tls-key",
    value: "FILE  PEM, the private key of the certificate",
    default: Some(""),
};

/// TLS with the certificate and key that the command line names; or none.
#[derive(Clone, Debug)]
pub struct Security(Option<Acceptor>);

#[cfg(feature = "tls")]
use tls::Acceptor;

/// Nobody makes one.
#[cfg(not(feature = "tls"))]
#[derive(Clone, Debug)]
enum Acceptor {}

impl Security {
    /// Reads the files that [`TLS_CERT`] and [`TLS_KEY`] name. Two empty names are no TLS.
    ///
    /// # Errors
    ///
    /// Those of the files. `Unsupported` in a program that was built without TLS.
    pub fn new(certificates: &str, key: &str) -> io::Result<Self> {
        match (certificates, key) {
            ("", "") => Ok(Self(None)),
            _ => acceptor(certificates, key).map(|acceptor| Self(Some(acceptor))),
        }
    }

    /// Whether there is any.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// What a channel is made of: TLS over `stream`, or `stream` alone.
    #[must_use]
    pub fn accept(&self, stream: Stream) -> Endpoint {
        match &self.0 {
            Some(acceptor) => accept(acceptor, stream),
            None => stream.into(),
        }
    }

    /// Starts TLS on a channel that is at work.
    ///
    /// # Errors
    ///
    /// As [`Chat::put_layer`].
    pub fn start(&self, chat: &mut Chat) -> Result<(), InputPending> {
        match &self.0 {
            Some(acceptor) => start(acceptor, chat),
            None => Ok(()),
        }
    }
}

#[cfg(feature = "tls")]
fn acceptor(certificates: &str, key: &str) -> io::Result<Acceptor> {
    Acceptor::from_pem_files(certificates, key)
}

#[cfg(feature = "tls")]
fn accept(acceptor: &Acceptor, stream: Stream) -> Endpoint {
    acceptor.accept(stream)
}

#[cfg(feature = "tls")]
fn start(acceptor: &Acceptor, chat: &mut Chat) -> Result<(), InputPending> {
    acceptor.start_tls(chat)
}

#[cfg(not(feature = "tls"))]
fn acceptor(_: &str, _: &str) -> io::Result<Acceptor> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "this program was built without TLS: build it with --features tls",
    ))
}

#[cfg(not(feature = "tls"))]
fn accept(acceptor: &Acceptor, _: Stream) -> Endpoint {
    match *acceptor {}
}

#[cfg(not(feature = "tls"))]
fn start(acceptor: &Acceptor, _: &mut Chat) -> Result<(), InputPending> {
    match *acceptor {}
}
