//! A look at the channels of a map: [`ChannelEntry`].

use std::fmt;
use std::time::{Duration, Instant};

use super::ChannelMap;
use super::clock::Moment;
use super::slot::Slot;
use crate::channel::Channel;
use crate::token::Token;

/// An open channel, as [`ChannelMap::entries`] finds it.
#[derive(Clone, Copy)]
pub struct ChannelEntry<'map> {
    slot: &'map Slot,
    map: &'map ChannelMap,
    /// The time of the look.
    now: Instant,
}

impl<'map> ChannelEntry<'map> {
    /// The channel's token.
    pub fn token(&self) -> Token {
        self.slot.token
    }

    /// The channel; `None` while one of its own callbacks runs.
    pub fn channel(&self) -> Option<&'map dyn Channel> {
        self.slot.channel.as_deref()
    }

    /// The [name](ChannelMap::set_name) that the program has given it.
    pub fn name(&self) -> Option<&'map str> {
        self.map.name(self.slot.token)
    }

    /// When it came into the map. A conversion changes nothing.
    pub fn since(&self) -> Instant {
        let since = self.map.since[self.slot.token.slot];
        self.map.buffers.instant(since)
    }

    /// How long it had been in the map when [`entries`](ChannelMap::entries) was called.
    pub fn age(&self) -> Duration {
        self.now.saturating_duration_since(self.since())
    }
}

/// # Looking at the channels
impl ChannelMap {
    /// Iterates over all open channels, those inside a callback included, in no particular
    /// order. There are [`len`](Self::len) of them.
    ///
    /// ```
    /// use reactor::{ChannelMap, TimerChannel};
    ///
    /// let mut map = ChannelMap::new()?;
    /// let clock = map.insert(TimerChannel::new(|_, _, _| Ok(())))?;
    /// map.set_name(clock, "clock");
    /// map.with(clock, |_, map| {
    ///     let entry = map.entries().next().unwrap();
    ///     assert_eq!((entry.token(), entry.name()), (clock.token(), Some("clock")));
    ///     assert!(entry.channel().is_none()); // it is being called
    /// })?;
    /// # Ok::<(), reactor::Error>(())
    /// ```
    pub fn entries(&self) -> impl Iterator<Item = ChannelEntry<'_>> {
        let slots = self.slots.iter().map(|(_, slot)| slot);
        let open = slots.filter(|slot| !slot.closing);
        let now = self.after(Duration::ZERO);
        open.map(move |slot| ChannelEntry {
            slot,
            map: self,
            now,
        })
    }

    /// Gives a channel a name, for those who look at the map: a user's, or `console`. The
    /// name stays through conversions, and goes with the channel. An empty one is none.
    /// Returns `false`, and does nothing, if the channel is not open.
    pub fn set_name(&mut self, channel: impl Into<Token>, name: impl Into<Box<str>>) -> bool {
        let token = channel.into();
        let (is_open, name) = (self.is_open(token), name.into());
        if is_open && !name.is_empty() {
            self.names.insert(token, name);
        } else {
            self.names.remove(&token);
        }
        is_open
    }

    pub(super) fn note_insertion(&mut self, token: Token) {
        self.counts.inserted += 1;
        let since = self.buffers.moment(self.after(Duration::ZERO));
        if self.since.len() <= token.slot {
            self.since.resize(token.slot + 1, Moment::default());
        }
        self.since[token.slot] = since;
    }

    /// The name of a channel, if it has one.
    pub fn name(&self, channel: impl Into<Token>) -> Option<&str> {
        self.names.get(&channel.into()).map(|name| &**name)
    }
}

impl fmt::Debug for ChannelEntry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ChannelEntry")
            .field(&self.slot.token)
            .field(self.slot)
            .finish()
    }
}
