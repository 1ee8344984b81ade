//! Changes to a channel that may be inside its own callback now.

use std::mem;

use super::slot::slot_mut;
use super::{CAPACITY, ChannelMap};
use crate::channel::Channel;
use crate::error::Absent;
use crate::readiness::Readiness;
use crate::token::Token;

/// A change that waits.
pub type Amendment = Box<dyn FnOnce(&mut dyn Channel)>;

/// # Amendments
impl ChannelMap {
    /// Changes a channel of any type, and [touches](Self::touch) it: at once or, if it is
    /// inside its own callback, as soon as that has returned. If `f` needs the map, use
    /// [`post`](Self::post) instead.
    ///
    /// A channel that delivers several messages in one callback is changed
    /// [between two of them](Self::take_amendments). Changes keep their order. They come
    /// before the close and the [conversion](Self::convert) that the callback has asked
    /// for.
    ///
    /// Returns `false` if 65,536 changes wait for that channel already. Then `f` is
    /// dropped, and an error is in the log.
    ///
    /// # Errors
    ///
    /// [`Absent::Closed`]; `f` is dropped.
    pub fn amend(
        &mut self,
        channel: impl Into<Token>,
        f: impl FnOnce(&mut dyn Channel) + 'static,
    ) -> Result<bool, Absent> {
        let token = channel.into();
        let slot = slot_mut(&mut self.slots, token).ok_or(Absent::Closed)?;
        slot.touch(self.touched.get_mut());
        if let Some(channel) = &mut slot.channel {
            f(&mut **channel);
            return Ok(true);
        }
        let amendments = &mut slot.deferred.get_or_insert_default().amendments;
        if amendments.len() >= CAPACITY {
            log::error!("a change of channel {token} is lost: {CAPACITY} wait already");
            return Ok(false);
        }
        amendments.push(Box::new(f));
        self.disturb(token);
        Ok(true)
    }

    /// Takes the [changes](Self::amend) that wait for a channel which is inside its
    /// callback, for the channel to make: `for amend in map.take_amendments(me) {
    /// amend(self) }`. A channel that delivers several messages in one callback calls this
    /// when [`may_continue`](Self::may_continue) says `false`, and asks that again. The
    /// map makes the changes that are left when the callback has returned.
    pub fn take_amendments(&mut self, me: Token) -> Vec<Amendment> {
        let slot = self.slots.get_mut(me.slot).filter(|slot| slot.token == me);
        let Some(deferred) = slot.and_then(|slot| slot.deferred.as_mut()) else {
            return Vec::new();
        };
        mem::take(&mut deferred.amendments)
    }

    /// Does what was deferred until the channel's callback has returned, and puts it in
    /// its slot again.
    #[cold]
    pub(super) fn put_back_changed(&mut self, mut channel: Box<dyn Channel>, token: Token) {
        let Some(slot) = self.slots.get_mut(token.slot) else {
            return;
        };
        slot.touch(self.touched.get_mut());
        let Some(deferred) = slot.deferred.take() else {
            slot.channel = Some(channel);
            return;
        };
        for amend in deferred.amendments {
            amend(&mut *channel);
        }
        let Some(convert) = deferred.conversion else {
            slot.channel = Some(channel);
            return;
        };
        slot.channel = Some(convert(channel));
        slot.must_ask = true;
        if self.is_shutting_down() {
            // The new type has not been told.
            self.make_ready(token, Readiness::SHUTDOWN);
        }
    }
}
