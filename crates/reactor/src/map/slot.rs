//! A channel as the map keeps it.

use std::any::TypeId;
use std::fmt;
use std::io;
use std::mem;
use std::sync::Arc;

use polling::Poller;
use slab::Slab;

use super::amend::Amendment;
use crate::channel::Channel;
use crate::error::Absent;
use crate::readiness::Readiness;
use crate::source::Watch;
use crate::token::Token;

/// The map's entry for one channel.
pub(super) struct Slot {
    pub(super) token: Token,
    /// `None` while one of the channel's callbacks runs.
    pub(super) channel: Option<Box<dyn Channel>>,
    /// The type that handles must have: the new one, if a conversion waits.
    pub(super) kind: TypeId,
    /// Done when the channel's callback has returned.
    pub(super) deferred: Option<Box<Deferred>>,
    pub(super) watch: Watch,
    /// The events that the channel wanted when it was last asked.
    pub(super) interest: Readiness,
    /// The events to dispatch. If there are any, the token is in the ready queue.
    pub(super) ready: Readiness,
    /// The channel is to be settled: it is in the touched queue, or in the batch.
    pub(super) touched: bool,
    /// The channel must be asked even if it flushes: it is new, was converted, or could
    /// not be watched.
    pub(super) must_ask: bool,
    /// The poller could not watch the channel as it wants; the log has the warning.
    pub(super) is_unwatched: bool,
    /// The channel is in the closing queue, and hidden.
    pub(super) closing: bool,
    /// It serves the others, and is told to finish when these are gone.
    pub(super) is_background: bool,
}

/// What waits for the end of a channel's callback.
#[derive(Default)]
pub(super) struct Deferred {
    pub(super) amendments: Vec<Amendment>,
    /// After these.
    pub(super) conversion: Option<Conversion>,
}

/// Makes a channel of another type of a channel.
pub(super) type Conversion = Box<dyn FnOnce(Box<dyn Channel>) -> Box<dyn Channel>>;

impl Slot {
    pub(super) fn is<C: 'static>(&self) -> bool {
        self.kind == TypeId::of::<C>()
    }

    /// Whether nothing waits for the end of the channel's callback.
    pub(super) fn is_unchanged(&self) -> bool {
        let deferred = self.deferred.as_ref();
        deferred.is_none_or(|it| it.amendments.is_empty() && it.conversion.is_none())
    }

    /// The channel, if it is of this type and at home.
    pub(super) fn typed<C: 'static>(&self) -> Result<&dyn Channel, Absent> {
        match self.is::<C>() {
            true => self.channel.as_deref().ok_or(Absent::InCallback),
            false => Err(Absent::OtherType),
        }
    }

    /// The same, to change it.
    pub(super) fn typed_mut<C: 'static>(&mut self) -> Result<&mut dyn Channel, Absent> {
        match self.is::<C>() {
            true => self.channel.as_deref_mut().ok_or(Absent::InCallback),
            false => Err(Absent::OtherType),
        }
    }

    /// Queues the channel to be settled before the next wait.
    pub(super) fn touch(&mut self, queue: &mut Vec<Token>) {
        if !mem::replace(&mut self.touched, true) {
            queue.push(self.token);
        }
    }

    /// Adds to the events to dispatch.
    pub(super) fn make_ready(&mut self, readiness: Readiness, queue: &mut Vec<Token>) {
        if self.ready.is_empty() && !readiness.is_empty() {
            queue.push(self.token);
        }
        self.ready |= readiness;
    }

    /// Asks the channel what it wants, and passes changes on to the poller.
    pub(super) fn ask(&mut self, poller: &Arc<Poller>, queue: &mut Vec<Token>) -> io::Result<()> {
        let Some(channel) = &self.channel else {
            return Ok(());
        };
        self.must_ask = false;
        self.interest = interest(&**channel, self.token);
        let registration = channel.registration();
        let watch = &mut self.watch;
        let followed = watch.follow(registration, poller, self.token, self.interest);
        self.is_unwatched &= followed.is_err();
        if channel.pending(self.token) {
            self.make_ready(Readiness::PENDING, queue);
        }
        followed
    }
}

/// Makes the poller forget the channel's source, which may outlive the channel.
impl Drop for Slot {
    fn drop(&mut self) {
        self.watch.end(self.token);
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.channel {
            Some(channel) => channel.fmt(f),
            None => f.write_str("(in a callback)"),
        }
    }
}

/// The events that a channel wants the poller to report.
pub(super) fn interest(channel: &dyn Channel, me: Token) -> Readiness {
    let mut interest = Readiness::NONE;
    if channel.readable(me) {
        interest |= Readiness::READABLE | Readiness::PRIORITY;
    }
    if channel.writable(me) {
        interest |= Readiness::WRITABLE;
    }
    if channel.watches_hang_up(me) {
        interest |= Readiness::HANG_UP;
    }
    if !interest.is_empty() {
        interest |= Readiness::ERROR; // every poller reports errors
    }
    interest
}

/// The slot of an open channel, for callers that borrow other fields of the map as well.
pub(super) fn slot_mut(slots: &mut Slab<Slot>, token: Token) -> Option<&mut Slot> {
    match slots.get_mut(token.slot) {
        Some(slot) if slot.token == token && !slot.closing => Some(slot),
        _ => None,
    }
}
