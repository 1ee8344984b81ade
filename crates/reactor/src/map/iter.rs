//! All channels of a map, one after the other.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::ops::{Deref, DerefMut};

use super::ChannelMap;
use crate::channel::Channel;
use crate::token::{Handle, Token};

/// # Iterating
impl ChannelMap {
    /// Iterates over all channels that are neither closing nor inside a callback, in no
    /// particular order. Touches none.
    pub fn iter(&self) -> impl Iterator<Item = (Token, &dyn Channel)> {
        self.entries()
            .filter_map(|entry| Some((entry.token(), entry.channel()?)))
    }

    /// Iterates mutably over all channels of type `C` that [`iter`](Self::iter) finds.
    /// The first mutable borrow of a channel [touches](Self::touch) it.
    pub fn iter_mut<C: Channel>(&mut self) -> impl Iterator<Item = ChannelMut<'_, C>> {
        let touched = &self.touched;
        self.slots
            .iter_mut()
            .filter(|(_, slot)| !slot.closing)
            .filter_map(|(_, slot)| {
                Some(ChannelMut {
                    channel: (&mut **slot.channel.as_mut()? as &mut dyn Any).downcast_mut()?,
                    token: slot.token,
                    is_touched: &mut slot.touched,
                    touched,
                })
            })
    }
}

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

impl<C: Channel> ChannelMut<'_, C> {
    /// The name of this channel.
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
