//! Connects by TLS, if the program was built with it.

use chat::{Endpoint, Result};

/// The authorities of the system, where Debian, Alpine and others have them.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Whom `https` trusts: the authorities of a file, which is read when the first such URL
/// comes.
pub(crate) struct Connector {
    file: String,
    #[cfg(feature = "tls")]
    tls: std::cell::OnceCell<tls::Connector>,
}

impl Connector {
    pub(crate) fn new(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            #[cfg(feature = "tls")]
            tls: std::cell::OnceCell::new(),
        }
    }

    /// A server that ends the connection without a word of TLS is an error: where an answer
    /// ends with the connection, an attacker could have cut it short.
    #[cfg(feature = "tls")]
    pub(crate) fn connect(&self, host: &str, port: u16) -> Result<Endpoint> {
        if self.tls.get().is_none() {
            let _ = self.tls.set(tls::Connector::from_pem_file(&self.file)?);
        }
        let tls = self.tls.get().ok_or("no TLS")?;
        Ok(tls.connect(host, port))
    }

    #[cfg(not(feature = "tls"))]
    pub(crate) fn connect(&self, _: &str, _: u16) -> Result<Endpoint> {
        let file = &self.file;
        Err(format!("no TLS was built in, to trust {file}: build with --features tls").into())
    }
}

impl Default for Connector {
    fn default() -> Self {
        Self::new(AUTHORITIES)
    }
}
