//! The errors of callbacks and of `insert`.

use std::fmt;
use std::io;

/// The error of a callback: any error type, boxed.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The result of a callback.
///
/// An `Err` corresponds to an uncaught exception in asyncore. It goes to the channel's
/// own `handle_error`, which by default logs it and closes the channel.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// A channel that could not be inserted, with the reason: the error of
/// [`ChannelMap::try_insert`](crate::ChannelMap::try_insert).
#[derive(Debug)]
pub struct InsertError<C> {
    /// The channel, unharmed and not registered.
    pub channel: C,
    /// The error of the channel's [`open`](crate::Channel::open). The operating system's, if
    /// the poller refuses the channel: `EPERM` for a regular file, `EEXIST` for a
    /// descriptor that is already in the map, `ENOSPC` at the limit of watches
    /// (`epoll_ctl(2)`). `Other` if the map was shut down.
    pub error: io::Error,
}

impl<C> fmt::Display for InsertError<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot insert the channel: {}", self.error)
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

/// Why a map does not give a channel or a [`State`](crate::State) out: the error of
/// [`ChannelMap::get`](crate::ChannelMap::get),
/// [`ChannelMap::state`](crate::ChannelMap::state) and their like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Absent {
    /// The channel is closed, the state was removed, or either belongs to another map.
    Closed,
    /// The channel is of another type than the handle says: it was converted.
    OtherType,
    /// The channel is inside one of its own callbacks, or lent by
    /// [`ChannelMap::with`](crate::ChannelMap::with):
    /// [`ChannelMap::post`](crate::ChannelMap::post) reaches it afterwards. Or the state is
    /// lent by [`ChannelMap::with_state`](crate::ChannelMap::with_state).
    InCallback,
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => {
                "the channel or state to be reached is closed, removed or in another map"
            }
            Self::OtherType => "the channel to be reached is of another type than its handle says",
            Self::InCallback => "the channel or state to be reached is inside a callback",
        })
    }
}

impl std::error::Error for Absent {}
