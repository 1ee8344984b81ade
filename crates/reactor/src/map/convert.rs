//! A channel that becomes a channel of another type.

use std::any::{Any, TypeId};

use super::ChannelMap;
use super::slot::slot_mut;
use crate::channel::Channel;
use crate::error::Absent;
use crate::token::Handle;

/// # Conversion
impl ChannelMap {
    /// Replaces a channel with the one that `f` makes of it, in the same slot. The
    /// token and the timers stay. If `f` moves the source along, the registration stays
    /// too.
    ///
    /// A channel may convert itself in one of its own callbacks: the map then calls
    /// `f` when the callback has returned, before any other event.
    ///
    /// # Errors
    ///
    /// [`Absent`]: the channel is closed or of another type. `f` is dropped.
    ///
    /// ```
    /// use reactor::{Absent, Channel, ChannelMap, Registration, Result, Token};
    ///
    /// #[derive(Debug)]
    /// struct Caterpillar { eaten: u32 }
    /// #[derive(Debug)]
    /// struct Butterfly { fuel: u32 }
    /// # impl Channel for Caterpillar {
    /// #     fn registration(&self) -> Option<&Registration> { None }
    /// #     fn handle_read_event(&mut self, _: Token, _: &mut ChannelMap) -> Result { Ok(()) }
    /// # }
    /// # impl Channel for Butterfly {
    /// #     fn registration(&self) -> Option<&Registration> { None }
    /// #     fn handle_read_event(&mut self, _: Token, _: &mut ChannelMap) -> Result { Ok(()) }
    /// # }
    ///
    /// let mut map = ChannelMap::new()?;
    /// let young = map.insert(Caterpillar { eaten: 7 })?;
    /// let grown = map.convert(young, |c| Butterfly { fuel: c.eaten }).unwrap();
    /// assert_eq!(grown.token(), young.token());
    /// assert_eq!(map.get(grown).unwrap().fuel, 7);
    /// assert_eq!(map.get(young).unwrap_err(), Absent::OtherType);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn convert<C: Channel, D: Channel>(
        &mut self,
        handle: Handle<C>,
        f: impl FnOnce(C) -> D + 'static,
    ) -> Result<Handle<D>, Absent> {
        let token = handle.token();
        let slot = slot_mut(&mut self.slots, token).ok_or(Absent::Closed)?;
        if !slot.is::<C>() {
            return Err(Absent::OtherType);
        }
        let convert = move |channel: Box<dyn Channel>| -> Box<dyn Channel> {
            let Ok(channel) = (channel as Box<dyn Any>).downcast::<C>() else {
                unreachable!("the slot's type was compared with the handle's");
            };
            Box::new(f(*channel))
        };
        slot.kind = TypeId::of::<D>();
        let conversion = &mut slot.deferred.get_or_insert_default().conversion;
        *conversion = Some(match conversion.take() {
            Some(first) => Box::new(move |channel| convert(first(channel))),
            None => Box::new(convert),
        });
        self.disturb(token);
        self.touch(token);
        self.lend(token, |_, _| ()); // which converts it, unless it is lent already
        Ok(token.handle())
    }
}
