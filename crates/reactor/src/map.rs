//! The channel map: who is in it, and how to reach them.
//!
//! How it turns is in `map/turn.rs`.

mod amend;
mod background;
mod buffers;
mod clock;
mod convert;
mod entry;
mod home;
mod iter;
mod memory;
mod opening;
mod post;
mod slot;
mod state;
mod statistics;
mod timer;
mod trouble;
mod turn;

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::process;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use polling::{Events, Poller};
use slab::Slab;

use crate::channel::Channel;
use crate::close_reason::CloseReason;
use crate::error::{Absent, InsertError};
use crate::readiness::Readiness;
use crate::remote::Remote;
use crate::source::Watch;
use crate::token::{Handle, Token};

pub use buffers::{Buffers, ReadBuffer};
pub use clock::Moment;
pub use entry::ChannelEntry;
pub use iter::ChannelMut;
pub use opening::Opening;
pub use state::State;
pub use statistics::{Call, Measured, Statistics};
pub use timer::Timer;

use home::{Home, Parked};
use opening::Providers;
use post::Post;
use slot::{Slot, interest, slot_mut};
use state::States;
use statistics::Measure;
use timer::Timers;
use trouble::Trouble;

/// How many posts may wait at once, and how many changes of one channel.
const CAPACITY: usize = 65_536;

/// All channels of one loop, and the loop itself: asyncore's `socket_map` and `loop()`.
///
/// A program makes one, inserts channels, and calls [`run`](Self::run). Every
/// callback gets the map as an argument, so a channel can insert other channels, and
/// can reach, close and convert them.
///
/// **Only the methods that turn the map call a handler**:
/// [`run`](Self::run), [`turn`](Self::turn) and their variants. Closing a channel
/// hides it and queues its `handle_close`, which the loop calls once the
/// current callback has returned.
///
/// Dropping the map drops its channels; no callback is called.
///
/// # Another map in its place
///
/// A callback may swap its map for another one. The turn ends there, and calls no
/// channel of the other map. What it had not done yet is the first map's to do in its
/// next turn, wherever that map is by then. Its channels that were being called come
/// back before that turn; until then the first map has them, but does not find them.
/// An `Err` of such a callback goes to `handle_error` with the map that is there.
///
/// # In a child process
///
/// After `fork(2)`, a child's copy of a map shares its poller with the parent. The
/// child may drop the map, or put a new one in its place, and the parent's goes on
/// undisturbed. The descriptors of its poller then stay open in the child, until that
/// ends or calls `exec`. A child must not turn the map, and must not remove, change or
/// drop its channels one by one: the poller of the parent would no longer watch them.
///
/// # Which method, from where
///
/// | to | use |
/// |---|---|
/// | add a channel | [`insert`](Self::insert), [`try_insert`](Self::try_insert) |
/// | reach one | [`get`](Self::get), [`get_mut`](Self::get_mut); of any type: [`get_any_mut`](Self::get_any_mut) |
/// | reach one, and the map | [`with`](Self::with) |
/// | reach one that may be in its own callback | [`amend`](Self::amend); with the map: [`post`](Self::post) |
/// | reach all | [`iter`](Self::iter), [`iter_mut`](Self::iter_mut) |
/// | end one, with its `handle_close` | [`close`](Self::close) |
/// | take one out, without | [`remove`](Self::remove) |
/// | make it another type | [`convert`](Self::convert) |
/// | bound the memory of all | [`set_memory_cap`](Self::set_memory_cap), [`memory`](Self::memory) |
/// | keep one to the end, for the others | [`set_background`](Self::set_background) |
/// | be called later | [`set_timer`](Self::set_timer), [`set_numbered_timer`](Self::set_numbered_timer), [`reset_timer`](Self::reset_timer), [`cancel`](Self::cancel); when: [`after`](Self::after) |
/// | keep what many channels share | [`insert_state`](Self::insert_state), [`state`](Self::state), [`state_mut`](Self::state_mut), [`with_state`](Self::with_state) |
/// | look at all, and at the loop | [`entries`](Self::entries), [`set_name`](Self::set_name), [`statistics`](Self::statistics), [`set_measuring`](Self::set_measuring) |
/// | be called from another thread | [`remote`](Self::remote) |
/// | end the loop | [`stop`](Self::stop), [`shut_down`](Self::shut_down), [`close_all`](Self::close_all) |
#[doc(alias = "socket_map")]
pub struct ChannelMap {
    slots: Slab<Slot>,
    /// Channels that are not closing.
    open: usize,
    /// Channels in the background, closing ones included.
    background: usize,
    poller: Arc<Poller>,
    events: Events,
    /// Channels to be dispatched.
    ready: Vec<Token>,
    /// Channels to be settled. In a cell for `iter_mut`, whose guards add to it
    /// while they borrow the slots.
    touched: RefCell<Vec<Token>>,
    /// What a turn has taken out of one of the two, to go through it.
    batch: Vec<Token>,
    closing: VecDeque<(Token, CloseReason)>,
    /// First in first out.
    posts: VecDeque<Post>,
    timers: Timers,
    remote: Remote,
    buffers: Buffers,
    now: Instant,
    /// Its clock is that of its `turn_at`.
    is_simulated: bool,
    counts: Statistics,
    measure: Option<Box<Measure>>,
    /// Something is to be done after each call: posts wait, or the time is taken.
    pauses: bool,
    /// The turn follows another at once.
    follows: bool,
    /// Whether it is turning or lending, for a turn that has lost its map.
    home: Rc<Home>,
    /// This is only the stand-in for another map.
    parked: Option<Box<Parked>>,
    stopping: bool,
    shutdown_deadline: Option<Instant>,
    /// The next instant at which the map has something to do of its own.
    alarm: Option<Instant>,
    trouble: Trouble,
    /// What the channel types keep for all their channels.
    providers: Providers,
    /// When the channel in each slot came. Not in the slot, which every event loads: only who
    /// looks at the map reads it.
    since: Vec<Moment>,
    /// Few channels have one.
    names: HashMap<Token, Box<str>>,
    /// Dropped after the channels.
    states: States,
    /// The process that made the map. A child has a copy of it, but shares the poller.
    process: u32,
}

