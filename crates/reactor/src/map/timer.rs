//! Timers: what the map does with them, and the indexed heap that they are in.
//!
//! Every timer knows its place in the heap, so that cancelling one removes it at
//! once instead of leaving a corpse to be popped later. The timers of one channel
//! are linked, so that closing it removes them all.

use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use slab::Slab;

use super::ChannelMap;
use super::slot::slot_mut;
use crate::channel::Channel;
use crate::error::Result;
use crate::token::Token;

/// The next sequence number of the whole process, so that a timer of one map is
/// a stranger to every other.
static NEXT_SEQUENCE: AtomicU64 = AtomicU64::new(0);

/// How often a channel begins before one of its timers, if it is converted there again.
const MOST_BEGINNINGS: u32 = 16;

/// How many children a place of the heap has: half as many levels as with two, and each
/// level costs a visit to memory that is far away.
const CHILDREN: usize = 4;

const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

fn next_sequence() -> u64 {
    NEXT_SEQUENCE.fetch_add(1, Ordering::Relaxed)
}

/// The name of a timer. [`ChannelMap::set_timer`](crate::ChannelMap::set_timer) returns
/// it, and [`Channel::handle_timer`](crate::Channel::handle_timer) gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timer {
    key: u32,
    number: u32,
    sequence: u64,
}

impl Timer {
    /// One that was never set, since its channel is not open.
    pub(super) fn spent(token: Token, number: u32) -> Self {
        log::debug!("channel {token}: a timer was not set: the channel is not open");
        Self {
            key: u32::MAX,
            sequence: next_sequence(),
            number,
        }
    }

    /// The number of a [numbered](ChannelMap::set_numbered_timer) timer; 0 of any other.
    #[must_use]
    pub fn number(self) -> u32 {
        self.number
    }
}

/// # Timers
impl ChannelMap {
    /// Sets a timer: the loop calls the channel's
    /// [`handle_timer`](crate::Channel::handle_timer) once, when [`now`](Self::now)
    /// reaches `deadline`.
    ///
    /// Timers that are due together fire by deadline, then in the order in which they
    /// were set. A past deadline that a callback sets counts as `now`. A timer that a
    /// timer or remote work sets fires in the next turn at the earliest.
    ///
    /// A timer ends with its channel. On a channel that is not open, in its `handle_close`
    /// for example, the timer is already spent, and never comes. The log says so at the level
    /// `debug`.
    ///
    /// Take the deadline from [`after`](Self::after): between turns, `now` stands still.
    ///
    /// ```
    /// use std::time::Duration;
    /// use reactor::{ChannelMap, TimerChannel};
    ///
    /// let mut map = ChannelMap::new()?;
    /// let alarm = map.insert(TimerChannel::new(|_, me, map| {
    ///     map.close(me);
    ///     Ok(())
    /// }))?;
    /// map.set_timer(alarm, map.after(Duration::from_millis(10)));
    /// map.run()?; // until the alarm has closed itself
    /// # Ok::<(), reactor::Error>(())
    /// ```
    pub fn set_timer(&mut self, channel: impl Into<Token>, deadline: Instant) -> Timer {
        self.set_numbered_timer(channel, 0, deadline)
    }

    /// Like [`set_timer`](Self::set_timer), with a number of the caller's choice, and with a
    /// deadline that [`after`](Self::after) gives.
    /// `handle_timer` tells the timers of a channel apart by
    /// [`Timer::number`]. Two timers may have the same number. The channels of the `chat`
    /// crate keep `u32::MAX` for themselves: their handlers do not get its timers.
    ///
    /// ```
    /// use std::time::Duration;
    /// use reactor::{ChannelMap, CloseReason, TimerChannel};
    ///
    /// const GREET: u32 = 1;
    /// const GIVE_UP: u32 = 2;
    ///
    /// let mut map = ChannelMap::new()?;
    /// let channel = map.insert(TimerChannel::new(|timer, me, map| {
    ///     if timer.number() == GIVE_UP {
    ///         map.close_with(me, CloseReason::TimedOut);
    ///     }
    ///     Ok(())
    /// }))?;
    /// map.set_numbered_timer(channel, GREET, map.now());
    /// map.set_numbered_timer(channel, GIVE_UP, map.after(Duration::from_millis(1)));
    /// map.run()?;
    /// # Ok::<(), reactor::Error>(())
    /// ```
    pub fn set_numbered_timer(
        &mut self,
        channel: impl Into<Token>,
        number: u32,
        deadline: Instant,
    ) -> Timer {
        let token = channel.into();
        let deadline = self.not_before_now(deadline);
        match self.is_open(token) {
            true => self.timers.set(token, number, deadline),
            false => Timer::spent(token, number),
        }
    }

