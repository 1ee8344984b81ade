//! What the programs of this package share: how a server starts, the raw loop
//! that is written once for three pollers, and a transport without sockets.

pub mod epoll;
#[cfg(feature = "contestants")]
pub mod hello;
pub mod long;
pub mod memory;
#[cfg(feature = "contestants")]
pub mod raw;
pub mod start;
#[cfg(feature = "contestants")]
pub mod store;
