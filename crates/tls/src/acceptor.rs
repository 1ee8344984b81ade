//! The server's side: [`Acceptor`].

use std::fmt;
use std::io;
#[cfg(feature = "ring")]
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use chat::{Chat, Endpoint, InputPending, Transport};
use rustls::{ServerConfig, ServerConnection};

#[cfg(feature = "ring")]
use crate::pem;
use crate::tls::{Tls, invalid};

/// The server's side of TLS, with its certificates. A clone is the same one, on any thread.
#[derive(Clone)]
pub struct Acceptor {
    config: Arc<RwLock<Arc<ServerConfig>>>,
    is_lenient: bool,
}

impl Acceptor {
    /// Accepts by a configuration of rustls', whose cryptography it uses.
    pub fn new(config: impl Into<Arc<ServerConfig>>) -> Self {
        Self {
            config: Arc::new(RwLock::new(config.into())),
            is_lenient: false,
        }
    }

    /// Accepts with the certificates of a PEM file, the server's own first, and with the private
    /// key of another. Clients are asked for no certificate. The protocol is TLS 1.2 or 1.3, the
    /// cryptography is ring's.
    ///
    /// # Errors
    ///
    /// The operating system's. `InvalidData` if a file has nothing of that kind, or if the
    /// key is not that of the first certificate.
    #[cfg(feature = "ring")]
    pub fn from_pem_files(
        certificates: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> io::Result<Self> {
        let chain = pem::certificates(certificates.as_ref())?;
        let key = pem::key(key.as_ref())?;
        let provider = rustls::crypto::ring::default_provider();
        let config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key));
        let mut config = config.map_err(invalid)?;
        config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(invalid)?;
        Ok(Self::new(config))
    }

    /// Sets whether a client may end its output without saying so: see
    /// [`Tls::set_lenient`]. By default it may not.
    #[must_use]
    pub fn lenient(mut self, is_lenient: bool) -> Self {
        self.is_lenient = is_lenient;
        self
    }

    /// Replaces the configuration, such as a certificate that was renewed, in all clones.
    /// Connections that are there, or under way, keep the one that they have.
    pub fn replace(&self, config: impl Into<Arc<ServerConfig>>) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config.into();
    }

    /// Puts TLS over a connection that a listener has accepted. The channel made of it gets
    /// `handle_connect` after the handshake.
    pub fn accept(&self, stream: impl Into<Endpoint>) -> Endpoint {
        let this = self.clone();
        stream.into().with_layer(move |lower| this.layer(lower))
    }

    /// Starts TLS on a channel that is at work, as SMTP's `STARTTLS` (RFC 3207). Push the
    /// answer that says so before: it leaves in the clear.
    ///
    /// # Errors
    ///
    /// [`InputPending`]: see [`Chat::put_layer`].
    pub fn start_tls(&self, chat: &mut Chat) -> Result<(), InputPending> {
        let this = self.clone();
        chat.put_layer(move |lower| this.layer(lower))
    }

    fn layer(&self, lower: Box<dyn Transport>) -> io::Result<Box<dyn Transport>> {
        let connection = ServerConnection::new(self.config()).map_err(invalid)?;
        let mut tls = Tls::new(lower, connection);
        tls.set_lenient(self.is_lenient);
        Ok(Box::new(tls))
    }

    fn config(&self) -> Arc<ServerConfig> {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&config)
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").finish_non_exhaustive()
    }
}
