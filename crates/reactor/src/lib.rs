//! One thread, one explicit channel map, plain `&mut self` handlers.
//!
//! This is what CPython's `asyncore` called its loop: channels live in a map,
//! the map is polled, and the channels are called with their events. It knows
//! no sockets and no protocols; the `chat` crate has the channel types for
//! those, and is what most programs depend on.
//!
//! *The documents*, here and below, are Python's own on
//! [`asyncore`](https://docs.python.org/3.11/library/asyncore.html) and
//! [`asynchat`](https://docs.python.org/3.11/library/asynchat.html).
//!
//! - [`ChannelMap`]: the channels, and the loop.
//! - [`Channel`]: what everything in the map implements.
//! - [`Token`], [`Handle`]: names of channels, which outlive them safely.
//! - [`Source`], [`Registration`]: an I/O object and its entry in the poller.
//! - [`Timer`]: deadlines of channels. [`Remote`]: work from other threads.
//!
//! # One turn
//!
//! 1. **Settle**: each channel that was called or touched since sends what it
//!    has queued ([`Channel::settle`]) and says what it wants to hear of; the
//!    poller is told what changed.
//! 2. **Wait**, until an event or the next deadline; not at all if there is
//!    something to do.
//! 3. **Dispatch**: one callback after the other, each with `&mut` access to
//!    its channel and to the map. Channels that are closed meanwhile get their
//!    [`handle_close`](Channel::handle_close) before the next event.
//! 4. **Timers** that are due, then **remote** work.
//!
//! A turn costs by the channels that are active, not by those that are there.
//!
//! # Example
//!
//! A channel that counts bytes, turned without waiting for anything else:
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
//! All `unsafe` code of this crate is in `source.rs`: it registers descriptors
//! with the poller and sees to it that they are taken out before they close.

mod channel;
mod close_reason;
mod error;
mod map;
mod readiness;
mod remote;
mod source;
mod token;

pub use channel::Channel;
pub use close_reason::CloseReason;
pub use error::{Error, InsertError, NestedTurn, Result};
pub use map::{Buffers, ChannelMap, ChannelMut, ReadBuffer, Timer};
pub use readiness::Readiness;
pub use remote::{Remote, RemoteError};
pub use source::{Registration, Source};
pub use token::{Handle, Token};
