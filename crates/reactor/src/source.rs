//! The I/O object that a poller watches, and all of the crate's `unsafe`.
//!
//! A poller must forget a file descriptor before the descriptor is closed. `polling`
//! leaves that to its caller, by an unsafe `add`. The types here ensure it for every
//! object that owns its descriptor:
//!
//! - A [`Source`] owns the I/O object, lends it by shared reference only, and drops its
//!   [`Registration`] first.
//! - Only a `Source` can make a `Registration`, and nothing can clone it or move it out.
//!   So `&Registration` proves that its `Source` is alive.
//! - Dropping a `Registration` takes the descriptor out of the poller.
//!
//! The map shares the registration's [`Link`]. So it can withdraw a source that left its
//! channel without being dropped.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::fmt;
use std::io;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use polling::{Event, PollMode, Poller};

use crate::readiness::Readiness;
use crate::token::Token;

use os::{AsHandle, BorrowedHandle, RawHandle};

/// The operating system's names: a descriptor here, a socket on Windows.
#[cfg(unix)]
mod os {
    pub(super) use std::os::fd::{
        AsFd as AsHandle, BorrowedFd as BorrowedHandle, RawFd as RawHandle,
    };

    pub(super) fn raw(io: &impl AsHandle) -> RawHandle {
        std::os::fd::AsRawFd::as_raw_fd(&io.as_fd())
    }
}

/// The operating system's names: a socket here, a descriptor on Unix.
#[cfg(windows)]
mod os {
    pub(super) use std::os::windows::io::{
        AsSocket as AsHandle, BorrowedSocket as BorrowedHandle, RawSocket as RawHandle,
    };

    pub(super) fn raw(io: &impl AsHandle) -> RawHandle {
        std::os::windows::io::AsRawSocket::as_raw_socket(&io.as_socket())
    }
}

/// An I/O object together with its registration. A channel owns this instead of the
/// bare socket.
///
/// It derefs to `&S` and never to `&mut S`, so the object cannot be replaced
/// while a poller watches it; `Read` and `Write` are implemented for `&S` by
/// the types that matter (`&TcpStream`, `&UnixStream`, `&Socket`). To take
/// another object, replace the whole source: the map notices.
///
/// The object must be in non-blocking mode; this type does not set it.
///
/// It must own its descriptor, as sockets and files do. If `dup2(2)` puts another file
/// under its number (standard input's, for example), the poller goes on watching the old
/// file as long as that is open anywhere, and nothing can end it. The events reach the
/// channel while it lives, and no channel afterwards; where `usize` has 32 bits, they
/// reach the slot's next channel. The loop warns once, and turns a thousand times a second
/// while they come. So take such a source out of its channel first.
///
/// ```
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
/// use reactor::Source;
///
/// let (ours, mut theirs) = UnixStream::pair()?;
/// let source = Source::new(ours);
/// theirs.write_all(b"hello")?;
/// let mut buffer = [0; 16];
/// let n = (&*source).read(&mut buffer)?;
/// assert_eq!(&buffer[..n], b"hello");
/// let _stream: UnixStream = source.into_inner();
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Source<S> {
    // Fields are dropped in this order: the registration before the descriptor.
    registration: Registration,
    io: S,
}

impl<S: AsHandle> Source<S> {
    /// Wraps `io`; nothing is registered until a channel that owns the source
    /// is inserted into a map.
    pub fn new(io: S) -> Self {
        Self {
            registration: Registration {
                link: Rc::new(Link {
                    raw: os::raw(&io),
                    interest: Cell::new(Readiness::NONE),
                    owner: Cell::new(Token::NONE),
                    poller: Cell::new(None),
                }),
            },
            io,
        }
    }
}

impl<S> Source<S> {
    /// Removes the object from the poller and returns it.
    pub fn into_inner(self) -> S {
        let Self { registration, io } = self;
        drop(registration);
        io
    }

    /// The registration, which [`Channel::registration`](crate::Channel::registration)
    /// lends to the map.
    #[inline]
    pub fn registration(&self) -> &Registration {
        &self.registration
    }
}

impl<S> Deref for Source<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.io
    }
}

impl<S: fmt::Debug> fmt::Debug for Source<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(&self.io).finish()
    }
}

/// A [`Source`]'s entry in a poller.
///
/// Only a source has one. A channel lends it to the map, which keeps it in step with
/// the events that the channel wants.
pub struct Registration {
    link: Rc<Link>,
}

impl Registration {
    /// Whether a poller watches the source for the channel `me`. A channel that may have
    /// replaced its source asks this in [`Channel::flush`](crate::Channel::flush).
    pub fn is_watched_for(&self, me: Token) -> bool {
        self.link.owner.get() == me
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.link.disarm();
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration")
            .field("raw", &self.link.raw)
            .field("interest", &self.link.interest.get())
            .finish()
    }
}

