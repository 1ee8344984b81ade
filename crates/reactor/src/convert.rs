//! A channel that becomes a channel of another type.

use std::any::TypeId;

use crate::channel::{Channel, Object};
use crate::map::ChannelMap;
use crate::readiness::Readiness;
use crate::taken_out::TakenOut;
use crate::token::{Handle, Token};

/// Makes another channel of a channel.
pub(crate) type Conversion = Box<dyn FnOnce(Box<dyn Object>) -> Box<dyn Object>>;

/// # Conversion
impl ChannelMap {
    /// Makes a channel another channel, in the same slot: its token and its
    /// timers stay, and if `f` moves the source along, so does the
    /// registration.
    ///
    /// From inside one of the channel's own callbacks this is allowed, too:
    /// `f` is called when the callback has returned. No event comes between.
    ///
    /// `None` if there is no such channel; `f` is dropped then.
    ///
    /// ```
    /// use reactor::{Channel, ChannelMap, Registration, Result, Token};
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
    /// assert!(map.get(young).is_none()); // a handle of the wrong type
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn convert<C: Channel, D: Channel>(
        &mut self,
        handle: Handle<C>,
        f: impl FnOnce(C) -> D + 'static,
    ) -> Option<Handle<D>> {
        let token = handle.token;
        let slot = self.slot_mut(token)?;
        if !slot.is::<C>() {
            return None;
        }
        let convert = move |channel: Box<dyn Object>| -> Box<dyn Object> {
            let Ok(channel) = channel.into_any().downcast::<C>() else {
                unreachable!("the slot's type was compared with the handle's");
            };
            Box::new(f(*channel))
        };
        slot.kind = TypeId::of::<D>;
        let conversion: Conversion = match slot.conversion.take() {
            Some(first) => Box::new(move |channel| convert(first(channel))),
            None => Box::new(convert),
        };
        slot.conversion = Some(Box::new(conversion));
        self.is_disturbed |= self.calling == Some(token);
        self.touch(token);
        if let Some(out) = TakenOut::new(self, token) {
            out.put_back();
        }
        Some(token.handle())
    }

    /// The callback in which it was asked for has returned.
    #[cold]
    pub(crate) fn put_back_converted(&mut self, channel: Box<dyn Object>, token: Token) {
        let Some(slot) = self.slots.get_mut(token.slot()) else {
            return;
        };
        slot.channel = slot.conversion.take().map(|convert| convert(channel));
        if self.is_draining() {
            // The new type has not been told.
            self.make_ready(token, Readiness::DRAIN);
        }
    }
}
