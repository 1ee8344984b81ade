//! What the map keeps of each channel.

use std::any::TypeId;
use std::fmt;
use std::io;
use std::mem;
use std::rc::Rc;
use std::sync::Arc;

use polling::{PollMode, Poller};

use crate::channel::{Object, Settled, interest};
use crate::close_reason::CloseReason;
use crate::convert::Conversion;
use crate::readiness::Readiness;
use crate::source::{Link, Registration};
use crate::token::Token;

pub(crate) struct Slot {
    pub(crate) token: Token,
    /// `None` while one of the channel's callbacks runs.
    pub(crate) channel: Option<Box<dyn Object>>,
    /// Tells the type that handles must have: with a conversion waiting, the new
    /// one. Half the size of what it tells.
    pub(crate) kind: fn() -> TypeId,
    /// To be done when the channel's callback has returned. Boxed once more, for
    /// hardly any slot has one.
    pub(crate) conversion: Option<Box<Conversion>>,
    /// The registration that the poller was last told of.
    pub(crate) link: Option<Rc<Link>>,
    /// What the channel last said it wants to hear of.
    pub(crate) interest: Readiness,
    /// What is to be dispatched; not empty while the token is in the ready queue.
    pub(crate) ready: Readiness,
    /// To be settled: in the touched queue, or among the dispatched.
    pub(crate) touched: bool,
    /// In the closing queue, and hidden.
    pub(crate) closing: bool,
    /// First of the channel's timers.
    pub(crate) timers: Option<usize>,
}

impl Slot {
    pub(crate) fn is<C: 'static>(&self) -> bool {
        (self.kind)() == TypeId::of::<C>()
    }

    pub(crate) fn get<C: 'static>(&self) -> Option<&C> {
        self.channel.as_ref()?.as_ref().as_any().downcast_ref()
    }

    pub(crate) fn get_mut<C: 'static>(&mut self) -> Option<&mut C> {
        self.channel.as_mut()?.as_mut().as_any_mut().downcast_mut()
    }

    /// Has the channel send what it has queued, and asks it what it wants:
    /// the poller is told what changed.
    #[inline]
    pub(crate) fn settle(
        &mut self,
        poller: &Arc<Poller>,
        mode: PollMode,
        queue: &mut Vec<Token>,
    ) -> Result<(), CloseReason> {
        let Some(channel) = self.channel.as_mut().filter(|_| self.touched) else {
            return Ok(());
        };
        self.touched = false;
        match channel.settle(self.token)? {
            // A one-shot poller has forgotten what it reported.
            Settled::AsBefore if mode == PollMode::Level => return Ok(()),
            Settled::AsBefore | Settled::Ask => {}
        }
        self.interest = interest(&**channel, self.token);
        match channel.registration() {
            // Armed by this channel: so it is the one that it had before.
            Some(present) if present.is_armed(self.token, self.interest) => {}
            registration => {
                let (link, me, interest) = (&mut self.link, self.token, self.interest);
                watch(link, registration, poller, mode, me, interest).map_err(CloseReason::Io)?;
            }
        }
        if channel.pending(self.token) {
            self.make_ready(Readiness::PENDING, queue);
        }
        Ok(())
    }

    /// Has the channel settled before the next wait.
    pub(crate) fn touch(&mut self, queue: &mut Vec<Token>) {
        if !mem::replace(&mut self.touched, true) {
            queue.push(self.token);
        }
    }

    /// Adds to what is to be dispatched.
    pub(crate) fn make_ready(&mut self, readiness: Readiness, queue: &mut Vec<Token>) {
        if self.ready.is_empty() && !readiness.is_empty() {
            queue.push(self.token);
        }
        self.ready |= readiness;
    }

    /// The poller shall forget this channel's source, even one that outlives
    /// the channel; unless another channel has it by now.
    pub(crate) fn disarm(&mut self) {
        if let Some(link) = self.link.take() {
            link.disarm_from(self.token);
        }
    }
}

/// Makes `poller` watch what a channel has registered now, and forget what it had
/// before, `link`.
#[inline(never)]
fn watch(
    link: &mut Option<Rc<Link>>,
    registration: Option<&Registration>,
    poller: &Arc<Poller>,
    mode: PollMode,
    owner: Token,
    interest: Readiness,
) -> io::Result<()> {
    let present = registration.map(Registration::link);
    if link.as_ref().map(Rc::as_ptr) != present.map(Rc::as_ptr) {
        if let Some(old) = mem::replace(link, present.cloned()) {
            old.disarm_from(owner);
        }
    }
    match registration {
        Some(registration) => registration.arm(poller, mode, owner, interest),
        None => Ok(()),
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