impl ChannelMap {
    /// An empty map with a poller of its own (epoll, kqueue, event ports, IOCP
    /// or `poll(2)`, by the operating system).
    ///
    /// # Errors
    ///
    /// The operating system's error when it refuses a poller, such as `EMFILE`.
    pub fn new() -> io::Result<Self> {
        Ok(Self::over(Arc::new(Poller::new()?)))
    }

    fn over(poller: Arc<Poller>) -> Self {
        Self {
            slots: Slab::new(),
            open: 0,
            background: 0,
            events: Events::new(),
            ready: Vec::new(),
            touched: RefCell::default(),
            batch: Vec::new(),
            closing: VecDeque::new(),
            posts: VecDeque::new(),
            timers: Timers::default(),
            remote: Remote::new(Arc::clone(&poller)),
            poller,
            buffers: Buffers::default(),
            now: Instant::now(),
            is_simulated: false,
            counts: Statistics::default(),
            measure: None,
            pauses: false,
            follows: false,
            home: Rc::default(),
            parked: None,
            stopping: false,
            shutdown_deadline: None,
            alarm: None,
            trouble: Trouble::default(),
            providers: Providers::default(),
            since: Vec::new(),
            names: HashMap::new(),
            states: States::default(),
            process: process::id(),
        }
    }

    /// Adds a channel: [opens](Channel::open) it, and registers it with the poller at once.
    ///
    /// # Errors
    ///
    /// The channel's own, if it cannot be opened: a port that is taken, for example. The
    /// operating system's, when it cannot watch the channel. `Other` after the deadline of
    /// a [`shut_down`](Self::shut_down), until the map is empty. An error drops the channel;
    /// [`try_insert`](Self::try_insert) hands it back.
    #[doc(alias = "add_channel")]
    pub fn insert<C: Channel>(&mut self, channel: C) -> io::Result<Handle<C>> {
        self.try_insert(channel).map_err(|refused| refused.error)
    }

