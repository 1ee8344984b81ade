//! The I/O object that a poller watches, and all of the crate's `unsafe`.
//!
//! A poller must forget a file descriptor before the descriptor is closed;
//! `polling` makes that the caller's promise, by an unsafe `add`. The types
//! here keep it for everything that owns its descriptor:
//!
//! - a [`Source`] owns the I/O object, lends it by shared reference only, and
//!   drops its [`Registration`] first;
//! - a `Registration` cannot be made, moved out or cloned by anyone else, so
//!   whoever holds `&Registration` holds a live `Source`;
//! - dropping it takes the descriptor out of the poller.
//!
//! The map shares the registration's [`Link`], so that it can also withdraw a
//! source that left its channel without being dropped.

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
/// And it must own its descriptor, as sockets and files do. If somebody replaces what
/// is under its number (standard input, by `dup2(2)`), the poller goes on watching the
/// old file as long as that is open anywhere, and nothing can end it. Its events reach
/// the channel while it lives, and then nobody; where `usize` has 32 bits, they reach
/// the channel that comes into its slot. The loop warns once, and turns a thousand
/// times a second while they come. So take such a source out of its channel first.
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
    /// Whether a poller watches the source for the channel `me`. For a channel that
    /// may have replaced its source, and says whether it is
    /// as before ([`Channel::flush`](crate::Channel::flush)).
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

/// What the map keeps of a channel's source: the entry in the poller.
#[derive(Default)]
pub(crate) struct Watch(Option<Rc<Link>>);

impl Watch {
    /// Makes `poller` report `interest` in what the channel `owner` has registered
    /// now, under its key, and only that: the poller forgets what it had before,
    /// and another poller forgets this. An empty interest takes it out, for in level
    /// mode even a silent entry still reports errors and hang-ups.
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

    /// Whether this is the entry of what the channel has registered now.
    pub(crate) fn follows(&self, registration: Option<&Registration>) -> bool {
        let present = registration.map(|registration| Rc::as_ptr(&registration.link));
        self.0.as_ref().map(Rc::as_ptr) == present
    }

    /// A one-shot poller reported the source.
    pub(crate) fn spend(&self) {
        if let Some(link) = &self.0 {
            link.interest.set(Readiness::NONE);
        }
    }

    /// Forgets the source, and has the source forget its poller, which does not hear
    /// of it.
    pub(crate) fn abandon(&mut self) {
        if let Some(link) = self.0.take() {
            link.interest.set(Readiness::NONE);
            link.owner.set(Token::NONE);
            link.poller.take();
        }
    }

    /// Takes the source out of its poller, unless another channel than `owner` has
    /// it by now.
    pub(crate) fn end(&mut self, owner: Token) {
        if let Some(link) = self.0.take_if(|link| link.owner.get() == owner) {
            link.disarm();
        }
    }
}

/// The part of a registration that the map shares.
///
/// `poller` is there exactly while it watches `raw`. It comes only in
/// [`Watch::follow`], that is, while the source lives, and goes at the latest
/// when the source is dropped or taken apart: so `raw` is open whenever it is
/// used.
struct Link {
    raw: RawHandle,
    /// What the poller reports at present: nothing, if there is none, and after
    /// a one-shot event.
    interest: Cell<Readiness>,
    /// Whose events they are; it tells the poller, too, for no two channels of a
    /// process have the same token.
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
        let event = Event::new(
            owner.key().0 as usize,
            interest.contains(Readiness::READABLE),
            interest.contains(Readiness::WRITABLE),
        );
        match watching {
            Some(watching) => {
                if let Err(error) = poller.modify_with_mode(self.borrow(), event, mode) {
                    // Rather deaf than called without end for what it wanted before.
                    self.delete(&watching);
                    return Err(error);
                }
                self.poller.set(Some(watching));
            }
            None => {
                // SAFETY: the descriptor is open, as `arm` is reached through a
                // `Registration` and thus a live `Source`, and it is deleted
                // before it is closed: by the `Registration`'s drop.
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
        // SAFETY: called only while a poller watches `raw`, or did until now,
        // which the type's invariant ties to the life of the source that owns
        // the descriptor.
        unsafe { BorrowedHandle::borrow_raw(self.raw) }
    }
}
