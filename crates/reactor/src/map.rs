//! The channel map: who is in it, and how to reach them.
//!
//! How it turns is in `turn.rs`.

use std::any::TypeId;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use polling::{Events, PollMode, Poller};
use slab::Slab;

use crate::buffers::Buffers;
use crate::channel::{Channel, interest};
use crate::close_reason::CloseReason;
use crate::error::InsertError;
use crate::iter::ChannelMut;
use crate::readiness::Readiness;
use crate::remote::{Inbox, Remote};
use crate::slot::Slot;
use crate::taken_out::TakenOut;
use crate::timer::Timers;
use crate::token::{Handle, Token};

/// All channels of one loop: the documents' `socket_map`, and the loop itself.
///
/// A program makes one, inserts channels, and calls [`run`](Self::run). Every
/// callback gets the map as an argument, so that a channel can insert, reach,
/// close and convert others, and itself.
///
/// **No method of the map calls a handler**, but for the ones that turn it:
/// [`run`](Self::run), [`turn`](Self::turn) and their like. Closing a channel
/// hides it and queues its `handle_close`, which the loop calls once the
/// current callback has returned.
///
/// Dropping the map drops its channels; no callback is called.
///
/// # Which method, from where
///
/// | to | use |
/// |---|---|
/// | add a channel | [`insert`](Self::insert), [`try_insert`](Self::try_insert) |
/// | reach one | [`get`](Self::get), [`get_mut`](Self::get_mut) |
/// | reach one, and the map | [`with`](Self::with) |
/// | reach all | [`iter`](Self::iter), [`iter_mut`](Self::iter_mut) |
/// | end one, with its `handle_close` | [`close`](Self::close) |
/// | take one out, without | [`remove`](Self::remove) |
/// | make it another type | [`convert`](Self::convert) |
/// | be called later | [`set_timer`](Self::set_timer) |
/// | be called from another thread | [`remote`](Self::remote) |
/// | end the loop | [`stop`](Self::stop), [`drain`](Self::drain), [`close_all`](Self::close_all) |
#[doc(alias = "socket_map")]
pub struct ChannelMap {
    pub(crate) slots: Slab<Slot>,
    /// Channels that are not closing.
    pub(crate) open: usize,
    pub(crate) poller: Arc<Poller>,
    pub(crate) mode: PollMode,
    pub(crate) events: Events,
    /// Channels to be dispatched, each once.
    pub(crate) ready: Vec<Token>,
    /// Channels to be settled, each once. In a cell for `iter_mut`, whose
    /// guards add to it while they borrow the slots.
    pub(crate) touched: RefCell<Vec<Token>>,
    /// Channels that the last turn has dispatched, to be settled before those.
    pub(crate) dispatched: Vec<Token>,
    /// What a turn has taken out of one of the three, to go through it.
    pub(crate) batch: Vec<Token>,
    pub(crate) closing: VecDeque<(Token, CloseReason)>,
    pub(crate) timers: Timers,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) buffers: Buffers,
    pub(crate) now: Instant,
    pub(crate) turns: u64,
    /// Channels that `with` has lent.
    pub(crate) taken_out: usize,
    /// The channel that the turn is calling: when the turn is over, one that has
    /// panicked.
    pub(crate) calling: Option<Token>,
    /// That channel was closed or converted meanwhile.
    pub(crate) is_disturbed: bool,
    pub(crate) turning: bool,
    pub(crate) stopping: bool,
    pub(crate) drain_deadline: Option<Instant>,
}

impl ChannelMap {
    /// An empty map with a poller of its own (epoll, kqueue, event ports, IOCP
    /// or `poll(2)`, by the operating system).
    ///
    /// # Errors
    ///
    /// What the operating system says when it refuses a poller, for example
    /// `EMFILE`.
    pub fn new() -> io::Result<Self> {
        let poller = Arc::new(Poller::new()?);
        let mode = if poller.supports_level() {
            PollMode::Level
        } else {
            PollMode::Oneshot
        };
        Ok(Self {
            slots: Slab::new(),
            open: 0,
            mode,
            events: Events::new(),
            ready: Vec::new(),
            touched: RefCell::default(),
            dispatched: Vec::new(),
            batch: Vec::new(),
            closing: VecDeque::new(),
            timers: Timers::default(),
            inbox: Arc::new(Inbox::new(Arc::clone(&poller))),
            poller,
            buffers: Buffers::default(),
            now: Instant::now(),
            turns: 0,
            taken_out: 0,
            calling: None,
            is_disturbed: false,
            turning: false,
            stopping: false,
            drain_deadline: None,
        })
    }

    /// Adds a channel and registers it with the poller at once.
    ///
    /// # Errors
    ///
    /// What the operating system says when it cannot watch the channel; and
    /// `Other` after the deadline of a [drain](Self::drain), until the map is
    /// empty. The channel is dropped then, see [`try_insert`](Self::try_insert).
    #[doc(alias = "add_channel")]
    pub fn insert<C: Channel>(&mut self, channel: C) -> io::Result<Handle<C>> {
        self.try_insert(channel).map_err(|refused| refused.error)
    }

