//! A channel while one of its callbacks runs.

use crate::channel::Object;
use crate::map::ChannelMap;
use crate::readiness::Readiness;
use crate::slot::Slot;
use crate::token::Token;

/// A channel out of its slot, and the map without it: what a callback needs.
///
/// [`put_back`](Self::put_back) ends it. Dropped before that, by a callback
/// that panics, it drops the channel and frees the slot: no further callback.
pub(crate) struct TakenOut<'m> {
    pub(crate) map: &'m mut ChannelMap,
    channel: Option<Box<dyn Object>>,
    token: Token,
    is_back: bool,
}

impl<'m> TakenOut<'m> {
    /// `None` if the channel is not open, or is out already.
    pub(crate) fn new(map: &'m mut ChannelMap, token: Token) -> Option<Self> {
        let channel = map.slot_mut(token)?.channel.take()?;
        map.taken_out += 1;
        Some(Self {
            map,
            channel: Some(channel),
            token,
            is_back: false,
        })
    }

    pub(crate) fn both(&mut self) -> (&mut dyn Object, &mut ChannelMap) {
        let channel = self.channel.as_mut().expect("held until it is put back");
        (channel.as_mut(), self.map)
    }

    /// Puts the channel back, converted if that was asked for meanwhile.
    pub(crate) fn put_back(mut self) {
        let conversion = self.slot().and_then(|slot| slot.conversion.take());
        if let Some(convert) = conversion {
            self.channel = self.channel.take().map(convert);
            if self.map.is_draining() {
                // The new type has not been told.
                self.map.make_ready(self.token, Readiness::DRAIN);
            }
        }
        let channel = self.channel.take();
        if let Some(slot) = self.slot() {
            slot.channel = channel;
        }
        self.is_back = true;
    }

    /// Missing only if the callback put another map in this one's place.
    fn slot(&mut self) -> Option<&mut Slot> {
        let slot = self.map.slots.get_mut(self.token.slot());
        slot.filter(|slot| slot.token == self.token)
    }
}

impl Drop for TakenOut<'_> {
    fn drop(&mut self) {
        self.map.taken_out = self.map.taken_out.saturating_sub(1);
        if !self.is_back {
            self.map.vacate(self.token);
        }
    }
}