    /// Like [`insert`](Self::insert), but hands a refused channel back.
    ///
    /// # Errors
    ///
    /// See [`InsertError`].
    pub fn try_insert<C: Channel>(&mut self, mut channel: C) -> Result<Handle<C>, InsertError<C>> {
        let token = Token::new(self.slots.vacant_key());
        let (interest, watch) = match self.admit(&mut channel, token) {
            Ok(watched) => watched,
            Err(error) => return Err(InsertError { channel, error }),
        };
        self.slots.insert(Slot {
            token,
            channel: Some(Box::new(channel)),
            kind: TypeId::of::<C>(),
            deferred: None,
            watch,
            interest,
            ready: Readiness::NONE,
            touched: false,
            must_ask: true,
            is_unwatched: false,
            closing: false,
            is_background: false,
        });
        self.open += 1;
        self.note_insertion(token);
        self.touch(token);
        if self.is_shutting_down() {
            self.make_ready(token, Readiness::SHUTDOWN);
        }
        Ok(token.handle())
    }

    /// Removes a channel and returns it, unregistered and with its timers cancelled.
    /// Calls no callback.
    ///
    /// # Errors
    ///
    /// [`Absent`], and the channel stays where it is.
    #[doc(alias = "del_channel")]
    pub fn remove<C: Channel>(&mut self, handle: Handle<C>) -> Result<C, Absent> {
        self.reach(handle.token(), TypeId::of::<C>())?;
        let channel = self.vacate(handle.token()).ok_or(Absent::Closed)?;
        match (channel as Box<dyn Any>).downcast() {
            Ok(channel) => Ok(*channel),
            Err(_) => Err(Absent::OtherType),
        }
    }

    /// Closes a channel. The map hides it at once. When the current callback has
    /// returned (or, outside of a turn, in the next turn), the loop calls its
    /// [`handle_close`](Channel::handle_close) and drops it. Closes happen in the order
    /// in which they were requested.
    ///
    /// Returns whether there was such a channel. A channel may close itself, and may be
    /// closed twice.
    pub fn close(&mut self, channel: impl Into<Token>) -> bool {
        self.close_with(channel, CloseReason::Requested)
    }

    /// Like [`close`](Self::close), with the caller's reason.
    pub fn close_with(&mut self, channel: impl Into<Token>, reason: CloseReason) -> bool {
        let token = channel.into();
        let Some(slot) = slot_mut(&mut self.slots, token) else {
            return false;
        };
        slot.closing = true;
        self.open -= 1;
        self.counts.evicted += u64::from(matches!(reason, CloseReason::Evicted));
        self.closing.push_back((token, reason));
        self.disturb(token);
        true
    }

    /// Closes every channel, those inside a callback included.
    pub fn close_all(&mut self) {
        self.close_all_with(|| CloseReason::Requested);
    }

    /// Whether the channel is in the map and was not closed. A channel that still
    /// sends its last output, or lingers, is open.
    pub fn is_open(&self, channel: impl Into<Token>) -> bool {
        self.slot(channel.into()).is_some()
    }

    /// Borrows the channel of this handle.
    ///
    /// # Errors
    ///
    /// [`Absent`]: the channel is closed, of another type, or inside one of its own
    /// callbacks. [`post`](Self::post) reaches it there.
    pub fn get<C: Channel>(&self, handle: Handle<C>) -> Result<&C, Absent> {
        let slot = self.slot(handle.token()).ok_or(Absent::Closed)?;
        let channel = (slot.typed::<C>()? as &dyn Any).downcast_ref();
        channel.ok_or(Absent::OtherType)
    }