    /// Moves a timer to another deadline, as if it were cancelled and set again;
    /// [`after`](Self::after) gives the deadline. The timer keeps
    /// its number, and `timer` becomes its new name; a copy of the old one is spent.
    ///
    /// Returns `false` if the timer was spent already. Then nothing changes.
    ///
    /// ```
    /// use std::time::Duration;
    /// use reactor::{ChannelMap, TimerChannel};
    ///
    /// let mut map = ChannelMap::new()?;
    /// let channel = map.insert(TimerChannel::new(|_, _, _| Ok(())))?;
    /// let mut idle = map.set_timer(channel, map.after(Duration::from_secs(5)));
    /// let later = map.after(Duration::from_secs(9));
    /// assert!(map.reset_timer(&mut idle, later));
    /// assert!(map.cancel(idle));
    /// assert!(!map.reset_timer(&mut idle, later));
    /// # Ok::<(), reactor::Error>(())
    /// ```
    pub fn reset_timer(&mut self, timer: &mut Timer, deadline: Instant) -> bool {
        if !self.timers.is_set(*timer) {
            return false;
        }
        let deadline = self.not_before_now(deadline);
        timer.sequence = next_sequence();
        self.timers.move_to(timer.key, deadline, timer.sequence);
        true
    }

    /// The instant `delay` from now, for a timer or a [shutdown](Self::shut_down).
    ///
    /// Within a turn, that is [`now`](Self::now)` + delay`. Between turns and before the
    /// first, where `now` stands still, it is counted from the system's clock: a program that
    /// has been busy there loses none of its `delay`. In a map that
    /// [`turn_at`](Self::turn_at) has ever turned, it is always counted from `now`. A `delay`
    /// that is too long for the clock counts as a century.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use reactor::ChannelMap;
    ///
    /// let mut map = ChannelMap::new()?;
    /// let before = Instant::now();
    /// assert!(map.after(Duration::from_secs(5)) >= before + Duration::from_secs(5));
    ///
    /// map.turn_at(before)?; // a test's clock
    /// assert_eq!(map.after(Duration::from_secs(5)), before + Duration::from_secs(5));
    /// # Ok::<(), reactor::Error>(())
    /// ```
    #[must_use]
    pub fn after(&self, delay: Duration) -> Instant {
        let now = match self.home.is_turning() || self.is_simulated {
            true => self.now,
            false => Instant::now(),
        };
        now.checked_add(delay).unwrap_or(now + CENTURY)
    }

    /// A turn calls the timers that were set before it began to. One that is set for the
    /// past meanwhile must not get ahead of those.
    fn not_before_now(&self, deadline: Instant) -> Instant {
        match self.home.is_turning() {
            true => deadline.max(self.now),
            false => deadline,
        }
    }

    /// Removes a timer. Returns whether it was still set.
    pub fn cancel(&mut self, timer: Timer) -> bool {
        self.timers.remove(timer)
    }

    /// The number of timers that are set.
    pub fn timers(&self) -> usize {
        self.timers.heap.len()
    }

    /// Calls the channels whose timers are due. What one of them sets is the next
    /// turn's.
    pub(super) fn call_timers(&mut self) -> usize {
        let mut called = 0;
        let mut begun = (None, 0);
        let mark = NEXT_SEQUENCE.load(Ordering::Relaxed);
        while let Some(&Due(deadline, sequence, key)) = self.timers.heap.first() {
            if deadline > self.now || sequence >= mark {
                break;
            }
            // That may cancel the timer. A channel that is converted again and again must
            // let go some time.
            let times = if begun.0 == Some(sequence) {
                begun.1
            } else {
                0
            };
            if times < MOST_BEGINNINGS && self.begin(self.timers.entries[key as usize].token) {
                begun = (Some(sequence), times + 1);
                called += 1;
                continue;
            }
            let Entry { token, number, .. } = self.timers.take(key);
            let timer = Timer {
                key,
                sequence,
                number,
            };
            self.call_timer(timer, token);
            called += 1;
        }
        called
    }

    fn call_timer(&mut self, timer: Timer, me: Token) {
        self.counts.timers_fired += 1;
        self.call(me, |channel, map| channel.handle_timer(timer, me, map));
    }

    /// Has the channel do what comes before its first timer; returns whether there was
    /// anything.
    fn begin(&mut self, me: Token) -> bool {
        let slot = slot_mut(&mut self.slots, me);
        let channel = slot.and_then(|slot| slot.channel.as_ref());
        let must_begin = channel.is_some_and(|channel| channel.must_begin(me));
        if must_begin {
            self.call(me, |channel, map| channel.handle_begin(me, map));
        }
        must_begin
    }

