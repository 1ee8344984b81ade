//! Timers: what the map does with them, and the trees that they are in.
//!
//! One tree has the timers as they are due, the other by their channels, so that
//! closing a channel removes its timers at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::ChannelMap;
use super::slot::slot_mut;
use crate::token::Token;

/// The next sequence number of the whole process, so that a timer of one map is
/// a stranger to every other.
static NEXT_SEQUENCE: AtomicU64 = AtomicU64::new(0);

/// The name of a timer that was set: what
/// [`ChannelMap::set_timer`](crate::ChannelMap::set_timer) returns and
/// [`Channel::handle_timer`](crate::Channel::handle_timer) is called with.
///
/// Timers are ordered as they are due: by deadline, then as they were set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timer {
    pub(super) deadline: Instant,
    sequence: u64,
}

/// # Timers
impl ChannelMap {
    /// Has the loop call the channel's
    /// [`handle_timer`](crate::Channel::handle_timer), once, when
    /// [`now`](Self::now) is not before `deadline` any more. Timers that are due
    /// together are called by deadline, then in the order they were set; a
    /// deadline in the past that is set in a callback counts as `now`, and one
    /// that a timer or remote work sets is not called before the next turn.
    ///
    /// A timer ends with its channel. For a channel that is not open, the
    /// timer is spent already.
    ///
    /// ```
    /// use std::time::Duration;
    /// use reactor::{Channel, ChannelMap, Registration, Result, Timer, Token};
    ///
    /// #[derive(Debug)]
    /// struct Alarm;
    ///
    /// impl Channel for Alarm {
    ///     fn registration(&self) -> Option<&Registration> {
    ///         None // timers only
    ///     }
    ///     fn handle_read_event(&mut self, _: Token, _: &mut ChannelMap) -> Result {
    ///         Ok(())
    ///     }
    ///     fn handle_timer(&mut self, _: Timer, me: Token, map: &mut ChannelMap) -> Result {
    ///         map.close(me);
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let mut map = ChannelMap::new()?;
    /// let alarm = map.insert(Alarm)?;
    /// map.set_timer(alarm, map.now() + Duration::from_millis(10));
    /// map.run()?; // until the alarm has closed itself
    /// # Ok::<(), reactor::Error>(())
    /// ```
    pub fn set_timer(&mut self, channel: impl Into<Token>, deadline: Instant) -> Timer {
        let token = channel.into();
        let timer = Timer {
            // A turn calls the timers that were set before it began to. One that is
            // set for the past meanwhile must not get ahead of those.
            deadline: match self.turning {
                true => deadline.max(self.now),
                false => deadline,
            },
            sequence: NEXT_SEQUENCE.fetch_add(1, Ordering::Relaxed),
        };
        if slot_mut(&mut self.slots, token).is_some() {
            self.timers.due.insert(timer, token);
            self.timers.owned.insert((token, timer.sequence), timer);
        }
        timer
    }

    /// Removes a timer. Returns whether it was still set.
    pub fn cancel(&mut self, timer: Timer) -> bool {
        self.timers.take(timer).is_some()
    }

    /// How many timers are set.
    #[must_use]
    pub fn timers(&self) -> usize {
        self.timers.due.len()
    }

    /// Calls the channels whose timers are due. What one of them sets is the next
    /// turn's.
    pub(super) fn call_timers(&mut self) -> usize {
        let mut called = 0;
        let mark = NEXT_SEQUENCE.load(Ordering::Relaxed);
        while let Some((&timer, _)) = self.timers.due.first_key_value() {
            if timer.deadline > self.now || timer.sequence >= mark {
                break;
            }
            if let Some(token) = self.timers.take(timer) {
                self.call_timer(timer, token);
                called += 1;
            }
        }
        called
    }

    fn call_timer(&mut self, timer: Timer, me: Token) {
        self.touch(me);
        self.lend(me, |channel, map| {
            if let Err(error) = channel.handle_timer(timer, me, map) {
                channel.handle_error(error, me, map);
            }
        });
        self.run_closes();
    }
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    pub(super) due: BTreeMap<Timer, Token>,
    /// By channel and sequence.
    owned: BTreeMap<(Token, u64), Timer>,
}

impl Timers {
    /// Removes a timer; `None` if it is not set.
    fn take(&mut self, timer: Timer) -> Option<Token> {
        let token = self.due.remove(&timer)?;
        self.owned.remove(&(token, timer.sequence));
        Some(token)
    }

    /// Removes all timers of a channel.
    pub(super) fn remove_all_of(&mut self, token: Token) {
        let all = (token, 0)..=(token, u64::MAX);
        while let Some((_, &timer)) = self.owned.range(all.clone()).next() {
            self.take(timer);
        }
    }
}