    /// Borrows the channel of this handle mutably and [touches](Self::touch) it.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn get_mut<C: Channel>(&mut self, handle: Handle<C>) -> Result<&mut C, Absent> {
        let slot = slot_mut(&mut self.slots, handle.token()).ok_or(Absent::Closed)?;
        slot.touch(self.touched.get_mut());
        let channel = (slot.typed_mut::<C>()? as &mut dyn Any).downcast_mut();
        channel.ok_or(Absent::OtherType)
    }

    /// Borrows a channel of any type and [touches](Self::touch) it.
    ///
    /// # Errors
    ///
    /// [`Absent::Closed`] or [`Absent::InCallback`].
    pub fn get_any_mut(&mut self, channel: impl Into<Token>) -> Result<&mut dyn Channel, Absent> {
        let slot = slot_mut(&mut self.slots, channel.into()).ok_or(Absent::Closed)?;
        slot.touch(self.touched.get_mut());
        slot.channel.as_deref_mut().ok_or(Absent::InCallback)
    }

    /// Calls `f` with a channel *and* the map, as the loop calls a callback, and
    /// [touches](Self::touch) the channel. Returns what `f` returns.
    ///
    /// A member reaches its room this way, and the room its other members. Inside `f`, the
    /// map does not find the channel itself.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), without calling `f`.
    pub fn with<C: Channel, R>(
        &mut self,
        handle: Handle<C>,
        f: impl FnOnce(&mut C, &mut Self) -> R,
    ) -> Result<R, Absent> {
        let slot = self.slot(handle.token()).ok_or(Absent::Closed)?;
        if !slot.is::<C>() {
            return Err(Absent::OtherType);
        }
        self.touch(handle.token());
        let lent = self.lend(handle.token(), |channel, map| {
            Some(f((channel as &mut dyn Any).downcast_mut()?, map))
        });
        lent.flatten().ok_or(Absent::InCallback)
    }

    /// The number of open channels. Those that close when all is sent count, and so do
    /// those in the [background](Self::set_background).
    pub fn len(&self) -> usize {
        self.open
    }

    /// Whether the map has no open channel. Closed ones may still wait for their
    /// `handle_close`.
    pub fn is_empty(&self) -> bool {
        self.open == 0
    }

    /// Has the loop settle the channel before its next wait, and ask which events it
    /// wants. Call it when something outside of the channel changed its answers. The
    /// channel's own callbacks, `get_mut` and its variants do so by themselves.
    pub fn touch(&mut self, channel: impl Into<Token>) {
        let token = channel.into();
        if let Some(slot) = slot_mut(&mut self.slots, token) {
            slot.touch(self.touched.get_mut());
        }
    }

    /// The time of this turn's events, by which timers are due. The map reads the clock
    /// once a turn, so all callbacks of a turn see one time. Between turns, and before
    /// the first, the time stands still; [`after`](Self::after) counts from the real one.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The number of turns since the map was made. It does not grow at rest.
    pub fn turns(&self) -> u64 {
        self.counts.turns
    }

    /// Returns a [`Remote`], which runs closures on this loop from other threads.
    pub fn remote(&self) -> Remote {
        self.remote.clone()
    }

    fn close_all_with(&mut self, reason: impl Fn() -> CloseReason) {
        let tokens: Vec<Token> = self.slots.iter().map(|(_, slot)| slot.token).collect();
        for token in tokens {
            self.close_with(token, reason());
        }
    }

    /// Opens a channel, and has the poller watch it for what it wants. Nothing is left of
    /// one that fails, or panics.
    fn admit(&mut self, channel: &mut dyn Channel, token: Token) -> io::Result<(Readiness, Watch)> {
        if self
            .shutdown_deadline
            .is_some_and(|deadline| deadline <= self.now)
        {
            return Err(io::Error::other("the map was shut down"));
        }
        let admitted = panic::catch_unwind(AssertUnwindSafe(|| {
            channel.open(&mut Opening::first(token, self))?;
            self.watch(channel, token)
        }));
        if !matches!(admitted, Ok(Ok(_))) {
            self.timers.remove_all_of(token);
        }
        admitted.unwrap_or_else(|panic| panic::resume_unwind(panic))
    }

    /// Shows a new channel to the poller. One that wants nothing yet is shown all the same,
    /// so that the poller says now whether it can watch it.
    fn watch(&self, channel: &dyn Channel, token: Token) -> io::Result<(Readiness, Watch)> {
        let interest = interest(channel, token);
        let shown = match interest {
            Readiness::NONE => Readiness::READABLE,
            interest => interest,
        };
        let mut watch = Watch::default();
        for interest in [shown, interest] {
            let followed = watch.follow(channel.registration(), &self.poller, token, interest);
            if let Err(error) = followed {
                watch.end(token);
                return Err(error);
            }
        }
        Ok((interest, watch))
    }

    /// A channel was closed or converted: if it is being called, it does not go on.
    fn disturb(&mut self, token: Token) {
        if self.buffers.0.calling.get() == Some(token) {
            self.buffers.0.calling.set(None);
        }
    }

    /// Adds to what a channel is to be called with.
    fn make_ready(&mut self, token: Token, readiness: Readiness) {
        if let Some(slot) = slot_mut(&mut self.slots, token) {
            slot.make_ready(readiness, &mut self.ready);
        }
    }

    /// Calls `f` with a channel, out of its slot, and the map; `None` if it is not
    /// open, or out already. If `f` panics, the channel is dropped: no further
    /// callback.
    fn lend<R>(
        &mut self,
        token: Token,
        f: impl FnOnce(&mut dyn Channel, &mut Self) -> R,
    ) -> Option<R> {
        if self.home.state.get() != home::AT_REST {
            let _ = self.come_to_rest(); // a loan within a turn is none
        }
        let mut channel = slot_mut(&mut self.slots, token)?.channel.take()?;
        let home = Rc::clone(&self.home);
        let is_within_another = home.begin_loan();
        let called = panic::catch_unwind(AssertUnwindSafe(|| {
            let result = f(&mut *channel, self);
            if let Err(stray) = self.put_back(channel, token, true) {
                home.take_in((token, stray));
            }
            result
        }));
        home.end_loan(is_within_another);
        match called {
            Ok(result) => Some(result),
            Err(panic) => {
                if !self.is_at(&home) {
                    home.lose();
                }
                self.vacate(token);
                panic::resume_unwind(panic)
            }
        }
    }

    /// Frees a channel's slot: its timers go, and the poller forgets it. Returns
    /// the channel, if it is not lent.
    fn vacate(&mut self, token: Token) -> Option<Box<dyn Channel>> {
        self.slots
            .get(token.slot)
            .filter(|slot| slot.token == token)?;
        let mut slot = self.slots.remove(token.slot);
        if !slot.closing {
            self.open -= 1;
        }
        self.background -= usize::from(slot.is_background);
        // A program that inserts and removes without turning does not pile
        // up the dead.
        let many = 2 * self.slots.len() + 1_024;
        let slots = &self.slots;
        let is_alive = |token: &Token| slots.get(token.slot).is_some_and(|s| s.token == *token);
        for queue in [self.touched.get_mut(), &mut self.ready] {
            if queue.len() > many {
                queue.retain(is_alive);
            }
        }
        self.timers.remove_all_of(token);
        if !self.names.is_empty() {
            self.names.remove(&token);
        }
        slot.channel.take()
    }

    /// In a child of the process that made the map: forgets the poller without a word
    /// to it, since it is the parent's as well. (A poller that is dropped deletes its own
    /// entries, so it is left open.)
    #[cold]
    fn leave_to_parent(&mut self) {
        for (_, slot) in &mut self.slots {
            slot.watch.abandon();
        }
        std::mem::forget(Arc::clone(&self.poller));
    }

    /// Whether a channel, of this type, is at home.
    fn reach(&self, token: Token, kind: TypeId) -> Result<(), Absent> {
        let slot = self.slot(token).ok_or(Absent::Closed)?;
        if slot.kind != kind {
            return Err(Absent::OtherType);
        }
        match slot.channel {
            Some(_) => Ok(()),
            None => Err(Absent::InCallback),
        }
    }

    /// The slot of an open channel.
    fn slot(&self, token: Token) -> Option<&Slot> {
        self.slots
            .get(token.slot)
            .filter(|slot| slot.token == token && !slot.closing)
    }
}

impl Drop for ChannelMap {
    fn drop(&mut self) {
        match self.process == process::id() {
            true => self.remote.close(),
            false => self.leave_to_parent(),
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