    /// Makes a call that no event has caused.
    fn call(&mut self, me: Token, callback: impl FnOnce(&mut dyn Channel, &mut Self) -> Result) {
        let home = Rc::clone(&self.home);
        self.touch(me);
        self.lend(me, |channel, map| {
            if let Err(error) = callback(channel, map) {
                channel.handle_error(error, me, map);
            }
        });
        if !self.is_at(&home) {
            self.park(None);
        }
        self.end_callback();
        self.run_posts();
        self.take_time(Some(me));
    }
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    entries: Slab<Entry>,
    pub(super) heap: Vec<Due>,
    /// The first timer of the channel in each slot.
    first: Vec<Option<u32>>,
}

/// When a timer is due, its sequence number, and its key: timers are called in
/// this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due(pub(super) Instant, u64, u32);

#[derive(Debug)]
struct Entry {
    token: Token,
    number: u32,
    /// Where it is in the heap.
    place: u32,
    /// Its neighbours among the channel's timers.
    previous: Option<u32>,
    next: Option<u32>,
}

impl Timers {
    /// Removes all timers of a channel.
    pub(super) fn remove_all_of(&mut self, token: Token) {
        while let Some(&Some(key)) = self.first.get(token.slot) {
            self.take(key);
        }
    }

    /// Sets a timer.
    pub(super) fn set(&mut self, token: Token, number: u32, deadline: Instant) -> Timer {
        let sequence = next_sequence();
        let key = self.insert(deadline, sequence, token, number);
        Timer {
            key,
            sequence,
            number,
        }
    }

    fn insert(&mut self, deadline: Instant, sequence: u64, token: Token, number: u32) -> u32 {
        if self.first.len() <= token.slot {
            self.first.resize(token.slot + 1, None);
        }
        let next = self.first[token.slot];
        let key = index(self.entries.insert(Entry {
            token,
            number,
            place: 0,
            previous: None,
            next,
        }));
        self.first[token.slot] = Some(key);
        if let Some(next) = next {
            self.entry(next).previous = Some(key);
        }
        self.heap.push(Due(deadline, sequence, key));
        self.sift_up(self.heap.len() - 1);
        key
    }

    fn is_set(&self, timer: Timer) -> bool {
        let entry = self.entries.get(timer.key as usize);
        entry.is_some_and(|entry| self.heap[entry.place as usize].1 == timer.sequence)
    }

    /// Removes a timer, if it is still set.
    fn remove(&mut self, timer: Timer) -> bool {
        let is_set = self.is_set(timer);
        if is_set {
            self.take(timer.key);
        }
        is_set
    }

    fn move_to(&mut self, key: u32, deadline: Instant, sequence: u64) {
        let place = self.entry(key).place as usize;
        self.heap[place] = Due(deadline, sequence, key);
        self.sift(place);
    }

    /// Removes the timer of this key.
    fn take(&mut self, key: u32) -> Entry {
        let entry = self.entries.remove(key as usize);
        match entry.previous {
            Some(previous) => self.entry(previous).next = entry.next,
            None => self.first[entry.token.slot] = entry.next,
        }
        if let Some(next) = entry.next {
            self.entry(next).previous = entry.previous;
        }
        let place = entry.place as usize;
        self.heap.swap_remove(place);
        if place < self.heap.len() {
            self.sift(place);
        }
        entry
    }

    fn entry(&mut self, key: u32) -> &mut Entry {
        &mut self.entries[key as usize]
    }

    /// Moves what is at this place to where it belongs.
    fn sift(&mut self, place: usize) {
        let place = self.sift_up(place);
        self.sift_down(place);
    }

    fn sift_up(&mut self, mut place: usize) -> usize {
        let due = self.heap[place];
        while place > 0 {
            let parent = (place - 1) / CHILDREN;
            if self.heap[parent] < due {
                break;
            }
            self.put(place, self.heap[parent]);
            place = parent;
        }
        self.put(place, due);
        place
    }

    fn sift_down(&mut self, mut place: usize) {
        let due = self.heap[place];
        loop {
            let first = CHILDREN * place + 1;
            let children = first..self.heap.len().min(first + CHILDREN);
            let Some(child) = children.min_by_key(|&at| self.heap[at]) else {
                break;
            };
            if due < self.heap[child] {
                break;
            }
            self.put(place, self.heap[child]);
            place = child;
        }
        self.put(place, due);
    }

    fn put(&mut self, place: usize, due: Due) {
        self.heap[place] = due;
        self.entry(due.2).place = index(place);
    }
}

/// A place or a key. So many timers as a `u32` counts would take 300 GB.
fn index(at: usize) -> u32 {
    u32::try_from(at).expect("there are fewer timers")
}

#[cfg(test)]
mod tests;
