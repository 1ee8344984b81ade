//! A channel that has nothing but timers: [`TimerChannel`].

use std::any::type_name;
use std::fmt;

use crate::channel::Channel;
use crate::error::Result;
use crate::map::{ChannelMap, Timer};
use crate::source::Registration;
use crate::token::Token;

/// A channel without a source, for periodic work. It calls its function for each of its
/// [timers](ChannelMap::set_timer), with the timer, its own token and the map. An `Err` is
/// logged and closes the channel.
///
/// The channel is open, and keeps [`run`](ChannelMap::run) going, until it is closed; it
/// does so even without a timer. A shutdown closes it at once. One that serves the others
/// as long as there are any belongs in the [background](ChannelMap::set_background); one that
/// brings others back, such as a connection that was lost, does not. A channel that has
/// something to say at its end implements [`Channel`] instead.
///
/// ```
/// use std::time::Duration;
/// use reactor::{ChannelMap, Timer, TimerChannel, Token};
///
/// let every = Duration::from_millis(1);
/// let mut left = 3;
/// let mut map = ChannelMap::new()?;
/// let ticks = map.insert(TimerChannel::new(move |_, me, map| {
///     left -= 1;
///     if left == 0 {
///         map.close(me);
///     } else {
///         map.set_timer(me, map.after(every));
///     }
///     Ok(())
/// }))?;
/// map.set_timer(ticks, map.after(every));
/// map.run()?; // until the third tick
/// # Ok::<(), reactor::Error>(())
/// ```
pub struct TimerChannel<F>(F);

impl<F: FnMut(Timer, Token, &mut ChannelMap) -> Result + 'static> TimerChannel<F> {
    /// A channel that calls `f` for each of its timers. It has none until one is set.
    pub fn new(f: F) -> Self {
        Self(f)
    }
}

impl<F: FnMut(Timer, Token, &mut ChannelMap) -> Result + 'static> Channel for TimerChannel<F> {
    fn registration(&self) -> Option<&Registration> {
        None
    }

    fn handle_timer(&mut self, timer: Timer, me: Token, map: &mut ChannelMap) -> Result {
        self.0(timer, me, map)
    }
}

impl<F> fmt::Debug for TimerChannel<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TimerChannel({})", type_name::<F>())
    }
}