    /// Like [`insert`](Self::insert), but hands a refused channel back.
    ///
    /// # Errors
    ///
    /// See [`InsertError`].
    pub fn try_insert<C: Channel>(&mut self, channel: C) -> Result<Handle<C>, InsertError<C>> {
        if self.is_drain_overdue() {
            let error = io::Error::other("the map was drained");
            return Err(InsertError { channel, error });
        }
        let vacancy = self.slots.vacant_entry();
        let Ok(slot) = u32::try_from(vacancy.key()) else {
            let error = io::ErrorKind::OutOfMemory.into();
            return Err(InsertError { channel, error });
        };
        let token = Token::new(slot);
        let interest = interest(&channel, token);
        let mut link = None;
        if let Some(registration) = channel.registration() {
            // A channel that wants nothing yet is shown to the poller all the
            // same, so that it says now whether it can watch it.
            let shown = match interest {
                Readiness::NONE => Readiness::READABLE,
                interest => interest,
            };
            let armed = registration
                .arm(&self.poller, self.mode, token, shown)
                .and_then(|()| registration.arm(&self.poller, self.mode, token, interest));
            if let Err(error) = armed {
                registration.link().disarm();
                return Err(InsertError { channel, error });
            }
            link = Some(Rc::clone(registration.link()));
        }
        vacancy.insert(Slot {
            token,
            channel: Some(Box::new(channel)),
            kind: TypeId::of::<C>,
            conversion: None,
            link,
            interest,
            ready: Readiness::NONE,
            touched: false,
            closing: false,
            timers: None,
        });
        self.open += 1;
        self.touch(token);
        if self.is_draining() {
            self.make_ready(token, Readiness::DRAIN);
        }
        Ok(token.handle())
    }

    /// Takes a channel out, unregistered and with its timers cancelled. No
    /// callback is called.
    ///
    /// `None` if there is no such channel, or it is inside one of its own
    /// callbacks.
    #[doc(alias = "del_channel")]
    pub fn remove<C: Channel>(&mut self, handle: Handle<C>) -> Option<C> {
        let slot = self.slot_mut(handle.token)?;
        if !slot.is::<C>() || slot.channel.is_none() {
            return None;
        }
        let slot = self.vacate(handle.token)?;
        let channel = slot.channel?.into_any().downcast().ok()?;
        Some(*channel)
    }

    /// Closes a channel: it is hidden at once, and the loop calls its
    /// [`handle_close`](Channel::handle_close) when the current callback has
    /// returned (or, outside of a turn, in the next one) and drops it. Closes
    /// happen in the order they were asked for.
    ///
    /// Returns whether there was such a channel. Closing twice, or closing
    /// oneself, is no error.
    pub fn close(&mut self, channel: impl Into<Token>) -> bool {
        self.close_with(channel, CloseReason::Requested)
    }

    /// Like [`close`](Self::close), for a reason of the caller's.
    pub fn close_with(&mut self, channel: impl Into<Token>, reason: CloseReason) -> bool {
        let token = channel.into();
        let Some(slot) = self.slot_mut(token) else {
            return false;
        };
        slot.closing = true;
        self.open -= 1;
        self.closing.push_back((token, reason));
        self.is_disturbed |= self.calling == Some(token);
        true
    }

    /// Closes every channel, those inside a callback included.
    pub fn close_all(&mut self) {
        self.close_all_with(|| CloseReason::Requested);
    }

    /// Whether the channel is in the map and was not closed. A chat channel
    /// that still sends its rest is open.
    #[must_use]
    pub fn is_open(&self, channel: impl Into<Token>) -> bool {
        self.slot(channel.into()).is_some()
    }

    /// Whether a channel that is inside one of its callbacks should go on
    /// delivering what it has: it was neither closed nor
    /// [converted](Self::convert) by what it delivered so far.
    #[must_use]
    #[inline]
    pub fn may_continue(&self, me: Token) -> bool {
        match self.calling == Some(me) {
            true => !self.is_disturbed,
            false => self.is_undisturbed(me),
        }
    }

    /// The channel of this handle. `None` if it is closed, of another type, or
    /// inside one of its own callbacks.
    #[must_use]
    pub fn get<C: Channel>(&self, handle: Handle<C>) -> Option<&C> {
        self.slot(handle.token)?.get()
    }

    /// The channel of this handle, to change it; it is
    /// [touched](Self::touch). `None` as for [`get`](Self::get).
    pub fn get_mut<C: Channel>(&mut self, handle: Handle<C>) -> Option<&mut C> {
        let slot = open_slot(&mut self.slots, handle.token)?;
        slot.touch(self.touched.get_mut());
        slot.get_mut()
    }

