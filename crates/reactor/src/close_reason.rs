//! Why a channel was closed.

use std::fmt;
use std::io;

use crate::error::Error;

/// The reason of a close, an argument of
/// [`Channel::handle_close`](crate::Channel::handle_close).
#[derive(Debug)]
#[non_exhaustive]
pub enum CloseReason {
    /// The program closed it: [`ChannelMap::close`](crate::ChannelMap::close),
    /// [`close_all`](crate::ChannelMap::close_all) or the channel's own `close`.
    Requested,
    /// The channel sent all its output and closed, as the program had asked.
    Done,
    /// The peer closed its end.
    Eof,
    /// The operating system reported an error: connecting, reading, writing or
    /// registering failed. (The map retries a registration that fails for a
    /// shortage, such as `ENOMEM` or `ENOSPC`.)
    Io(io::Error),
    /// A callback returned an error, or the input was no message; the error went to
    /// `handle_error`.
    HandlerError,
    /// The peer sent more than its limit allows without ending a message.
    OverLimit,
    /// More output was queued than the limit, and when the loop last went to wait, the peer
    /// had not taken all that it was offered. A channel of the `chat` crate may have said
    /// goodbye, and closes when that has left.
    SlowReader,
    /// More output was queued than the limit, though when the loop last went to wait, the peer
    /// had taken all that it was offered: the program has queued more than the limit by itself,
    /// or more than a rate lets out. Otherwise as [`SlowReader`](Self::SlowReader).
    OutputOverLimit,
    /// The channel was closed to make room: the channels of the map held
    /// [too much memory](crate::ChannelMap::set_memory_cap), and this one most of it; or, in the
    /// `chat` crate, a newcomer was let in, and this one was idle for longest.
    Evicted,
    /// A deadline of the channel's limits was missed.
    Missed(Deadline),
    /// A time limit of the program's own expired. The map and its channels never give it.
    TimedOut,
    /// The map was [shut down](crate::ChannelMap::shut_down).
    Shutdown,
    /// A reason of the program's own, for [`close_with`](crate::ChannelMap::close_with).
    /// Displayed as that error. The map and its channels never make one.
    Other(Error),
}

/// What a peer did not do in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Deadline {
    /// To take the connection.
    Connect,
    /// To finish its part of a handshake, such as that of TLS.
    Handshake,
    /// To end a message that it had begun.
    Message,
    /// To take any of the output that is queued for it.
    Stall,
    /// To send or to take anything at all.
    Idle,
}

impl fmt::Display for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "the connection took too long",
            Self::Handshake => "the handshake took too long",
            Self::Message => "a message took too long",
            Self::Stall => "the peer took none of the output in time",
            Self::Idle => "nothing was sent or received for too long",
        })
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested => f.write_str("closed by the program"),
            Self::Done => f.write_str("everything was sent"),
            Self::Eof => f.write_str("closed by the peer"),
            Self::Io(error) => error.fmt(f),
            Self::HandlerError => f.write_str("a handler failed"),
            Self::OverLimit => f.write_str("too much input without an end of message"),
            Self::SlowReader => f.write_str("too much output that the peer did not read"),
            Self::OutputOverLimit => f.write_str("more output than its limit"),
            Self::Evicted => f.write_str("closed to make room"),
            Self::Missed(deadline) => deadline.fmt(f),
            Self::TimedOut => f.write_str("timed out"),
            Self::Shutdown => f.write_str("the map was shut down"),
            Self::Other(error) => error.fmt(f),
        }
    }
}
