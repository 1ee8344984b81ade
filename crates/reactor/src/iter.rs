//! The guard of `ChannelMap::iter_mut`.

use std::cell::RefCell;
use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::channel::Channel;
use crate::slot::Slot;
use crate::token::{Handle, Token};

/// A channel of [`ChannelMap::iter_mut`](crate::ChannelMap::iter_mut).
///
/// Reading through it costs nothing; the first mutable borrow touches the
/// channel, so that the loop settles it before the next wait.
pub struct ChannelMut<'m, C> {
    channel: &'m mut C,
    token: Token,
    is_touched: &'m mut bool,
    touched: &'m RefCell<Vec<Token>>,
}

impl<'m, C: Channel> ChannelMut<'m, C> {
    pub(crate) fn new(slot: &'m mut Slot, touched: &'m RefCell<Vec<Token>>) -> Option<Self> {
        if slot.closing {
            return None;
        }
        Some(Self {
            token: slot.token,
            channel: slot.channel.as_mut()?.as_any_mut().downcast_mut()?,
            is_touched: &mut slot.touched,
            touched,
        })
    }

    /// The name of this channel.
    #[must_use]
    pub fn handle(&self) -> Handle<C> {
        self.token.handle()
    }
}

impl<C> Deref for ChannelMut<'_, C> {
    type Target = C;

    fn deref(&self) -> &C {
        self.channel
    }
}

impl<C> DerefMut for ChannelMut<'_, C> {
    fn deref_mut(&mut self) -> &mut C {
        if !std::mem::replace(self.is_touched, true) {
            self.touched.borrow_mut().push(self.token);
        }
        self.channel
    }
}

impl<C: fmt::Debug> fmt::Debug for ChannelMut<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.channel.fmt(f)
    }
}
