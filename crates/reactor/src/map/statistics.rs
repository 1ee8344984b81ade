//! What a map has done so far: [`Statistics`].

use std::mem;
use std::time::{Duration, Instant};

use super::ChannelMap;
use crate::token::Token;

/// What a map has done since it was made. [`ChannelMap::statistics`] returns it.
///
/// The difference of two is what happened in between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Turns: [`ChannelMap::turns`].
    pub turns: u64,
    /// What the turns dispatched: the sum of what [`ChannelMap::turn`] returned.
    pub events: u64,
    /// Timers that came. [`ChannelMap::timers`] is the number of those that are set.
    pub timers_fired: u64,
    /// Channels that were inserted.
    pub inserted: u64,
    /// Channels whose `handle_close` came. Those that were removed, or are still to be told,
    /// do not count.
    pub closed: u64,
    /// Channels that were closed as [`Evicted`](crate::CloseReason::Evicted).
    pub evicted: u64,
    /// How the time went, while it is [measured](ChannelMap::set_measuring).
    pub measured: Option<Measured>,
}

/// How the time of a loop went since [`ChannelMap::set_measuring`] switched that on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Measured {
    /// Time that has passed.
    pub elapsed: Duration,
    /// The part of it in which the loop did not wait for events: callbacks, system calls, and
    /// whatever the program does between turns.
    pub busy: Duration,
    /// The longest call so far; `None` if there was none.
    pub longest: Option<Call>,
}

/// One channel's events of a turn, a timer or a piece of remote work, with the closes and
/// posts that it asked for. What was closed or posted outside of a turn does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// The time that it took.
    pub time: Duration,
    /// The channel that was called; `None` for remote work.
    pub channel: Option<Token>,
}

/// What is kept while a map is measured.
#[derive(Debug)]
pub(super) struct Measure {
    since: Instant,
    slept: Duration,
    /// When the wait began, or the last call ended.
    stamp: Instant,
    longest: Option<Call>,
}

impl Measure {
    /// Reads the clock; returns the time since it was last read.
    pub(super) fn stamp(&mut self) -> Duration {
        let now = Instant::now();
        now.saturating_duration_since(mem::replace(&mut self.stamp, now))
    }

    /// The wait is over.
    #[cold]
    pub(super) fn wake_up(&mut self) {
        let slept = self.stamp();
        self.slept += slept;
    }
}

/// # Looking at the loop
impl ChannelMap {
    /// What the map has done since it was made.
    ///
    /// ```
    /// use reactor::{ChannelMap, TimerChannel};
    ///
    /// let mut map = ChannelMap::new()?;
    /// let alarm = map.insert(TimerChannel::new(|_, me, map| {
    ///     map.close(me);
    ///     Ok(())
    /// }))?;
    /// map.set_timer(alarm, map.now());
    /// map.set_measuring(true);
    /// map.run()?;
    ///
    /// let statistics = map.statistics();
    /// assert_eq!((statistics.timers_fired, statistics.closed), (1, 1));
    /// let measured = statistics.measured.unwrap();
    /// let longest = measured.longest.unwrap();
    /// assert!(longest.time <= measured.busy && measured.busy <= measured.elapsed);
    /// assert_eq!(longest.channel, Some(alarm.token()));
    /// # Ok::<(), reactor::Error>(())
    /// ```
    pub fn statistics(&self) -> Statistics {
        let measured = self.measure.as_ref().map(|measure| {
            let elapsed = measure.since.elapsed();
            Measured {
                elapsed,
                busy: elapsed.saturating_sub(measure.slept),
                longest: measure.longest,
            }
        });
        Statistics {
            measured,
            ..self.counts
        }
    }

    /// Begins to measure how the time goes, or ends it. The default is off: it costs a
    /// reading of the clock for each call, and three for each turn. Switched
    /// on again, it begins anew. It goes by the system's clock, also in a map that
    /// [`turn_at`](Self::turn_at) turns.
    pub fn set_measuring(&mut self, is_on: bool) {
        let now = Instant::now();
        self.pauses = is_on || !self.posts.is_empty();
        self.measure = is_on.then(|| {
            Box::new(Measure {
                since: now,
                slept: Duration::ZERO,
                stamp: now,
                longest: None,
            })
        });
    }

    /// A call has come to its end, with the closes and posts that it asked for.
    pub(super) fn take_time(&mut self, channel: Option<Token>) {
        let Some(measure) = &mut self.measure else {
            return;
        };
        let time = measure.stamp();
        if measure.longest.is_none_or(|longest| time > longest.time) {
            measure.longest = Some(Call { time, channel });
        }
    }
}
