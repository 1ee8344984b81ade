//! The behaviour of `tls` through its public API.

mod certificates;
mod channels;
mod configurations;
mod dispatchers;
mod ends;
mod foreign;
mod handshake;
mod late;
mod pipe;
mod rig;
mod same;
mod servers;
mod starttls;
mod tools;
mod transport;
