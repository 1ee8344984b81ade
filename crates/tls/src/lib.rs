//! TLS.
mod acceptor;
mod connector;
#[cfg(feature = "ring")]
mod pem;
mod tls;

pub use acceptor::Acceptor;
pub use connector::Connector;
pub use rustls;
pub use tls::Tls;
