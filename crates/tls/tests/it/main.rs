//! The behaviour of `tls` through its public API.

mod certificates;
mod channels;
mod dispatchers;
mod foreign;
mod handshake;
mod late;
mod pipe;
mod rig;
mod same;
mod starttls;
mod transport;
