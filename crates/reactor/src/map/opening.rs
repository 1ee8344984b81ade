//! What a channel gets when it enters a map: [`Opening`].

use std::any::Any;
use std::fmt;
use std::time::{Duration, Instant};

use super::timer::{Timer, Timers};
use super::{Buffers, ChannelMap};
use crate::token::Token;

/// The map, as a channel sees it that [enters](crate::Channel::open): the channel's own
/// token, the clock, its timers, and the map's provider. The other channels are out of
/// reach, so that inserting one channel runs no code of another.
///
/// ```
/// use std::io;
/// use std::time::Duration;
/// use reactor::{Channel, ChannelMap, Opening, Registration, Result, Timer, Token};
///
/// /// Closes itself 10 ms after it was inserted.
/// #[derive(Debug)]
/// struct Fuse;
///
/// impl Channel for Fuse {
///     fn registration(&self) -> Option<&Registration> {
///         None
///     }
///     fn open(&mut self, opening: &mut Opening) -> io::Result<()> {
///         opening.set_timer(opening.now() + Duration::from_millis(10));
///         Ok(())
///     }
///     fn handle_timer(&mut self, _: Timer, me: Token, map: &mut ChannelMap) -> Result {
///         map.close(me);
///         Ok(())
///     }
/// }
///
/// let mut map = ChannelMap::new()?;
/// let fuse = map.insert(Fuse)?;
/// assert_eq!(map.timers(), 1);
/// map.run()?;
/// assert!(!map.is_open(fuse));
/// # Ok::<(), reactor::Error>(())
/// ```
pub struct Opening<'map> {
    me: Token,
    now: Instant,
    /// `None`, if no such channel is open.
    timers: Option<&'map mut Timers>,
    providers: &'map mut Providers,
    buffers: &'map Buffers,
}

impl<'map> Opening<'map> {
    /// The opening of a channel that is in the map already, and opens something else: a
    /// connection to the next address, for example. Timers of a channel that is not open are
    /// spent already.
    pub fn of(me: Token, map: &'map mut ChannelMap) -> Self {
        let is_open = map.is_open(me);
        let opening = Self::first(me, map);
        Self {
            timers: opening.timers.filter(|_| is_open),
            ..opening
        }
    }

    /// The opening of a channel that is about to enter.
    pub(super) fn first(me: Token, map: &'map mut ChannelMap) -> Self {
        Self {
            me,
            now: map.after(Duration::ZERO),
            timers: Some(&mut map.timers),
            providers: &mut map.providers,
            buffers: &map.buffers,
        }
    }

    /// The channel's own token.
    pub fn me(&self) -> Token {
        self.me
    }

    /// The time: within a turn the map's [`now`](ChannelMap::now), and otherwise as
    /// [`ChannelMap::after`] counts.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The buffers that the channels of the map share.
    pub fn buffers(&self) -> &Buffers {
        self.buffers
    }

    /// Sets a timer of the channel's own, as [`ChannelMap::set_timer`] does. If the channel
    /// is not inserted after all, the timer goes.
    pub fn set_timer(&mut self, deadline: Instant) -> Timer {
        match &mut self.timers {
            Some(timers) => timers.set(self.me, 0, deadline.max(self.now)),
            None => Timer::spent(self.me, 0),
        }
    }

    /// The map's [provider](ChannelMap::set_provider) of this type, if it has one.
    pub fn provider<P: 'static>(&mut self) -> Option<&mut P> {
        self.providers.get_mut()
    }
}

impl fmt::Debug for Opening<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening")
            .field("me", &self.me)
            .finish_non_exhaustive()
    }
}

/// One value of each type: there are few.
#[derive(Default)]
pub(super) struct Providers(Vec<Box<dyn Any>>);

impl Providers {
    fn get<P: 'static>(&self) -> Option<&P> {
        self.0.iter().find_map(|it| it.downcast_ref())
    }

    fn get_mut<P: 'static>(&mut self) -> Option<&mut P> {
        self.0.iter_mut().find_map(|it| it.downcast_mut())
    }
}

/// # Providers
impl ChannelMap {
    /// Gives the map a provider: a value that its channel types find there when they
    /// [open](crate::Channel::open). The loop itself has no use for it. In the `chat` crate
    /// one is a `Network`, which `ChatMap::set_network` sets, and of which channels get their
    /// sockets in place of the operating system.
    ///
    /// A map has one provider of each type: this replaces one of the same type. Channels that
    /// are in the map already keep what they have.
    pub fn set_provider<P: Any>(&mut self, provider: P) {
        self.providers.0.retain(|it| !it.is::<P>());
        self.providers.0.push(Box::new(provider));
    }

    /// The map's provider of this type, if it has one.
    pub fn provider<P: 'static>(&self) -> Option<&P> {
        self.providers.get()
    }

    /// The map's provider of this type, if it has one.
    pub fn provider_mut<P: 'static>(&mut self) -> Option<&mut P> {
        self.providers.get_mut()
    }
}
