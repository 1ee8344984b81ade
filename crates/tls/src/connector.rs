//! The client's side: [`Connector`].

use std::fmt;
use std::io::{self, ErrorKind};
#[cfg(feature = "ring")]
use std::path::Path;
use std::sync::Arc;

use chat::{Chat, Endpoint, InetName, InputPending, Transport};
#[cfg(feature = "ring")]
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

#[cfg(feature = "ring")]
use crate::pem;
use crate::tls::{Tls, invalid};

/// The client's side of TLS, with the authorities that it trusts.
#[derive(Clone)]
pub struct Connector {
    config: Arc<ClientConfig>,
    is_lenient: bool,
}

impl Connector {
    /// Connects by a configuration of rustls', whose cryptography it uses.
    pub fn new(config: impl Into<Arc<ClientConfig>>) -> Self {
        Self {
            config: config.into(),
            is_lenient: false,
        }
    }

    /// Trusts the authorities whose certificates are in a PEM file, such as
    /// `/etc/ssl/certs/ca-certificates.crt`. The protocol is TLS 1.2 or 1.3, the cryptography
    /// is ring's.
    ///
    /// # Errors
    ///
    /// The operating system's. `InvalidData` if the file has no certificate, or one that
    /// cannot be used.
    #[cfg(feature = "ring")]
    pub fn from_pem_file(authorities: impl AsRef<Path>) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        for authority in pem::certificates(authorities.as_ref())? {
            roots.add(authority).map_err(invalid)?;
        }
        let provider = rustls::crypto::ring::default_provider();
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .map_err(invalid)?;
        let config = config.with_root_certificates(roots).with_no_client_auth();
        Ok(Self::new(config))
    }

    /// Sets whether a server may end its output without saying so: see
    /// [`Tls::set_lenient`]. By default it may not.
    #[must_use]
    pub fn lenient(mut self, is_lenient: bool) -> Self {
        self.is_lenient = is_lenient;
        self
    }

    /// A connection to this host and port, as [`Endpoint::connect`]. The server must have a
    /// certificate for `host`. The channel made of it gets `handle_connect` after the
    /// handshake.
    pub fn connect(&self, host: &str, port: u16) -> Endpoint {
        self.over(host, Endpoint::connect(InetName::from((host, port))))
    }

    /// Puts TLS over another connection, or one that is under way. The server must have a
    /// certificate for `host`, a name or an address.
    ///
    /// # Errors
    ///
    /// None here: a `host` that is neither is `InvalidInput` when TLS begins.
    pub fn over(&self, host: &str, endpoint: impl Into<Endpoint>) -> Endpoint {
        let (this, host) = (self.clone(), host.to_owned());
        endpoint
            .into()
            .with_layer(move |lower| this.layer(host, lower))
    }

    /// Starts TLS on a channel that is at work, when the server has agreed to it. The server
    /// must have a certificate for `host`. Nothing that was received before may count as
    /// secure: forget what the server has said of itself.
    ///
    /// # Errors
    ///
    /// [`InputPending`]: see [`Chat::put_layer`]. A server that says more than that it agrees
    /// is not to be trusted.
    pub fn start_tls(&self, host: &str, chat: &mut Chat) -> Result<(), InputPending> {
        let (this, host) = (self.clone(), host.to_owned());
        chat.put_layer(move |lower| this.layer(host, lower))
    }

    fn layer(&self, host: String, lower: Box<dyn Transport>) -> io::Result<Box<dyn Transport>> {
        let host = ServerName::try_from(host)
            .map_err(|error| io::Error::new(ErrorKind::InvalidInput, error))?;
        let config = Arc::clone(&self.config);
        let connection = ClientConnection::new(config, host).map_err(invalid)?;
        let mut tls = Tls::new(lower, connection);
        tls.set_lenient(self.is_lenient);
        Ok(Box::new(tls))
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}
