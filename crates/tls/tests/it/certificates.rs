//! Certificates for the tests, made once.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::{env, fs, process};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};
use tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tls::rustls::{ClientConfig, RootCertStore, ServerConfig};

struct Made {
    ca_pem: String,
    server_pem: String,
    key_pem: String,
    ca: CertificateDer<'static>,
    server: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

static MADE: LazyLock<Made> = LazyLock::new(|| {
    let ca_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::CommonName, "an authority");
    let ca = params.self_signed(&ca_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, "a server");
    let server = params.signed_by(&key, &ca, &ca_key).unwrap();
    Made {
        ca_pem: ca.pem(),
        server_pem: server.pem(),
        key_pem: key.serialize_pem(),
        ca: ca.der().clone(),
        server: server.der().clone(),
        key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
    }
});

pub(crate) fn server() -> Arc<ServerConfig> {
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![MADE.server.clone()], MADE.key.clone_key());
    Arc::new(config.unwrap())
}

pub(crate) fn client() -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(MADE.ca.clone()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots);
    Arc::new(config.with_no_client_auth())
}

/// The authority, the server's certificate and its key, in files.
pub(crate) fn files() -> &'static [PathBuf; 3] {
    static FILES: LazyLock<[PathBuf; 3]> = LazyLock::new(|| {
        let place = env::temp_dir().join(format!("tls-{}", process::id()));
        fs::create_dir_all(&place).unwrap();
        [
            ("ca.pem", &MADE.ca_pem),
            ("cert.pem", &MADE.server_pem),
            ("key.pem", &MADE.key_pem),
        ]
        .map(|(name, pem)| {
            let path = place.join(name);
            fs::write(&path, pem).unwrap();
            path
        })
    });
    &FILES
}
