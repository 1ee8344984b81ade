//! Certificates and keys in PEM files (RFC 7468).

use std::io::{self, ErrorKind};
use std::path::Path;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// All certificates of a file; at least one.
pub(crate) fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let all = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    match all {
        Ok(all) if Vec::is_empty(&all) => Err(error(path, "certificate", pem::Error::NoItemsFound)),
        Ok(all) => Ok(all),
        Err(cause) => Err(error(path, "certificate", cause)),
    }
}

/// The first private key of a file: PKCS #8, PKCS #1 or SEC 1.
pub(crate) fn key(path: &Path) -> io::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(path).map_err(|cause| error(path, "private key", cause))
}

fn error(path: &Path, what: &str, cause: pem::Error) -> io::Error {
    let kind = match &cause {
        pem::Error::Io(error) => error.kind(),
        _ => ErrorKind::InvalidData,
    };
    let path = path.display();
    io::Error::new(kind, format!("no {what} in {path}: {cause}"))
}
