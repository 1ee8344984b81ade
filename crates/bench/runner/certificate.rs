//! The certificate of the servers that speak TLS, made for each run.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use crate::Result;

/// The name that it is for.
pub const HOST: &str = "localhost";

#[derive(Debug)]
pub struct Certificate {
    /// The certificate, and its key.
    files: [PathBuf; 2],
    trust: Arc<ClientConfig>,
}

impl Certificate {
    /// Makes one of ECDSA with P-256, as most servers have, and writes it to this folder.
    pub fn make(folder: &Path) -> Result<Self> {
        let made = rcgen::generate_simple_self_signed([HOST.to_owned()])?;
        let files = ["certificate.pem", "key.pem"].map(|name| folder.join(name));
        fs::write(&files[0], made.cert.pem())?;
        fs::write(&files[1], made.key_pair.serialize_pem())?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::clone(made.cert.der()))?;
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            files,
            trust: Arc::new(config),
        })
    }

    pub fn files(&self) -> &[PathBuf; 2] {
        &self.files
    }

    /// For clients of any kind.
    pub fn trust(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.trust)
    }

    /// For clients that resume each other's sessions, and nobody else's.
    pub fn trust_of_friends(&self) -> Arc<ClientConfig> {
        let mut config = ClientConfig::clone(&self.trust);
        config.resumption = Resumption::default();
        Arc::new(config)
    }

    /// For clients of which each is a stranger.
    pub fn trust_of_strangers(&self) -> Arc<ClientConfig> {
        let mut config = ClientConfig::clone(&self.trust);
        config.resumption = Resumption::disabled();
        Arc::new(config)
    }
}