/// The map's share of a channel's source: its entry in the poller.
#[derive(Default)]
pub(crate) struct Watch(Option<Rc<Link>>);

impl Watch {
    /// Makes `poller` report `interest` in the channel's present registration, under the
    /// key of `owner`. The poller forgets the channel's former source, and any other
    /// poller forgets this one. An empty interest takes the source out, since in level
    /// mode even an empty entry reports errors and hang-ups.
    pub(crate) fn follow(
        &mut self,
        registration: Option<&Registration>,
        poller: &Arc<Poller>,
        owner: Token,
        interest: Readiness,
    ) -> io::Result<()> {
        let present = registration.map(|registration| &registration.link);
        if !self.follows(registration) {
            self.end(owner);
            self.0 = present.cloned();
        }
        match present {
            Some(link) if link.interest.get() != interest || link.owner.get() != owner => {
                link.arm(poller, owner, interest)
            }
            _ => Ok(()),
        }
    }

    /// Whether this is the entry of the channel's present registration.
    pub(crate) fn follows(&self, registration: Option<&Registration>) -> bool {
        let present = registration.map(|registration| Rc::as_ptr(&registration.link));
        self.0.as_ref().map(Rc::as_ptr) == present
    }

    /// Notes that a one-shot poller has reported the source, and watches it no more.
    pub(crate) fn spend(&self) {
        if let Some(link) = &self.0 {
            link.interest.set(Readiness::NONE);
        }
    }

    /// Forgets the source, and has the source forget its poller. The poller itself is
    /// not called.
    pub(crate) fn abandon(&mut self) {
        if let Some(link) = self.0.take() {
            link.interest.set(Readiness::NONE);
            link.owner.set(Token::NONE);
            link.poller.take();
        }
    }

    /// Takes the source out of its poller, unless it belongs to another channel than
    /// `owner` by now.
    pub(crate) fn end(&mut self, owner: Token) {
        if let Some(link) = self.0.take_if(|link| link.owner.get() == owner) {
            link.disarm();
        }
    }
}

/// The part of a registration that the map shares.
///
/// `poller` is set exactly while that poller watches `raw`. Only [`Watch::follow`] sets
/// it, while the source lives. It is cleared when the source is dropped or taken apart,
/// at the latest. So `raw` is open whenever it is used.
struct Link {
    raw: RawHandle,
    /// The events that the poller reports at present. `NONE` without a poller, and after
    /// a one-shot event.
    interest: Cell<Readiness>,
    /// The channel that gets the events. It implies the poller, since no two channels of
    /// a process have the same token.
    owner: Cell<Token>,
    poller: Cell<Option<Arc<Poller>>>,
}

impl Link {
    /// Takes the source out of its poller, if it is in one.
    fn disarm(&self) {
        if let Some(poller) = self.poller.take() {
            self.delete(&poller);
        }
    }

    fn arm(&self, poller: &Arc<Poller>, owner: Token, interest: Readiness) -> io::Result<()> {
        let mode = match poller.supports_level() {
            true => PollMode::Level,
            false => PollMode::Oneshot,
        };
        let watching = match self.poller.take() {
            Some(present) if Arc::ptr_eq(&present, poller) => Some(present),
            Some(stranger) => {
                self.delete(&stranger);
                None
            }
            None => None,
        };
        if interest.is_empty() {
            if let Some(watching) = watching {
                self.delete(&watching);
            }
            return Ok(());
        }
        let mut event = Event::new(
            owner.key().0 as usize,
            interest.contains(Readiness::READABLE),
            interest.contains(Readiness::WRITABLE),
        );
        event.set_interrupt(interest.contains(Readiness::HANG_UP));
        match watching {
            Some(watching) => {
                if let Err(error) = poller.modify_with_mode(self.borrow(), event, mode) {
                    // The old entry would report for ever what the channel no longer wants.
                    self.delete(&watching);
                    return Err(error);
                }
                self.poller.set(Some(watching));
            }
            None => {
                // SAFETY: the descriptor is open, since `arm` is reached only through a
                // `Registration`, whose `Source` is alive. The `Registration`'s drop
                // deletes it from the poller before it is closed.
                unsafe { poller.add_with_mode(self.raw, event, mode)? };
                self.poller.set(Some(Arc::clone(poller)));
            }
        }
        self.interest.set(interest);
        self.owner.set(owner);
        Ok(())
    }

    fn delete(&self, poller: &Poller) {
        self.interest.set(Readiness::NONE);
        self.owner.set(Token::NONE);
        if let Err(error) = poller.delete(self.borrow()) {
            log::warn!("the poller does not know descriptor {}: {error}", self.raw);
        }
    }

    fn borrow(&self) -> BorrowedHandle<'_> {
        // SAFETY: called only while a poller watches `raw`, or did until just now. By the
        // type's invariant the source that owns the descriptor is alive then.
        unsafe { BorrowedHandle::borrow_raw(self.raw) }
    }
}
