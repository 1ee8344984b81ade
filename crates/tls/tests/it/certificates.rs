//! Certificates for the tests, made once.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::{env, fs, process};

use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, KeyPair};
use tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tls::rustls::{ClientConfig, RootCertStore, ServerConfig};

/// An authority.
struct Authority {
    certificate: Certificate,
    key: KeyPair,
}

static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::CommonName, "an authority");
    let certificate = params.self_signed(&key).unwrap();
    Authority { certificate, key }
});

static SERVER: LazyLock<Identity> = LazyLock::new(|| Identity::issued("localhost"));

/// A certificate and its key.
pub(crate) struct Identity {
    certificate: Certificate,
    key: KeyPair,
}

impl Identity {
    /// Of this name, by the authority.
    pub(crate) fn issued(name: &str) -> Self {
        Self::issued_with(name, |_| ())
    }

    pub(crate) fn issued_with(name: &str, f: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = params(name);
        f(&mut params);
        let certificate = params.signed_by(&key, &AUTHORITY.certificate, &AUTHORITY.key);
        let certificate = certificate.unwrap();
        Self { certificate, key }
    }

    /// By nobody.
    pub(crate) fn self_signed(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = params(name).self_signed(&key).unwrap();
        Self { certificate, key }
    }

    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.der().clone()]
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.serialize_der()).unwrap()
    }

    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        let config = ServerConfig::builder().with_no_client_auth();
        Arc::new(config.with_single_cert(self.chain(), self.key()).unwrap())
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.into()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

pub(crate) fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(AUTHORITY.certificate.der().clone()).unwrap();
    roots
}

pub(crate) fn server() -> Arc<ServerConfig> {
    SERVER.server()
}

pub(crate) fn client() -> Arc<ClientConfig> {
    let config = ClientConfig::builder().with_root_certificates(roots());
    Arc::new(config.with_no_client_auth())
}

/// The authority, the server's certificate and its key, in files.
pub(crate) fn files() -> &'static [PathBuf; 3] {
    static FILES: LazyLock<[PathBuf; 3]> = LazyLock::new(|| {
        [
            file("ca.pem", &AUTHORITY.certificate.pem()),
            file("cert.pem", &SERVER.certificate.pem()),
            file("key.pem", &SERVER.key.serialize_pem()),
        ]
    });
    &FILES
}

/// A client's certificate and key, in one file, and those of one that nobody knows.
pub(crate) fn client_files() -> &'static [PathBuf; 2] {
    static FILES: LazyLock<[PathBuf; 2]> = LazyLock::new(|| {
        let both = |identity: Identity| {
            let (certificate, key) = (&identity.certificate, &identity.key);
            certificate.pem() + &key.serialize_pem()
        };
        [
            file("client.pem", &both(Identity::issued("ada"))),
            file("stranger.pem", &both(Identity::self_signed("eve"))),
        ]
    });
    &FILES
}

fn file(name: &str, pem: &str) -> PathBuf {
    let place = env::temp_dir().join(format!("tls-{}", process::id()));
    fs::create_dir_all(&place).unwrap();
    let path = place.join(name);
    fs::write(&path, pem).unwrap();
    path
}
