//! A callback that puts another map in the place of its own, by `mem::swap` or
//! `mem::replace`.
//!
//! The turn ends there, and calls none of the other map's channels. Channels that it has
//! taken out of the first map go home to that, wherever it is by then.

use std::cell::{Cell, RefCell};
use std::mem;
use std::panic;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use super::ChannelMap;
use crate::channel::Channel;
use crate::error::{NestedTurn, Result};
use crate::token::Token;

/// Nothing is under way, and nothing needs mending.
pub(super) const AT_REST: u8 = 0;
/// A turn is under way.
pub(super) const TURNING: u8 = 1;
/// [`ChannelMap::with`] has lent a channel.
const LENDING: u8 = 2;
/// A turn or a loan did not end where it began: the map needs mending.
const ASTRAY: u8 = 4;

/// The part of a map that its turn and its loans share. By it they find the map again
/// after a callback.
#[derive(Default)]
pub(super) struct Home {
    /// A turn reads and sets it directly, since it is on the path of every line.
    pub(super) state: Cell<u8>,
    strays: RefCell<Vec<Stray>>,
}

/// A channel that is out of its slot, while its map is somewhere else.
type Stray = (Token, Box<dyn Channel>);

impl Home {
    pub(super) fn is_turning(&self) -> bool {
        self.state.get() & TURNING != 0
    }

    /// Whether a turn, or a loan, is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.state.get() & (TURNING | LENDING) != 0
    }

    /// Returns whether another loan is under way, for [`end_loan`](Self::end_loan).
    pub(super) fn begin_loan(&self) -> bool {
        let state = self.state.get();
        self.state.set(state | LENDING);
        state & LENDING != 0
    }

    pub(super) fn end_loan(&self, is_within_another: bool) {
        if !is_within_another {
            self.state.set(self.state.get() & !LENDING);
        }
    }

    /// Marks the map to be mended before its next turn.
    pub(super) fn lose(&self) {
        self.state.set(self.state.get() | ASTRAY);
    }

    /// Keeps a channel for its map. If the map is gone, the channel is dropped with the
    /// last turn.
    pub(super) fn take_in(&self, stray: Stray) {
        self.lose();
        self.strays.borrow_mut().push(stray);
    }
}

/// The map that a callback has put in another's place, kept until the other's turn ends.
pub(super) struct Parked {
    map: ChannelMap,
    stray: Option<Stray>,
}

impl ChannelMap {
    /// Whether this is the map that `home` was taken from.
    #[inline]
    pub(super) fn is_at(&self, home: &Rc<Home>) -> bool {
        Rc::ptr_eq(&self.home, home)
    }

    /// Puts an empty map in the place of this one, which a callback has brought. So the
    /// rest of the turn finds nothing to do.
    #[cold]
    pub(super) fn park(&mut self, stray: Option<Stray>) {
        let stand_in = Self::over(Arc::clone(&self.poller));
        let map = mem::replace(self, stand_in);
        self.parked = Some(Box::new(Parked { map, stray }));
    }

    /// Mends the map before a turn or a loan, if it is not at rest.
    ///
    /// # Errors
    ///
    /// [`NestedTurn`], if another turn or loan is under way.
    #[cold]
    pub(super) fn come_to_rest(&mut self) -> Result<(), NestedTurn> {
        self.bring_home();
        if self.home.is_busy() {
            return Err(NestedTurn);
        }
        self.recover();
        Ok(())
    }

    /// Ends a turn that panicked, or that has another map here than it began with.
    #[cold]
    pub(super) fn end_astray(
        &mut self,
        home: &Rc<Home>,
        turned: thread::Result<Result<usize>>,
    ) -> Result<usize> {
        home.lose();
        if let Some(parked) = self.parked.take() {
            *self = parked.map;
            if let Some(stray) = parked.stray {
                home.take_in(stray);
            }
        }
        if self.is_at(home) {
            self.recover();
        }
        turned.unwrap_or_else(|panic| panic::resume_unwind(panic))
    }

    /// Mends the map after a turn or a loan that went astray. Its channel comes back, or
    /// is lost by a panic. The rest of the batch is left to the next turn. It goes into
    /// both queues: a channel without work in one is passed over there.
    fn recover(&mut self) {
        self.ready.extend_from_slice(&self.batch);
        self.touched.get_mut().append(&mut self.batch);
        let slots = self.slots.iter();
        let lost = slots.filter(|(_, slot)| slot.channel.is_none());
        let lost: Vec<Token> = lost.map(|(_, slot)| slot.token).collect();
        for token in lost.into_iter().chain(self.buffers.0.calling.take()) {
            self.vacate(token);
        }
        self.home.state.set(AT_REST);
    }

    /// Puts the channels that went astray in their slots again. A turn may find some of
    /// a loan, whose lender has put the map back.
    pub(super) fn bring_home(&mut self) {
        let home = Rc::clone(&self.home);
        while let Some((token, channel)) = { home.strays.borrow_mut().pop() } {
            self.disturb(token);
            self.ready.push(token);
            self.touched.get_mut().push(token);
            drop(self.put_back(channel, token, false));
        }
    }
}
