//! Changes to a channel that may be inside its own callback now.

use std::mem;

use super::slot::{Deferred, slot_mut};
use super::{CAPACITY, ChannelMap};
use crate::channel::Channel;
use crate::error::Absent;
use crate::readiness::Readiness;
use crate::token::Token;

/// A change that waits.
pub(super) type Amendment = Box<dyn FnOnce(&mut dyn Channel)>;

/// # Amendments
impl ChannelMap {
    /// Changes a channel of any type, and [touches](Self::touch) it: at once or, if it is
    /// inside its own callback, as soon as that has returned. If `f` needs the map, use
    /// [`post`](Self::post) instead.
    ///
    /// A channel that delivers several messages in one callback is changed
    /// [between two of them](Self::amend_now). Changes keep their order. They come
    /// before the close and the [conversion](Self::convert) that the callback has asked
    /// for.
    ///
    /// Returns `false` if 65,536 changes wait for that channel already. Then `f` is
    /// dropped, and an error is in the log.
    ///
    /// # Errors
    ///
    /// [`Absent::Closed`]; `f` is dropped.
    ///
    /// ```
    /// use std::any::Any;
    /// use reactor::{Channel, ChannelMap, Registration};
    ///
    /// #[derive(Debug, Default)]
    /// struct Counter(u32);
    /// # impl Channel for Counter {
    /// #     fn registration(&self) -> Option<&Registration> { None }
    /// # }
    ///
    /// fn count(channel: &mut dyn Channel) {
    ///     if let Some(counter) = (channel as &mut dyn Any).downcast_mut::<Counter>() {
    ///         counter.0 += 1;
    ///     }
    /// }
    ///
    /// let mut map = ChannelMap::new()?;
    /// let counter = map.insert(Counter::default())?;
    /// map.amend(counter, count)?;
    /// assert_eq!(map.get(counter)?.0, 1); // at once
    /// map.with(counter, |lent, map| {
    ///     map.amend(counter, count)?;
    ///     assert_eq!(lent.0, 1);
    ///     Ok::<_, reactor::Absent>(())
    /// })??;
    /// assert_eq!(map.get(counter)?.0, 2); // afterwards
    /// # Ok::<(), reactor::Error>(())
    /// ```
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

    /// Makes the [changes](Self::amend) that wait for a channel which is inside its callback
    /// now: `map.amend_now(me, self)`. A channel that delivers several messages in one
    /// callback calls this when [`may_continue`](Self::may_continue) says `false`, and asks
    /// that again. Without a call, the map makes the changes when the callback has
    /// returned.
    pub fn amend_now(&mut self, me: Token, channel: &mut dyn Channel) {
        let slot = self.slots.get_mut(me.slot).filter(|slot| slot.token == me);
        let Some(deferred) = slot.and_then(|slot| slot.deferred.as_mut()) else {
            return;
        };
        for amend in mem::take(&mut deferred.amendments) {
            amend(channel);
        }
    }

    /// Does what was deferred until the channel's callback has returned, and puts it in
    /// its slot again.
    #[cold]
    pub(super) fn put_back_changed(&mut self, mut channel: Box<dyn Channel>, token: Token) {
        let Some(slot) = self.slots.get_mut(token.slot) else {
            return;
        };
        slot.touch(self.touched.get_mut());
        let Deferred {
            amendments,
            conversion,
        } = *slot.deferred.take().unwrap_or_default();
        for amend in amendments {
            amend(&mut *channel);
        }
        let Some(convert) = conversion else {
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
