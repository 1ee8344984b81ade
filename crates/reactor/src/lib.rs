//! A single-threaded event loop: one explicit channel map, plain `&mut self`
//! handlers.
//!
//! Channels live in a [`ChannelMap`]. The map polls them and calls each with its
//! events, like the loop of CPython's
//! [`asyncore`](https://docs.python.org/3.11/library/asyncore.html). This crate knows
//! no sockets and no protocols. Most programs depend on the `chat` crate, which
//! provides channel types for those; depend on `reactor` to write a new kind of
//! channel.
//!
//! - [`ChannelMap`]: the channels, and the loop.
//! - [`Channel`]: the trait of everything in the map.
//! - [`Token`], [`Handle`]: names of channels. A name that outlives its channel finds
//!   nothing.
//! - [`Source`], [`Registration`]: an I/O object and its entry in the poller.
//! - [`Timer`]: deadlines of channels. [`TimerChannel`]: a channel with nothing else.
//! - [`State`]: the name of a value that channels share.
//! - [`ChannelEntry`], [`Statistics`]: a look at the channels, and at the loop.
//! - [`Remote`]: work from other threads.
//!
//! # One turn
//!
//! 1. **Settle**: each channel that was called or touched since the last settle sends
//!    its queued output ([`Channel::settle`]) and states the events it wants. The map
//!    passes changes on to the poller.
//! 2. **Wait** until an event or the next deadline. The loop does not sleep if work
//!    is pending.
//! 3. **Dispatch**: callbacks run one after the other, each with `&mut` access to
//!    its channel and to the map. A channel closed meanwhile gets its
//!    [`handle_close`](Channel::handle_close), and [posts](ChannelMap::post) run, before
//!    the next event.
//! 4. **Timers** that are due fire, then **remote** work runs.
//!
//! # Example
//!
//! A channel that counts the bytes it receives:
//!
//! ```
//! use std::io::{Read, Write};
//! use std::os::unix::net::UnixStream;
//! use reactor::{Channel, ChannelMap, Registration, Result, Source, Token};
//!
//! #[derive(Debug)]
//! struct Counter {
//!     stream: Source<UnixStream>,
//!     bytes: usize,
//! }
//!
//! impl Channel for Counter {
//!     fn registration(&self) -> Option<&Registration> {
//!         Some(self.stream.registration())
//!     }
//!
//!     fn handle_read_event(&mut self, _me: Token, map: &mut ChannelMap) -> Result {
//!         let mut buffer = map.buffers().read_buffer();
//!         self.bytes += (&*self.stream).read(&mut buffer)?;
//!         Ok(())
//!     }
//! }
//!
//! let (ours, mut theirs) = UnixStream::pair()?;
//! ours.set_nonblocking(true)?;
//!
//! let mut map = ChannelMap::new()?;
//! let counter = map.insert(Counter { stream: Source::new(ours), bytes: 0 })?;
//! theirs.write_all(b"12345")?;
//! map.turn(None)?;
//! assert_eq!(map.get(counter).unwrap().bytes, 5);
//! # Ok::<(), reactor::Error>(())
//! ```
//!
//! # Safety
//!
//! All `unsafe` code of this crate is in `source.rs`. It registers descriptors with
//! the poller, and removes each before it closes.
//!
//! # What it costs
//!
//! The cost of a turn grows with the active channels, not with all of them. Among 5,000
//! idle connections, an echoed line takes 1.01 times the instructions that it takes
//! alone (`docs/performance.md`).
//!
//! # When not to use it
//!
//! Use an async runtime such as tokio for async libraries or for many cores in one
//! process. A callback must not block: every channel of the map would wait.
//!
//! # Requirements
//!
//! Rust 1.86 or later. Linux is tested; other systems are untried.

mod channel;
mod close_reason;
mod error;
mod map;
mod readiness;
mod remote;
mod source;
mod timer_channel;
mod token;

pub use channel::Channel;
pub use close_reason::{CloseReason, Deadline};
pub use error::{Absent, Error, InsertError, NestedTurn, Result};
pub use map::{
    Buffers, Call, ChannelEntry, ChannelMap, ChannelMut, Measured, Moment, Opening, ReadBuffer,
    State, Statistics, Timer,
};
pub use readiness::Readiness;
pub use remote::{Remote, RemoteError};
pub use source::{Registration, Source};
pub use timer_channel::TimerChannel;
pub use token::{Handle, InvalidToken, Token};
