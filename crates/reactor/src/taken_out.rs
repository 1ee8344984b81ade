//! A channel while it is out of its slot, with the map: in one of its callbacks
//! or in `with`.

use crate::channel::Object;
use crate::map::ChannelMap;
use crate::token::Token;

/// A channel that `with` lends, and the map without it.
///
/// [`put_back`](Self::put_back) ends it. Dropped before that, by a panic, it
/// drops the channel and frees the slot: no further callback. (The channel that
/// a turn calls has no guard of its own: the turn's is enough.)
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

    pub(crate) fn put_back(mut self) {
        if let Some(channel) = self.channel.take() {
            self.map.put_back(channel, self.token);
        }
        self.is_back = true;
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

impl ChannelMap {
    /// Puts a channel in its slot again, converted if that was asked for
    /// meanwhile.
    #[inline(always)]
    pub(crate) fn put_back(&mut self, channel: Box<dyn Object>, token: Token) {
        let slot = self.slots.get_mut(token.slot());
        // Missing only if the callback put another map in this one's place.
        let Some(slot) = slot.filter(|slot| slot.token == token) else {
            return;
        };
        match slot.conversion {
            None => slot.channel = Some(channel),
            Some(_) => self.put_back_converted(channel, token),
        }
    }
}
