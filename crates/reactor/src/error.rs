//! The errors of callbacks and of `insert`.

use std::fmt;
use std::io;

/// What a callback fails with: any error at all.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// What a callback returns.
///
/// An `Err` is the documents' uncaught exception: it goes to the channel's own
/// `handle_error`, which logs it and closes the channel unless it is
/// overridden.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// A channel that could not be inserted, handed back with the reason.
///
/// What [`ChannelMap::try_insert`](crate::ChannelMap::try_insert) fails with.
#[derive(Debug)]
pub struct InsertError<C> {
    /// The channel, unharmed and not registered.
    pub channel: C,
    /// What the operating system said: `EPERM` for a regular file, `EEXIST`
    /// for a descriptor that is in the map already, `ENOSPC` at the limit of
    /// watches (`epoll_ctl(2)`). Or `Other`: the map was shut down.
    pub error: io::Error,
}

impl<C> fmt::Display for InsertError<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot watch the channel: {}", self.error)
    }
}

impl<C: fmt::Debug> std::error::Error for InsertError<C> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// `run` or `turn` was called while the map was turning already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NestedTurn;

impl fmt::Display for NestedTurn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the map is turning already: a callback cannot run its own loop")
    }
}

impl std::error::Error for NestedTurn {}