    /// Calls `f` with a channel *and* the map, as a callback gets them; the
    /// channel is [touched](Self::touch).
    ///
    /// This is how a member reaches its room, and the room its other members.
    /// `None` as for [`get`](Self::get), and `f` is not called then. What `f`
    /// cannot reach is the channel itself, which it has.
    pub fn with<C: Channel, R>(
        &mut self,
        handle: Handle<C>,
        f: impl FnOnce(&mut C, &mut Self) -> R,
    ) -> Option<R> {
        if !self.slot(handle.token)?.is::<C>() {
            return None;
        }
        self.touch(handle.token);
        let mut out = TakenOut::new(self, handle.token)?;
        let (channel, map) = out.both();
        let result = f(channel.as_any_mut().downcast_mut()?, map);
        out.put_back();
        Some(result)
    }

    /// All channels that are neither closing nor inside a callback, in no
    /// particular order. Nothing is touched.
    pub fn iter(&self) -> impl Iterator<Item = (Token, &dyn Channel)> {
        self.slots.iter().filter_map(|(_, slot)| {
            let channel = slot.channel.as_ref().filter(|_| !slot.closing)?;
            Some((slot.token, channel.as_channel()))
        })
    }

    /// All channels of type `C` as [`iter`](Self::iter) finds them, to be
    /// changed; one is [touched](Self::touch) when it is first borrowed
    /// mutably.
    pub fn iter_mut<C: Channel>(&mut self) -> impl Iterator<Item = ChannelMut<'_, C>> {
        let touched = &self.touched;
        self.slots
            .iter_mut()
            .filter_map(|(_, slot)| ChannelMut::new(slot, touched))
    }

    /// How many channels are in the map and were not closed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open
    }

    /// Whether no channel is in the map but closed ones, which are to be told.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open == 0
    }

    /// Says that something outside of a channel changed what it would answer:
    /// before its next wait the loop settles it and asks what it wants. After
    /// a channel's own callbacks, and after `get_mut` and its like, that
    /// happens by itself.
    pub fn touch(&mut self, channel: impl Into<Token>) {
        let token = channel.into();
        if let Some(slot) = open_slot(&mut self.slots, token) {
            slot.touch(self.touched.get_mut());
        }
    }

    /// The time, as of this turn's events: the clock that timers go by. It is
    /// read once a turn, so that everything in one turn sees one time. Between
    /// turns, and before the first, it stands still: a program that has been
    /// busy there takes `Instant::now()`.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// How many turns the loop has made since the map was made. At rest it
    /// does not grow.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.turns
    }

    /// A way to run closures on this loop from other threads.
    #[must_use]
    pub fn remote(&self) -> Remote {
        Remote::new(Arc::clone(&self.inbox))
    }

    /// The buffers that the channels of this map share.
    #[must_use]
    pub fn buffers(&self) -> &Buffers {
        &self.buffers
    }

    pub(crate) fn close_all_with(&mut self, reason: impl Fn() -> CloseReason) {
        let tokens: Vec<Token> = self.slots.iter().map(|(_, slot)| slot.token).collect();
        for token in tokens {
            self.close_with(token, reason());
        }
    }

    /// [`may_continue`](Self::may_continue), for a channel that another one
    /// reached.
    fn is_undisturbed(&self, token: Token) -> bool {
        self.slot(token)
            .is_some_and(|slot| slot.conversion.is_none())
    }

    /// The slot of an open channel.
    pub(crate) fn slot(&self, token: Token) -> Option<&Slot> {
        self.slots
            .get(token.slot())
            .filter(|slot| slot.token == token && !slot.closing)
    }

    pub(crate) fn slot_mut(&mut self, token: Token) -> Option<&mut Slot> {
        open_slot(&mut self.slots, token)
    }

    /// Frees a channel's slot: its timers go, and the poller forgets it.
    pub(crate) fn vacate(&mut self, token: Token) -> Option<Slot> {
        self.slots
            .get(token.slot())
            .filter(|slot| slot.token == token)?;
        let mut slot = self.slots.remove(token.slot());
        if !slot.closing {
            self.open -= 1;
        }
        // A program that inserts and removes without turning does not pile
        // up the dead.
        let many = 2 * self.slots.len() + 1_024;
        let slots = &self.slots;
        let is_alive = |token: &Token| slots.get(token.slot()).is_some_and(|s| s.token == *token);
        if self.touched.get_mut().len() > many {
            self.touched.get_mut().retain(is_alive);
        }
        if self.ready.len() > many {
            self.ready.retain(is_alive);
        }
        self.timers.remove_list(slot.timers.take());
        slot.disarm();
        Some(slot)
    }
}

impl Drop for ChannelMap {
    fn drop(&mut self) {
        self.inbox.close();
        // A source may outlive its channel; the poller shall not for its sake.
        for (_, slot) in &mut self.slots {
            slot.disarm();
        }
    }
}

/// Every channel, by its token.
impl fmt::Debug for ChannelMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slots = self.slots.iter();
        f.debug_map()
            .entries(slots.map(|(_, slot)| (slot.token, slot)))
            .finish()
    }
}

/// The slot of an open channel, for who needs other fields of the map beside.
pub(crate) fn open_slot(slots: &mut Slab<Slot>, token: Token) -> Option<&mut Slot> {
    slots
        .get_mut(token.slot())
        .filter(|slot| slot.token == token && !slot.closing)
}
