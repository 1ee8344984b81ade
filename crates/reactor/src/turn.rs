//! How the map turns: settle, wait, dispatch, timers, remote work.

use std::mem;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::time::{Duration, Instant};

use polling::PollMode;

use crate::channel::{Object, interest};
use crate::close_reason::CloseReason;
use crate::error::{NestedTurn, Result};
use crate::map::{ChannelMap, open_slot};
use crate::readiness::Readiness;
use crate::timer::Timer;
use crate::token::Token;

/// How often one turn settles what its own closing touched, before it polls.
const SETTLE_ROUNDS: usize = 4;

/// # Turning the loop
impl ChannelMap {
    /// Turns until no channel is left (and no [remote](Self::remote) work
    /// waits), or [`stop`](Self::stop) is called: the documents' `loop()`.
    ///
    /// # Errors
    ///
    /// [`NestedTurn`] from inside a callback; or what the operating system
    /// says when the wait itself fails. What goes wrong with one channel is
    /// that channel's, never the loop's.
    #[doc(alias("loop", "asyncore.loop"))]
    pub fn run(&mut self) -> Result {
        self.run_turns(None, usize::MAX)
    }

    /// Turns at most `count` times, each waiting at most `timeout`, as long as
    /// [`run`](Self::run) would: the documents' `loop(timeout, count=count)`.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_turns(&mut self, timeout: Option<Duration>, count: usize) -> Result {
        if self.is_turning() {
            return Err(NestedTurn.into());
        }
        for _ in 0..count {
            if self.stopping {
                break;
            }
            if self.is_done() && self.inbox.waiting() == 0 {
                self.drain_deadline = None;
                break;
            }
            self.turn(timeout)?;
        }
        self.stopping = false;
        Ok(())
    }

    /// Makes one turn, which waits for events at most `timeout` (`None`: until
    /// there is one): the documents' `poll()`. Returns how many channels with
    /// events, timers and pieces of remote work it dispatched.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    #[doc(alias("poll", "poll2", "poll3"))]
    pub fn turn(&mut self, timeout: Option<Duration>) -> Result<usize> {
        let mut map = self.begin_turn()?;
        let (was_done, was_stopping) = (map.is_done(), map.stopping);
        map.settle();
        if map.is_done() && !was_done {
            // Nobody is left to wait for, and `run` shall return.
        } else if map.has_work() || (map.stopping && !was_stopping) {
            map.wait(Some(Duration::ZERO))?;
        } else {
            let patience = map.patience(timeout);
            map.wait(patience)?;
        }
        map.now = Instant::now();
        Ok(map.dispatch_all())
    }

    /// Makes one turn without the poller and without a wait, at a time of the
    /// caller's: what is dispatched is what [`dispatch`](Self::dispatch)
    /// brought, what is [pending](crate::Channel::pending), and the timers that are
    /// due at `now`.
    ///
    /// For simulations and tests: this is the production loop with another
    /// clock and another network.
    ///
    /// # Errors
    ///
    /// [`NestedTurn`] from inside a callback.
    pub fn turn_at(&mut self, now: Instant) -> Result<usize> {
        let mut map = self.begin_turn()?;
        map.now = now;
        map.settle();
        Ok(map.dispatch_all())
    }

    /// Has the next turn call the channel as if the poller had reported
    /// `readiness`; what the channel does not want to hear of is left out, as
    /// the poller would. Returns whether there is such a channel.
    #[doc(alias = "readwrite")]
    pub fn dispatch(&mut self, channel: impl Into<Token>, readiness: Readiness) -> bool {
        let token = channel.into();
        let is_open = self.is_open(token);
        self.make_ready(token, readiness);
        is_open
    }

    /// Makes [`run`](Self::run) return once the present turn is over; if it is
    /// not running, then the next time it is called. The channels stay in the
    /// map.
    #[doc(alias = "ExitNow")]
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// Tells every channel to finish
    /// ([`Channel::handle_drain`](crate::Channel::handle_drain)): a chat channel
    /// sends what is queued and closes, a listener closes at once. At
    /// `deadline`, what is left is closed with [`CloseReason::Drained`].
    ///
    /// Channels that are inserted meanwhile are told, too: one that reconnects
    /// in `handle_close` asks [`is_draining`](Self::is_draining) first. From
    /// `deadline` on nothing can be inserted until the map is empty. So
    /// [`run`](Self::run) returns soon after `deadline` at the latest.
    pub fn drain(&mut self, deadline: Instant) {
        if self.is_done() {
            return;
        }
        if self.drain_deadline.replace(deadline).is_some() {
            return; // they know
        }
        let tokens: Vec<Token> = self.slots.iter().map(|(_, slot)| slot.token).collect();
        for token in tokens {
            self.make_ready(token, Readiness::DRAIN);
        }
    }

    /// Whether the map is being [drained](Self::drain).
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.drain_deadline.is_some()
    }

    fn begin_turn(&mut self) -> Result<Turning<'_>> {
        if self.is_turning() {
            return Err(NestedTurn.into());
        }
        self.turning = true;
        self.turns += 1;
        Ok(Turning(self))
    }

    /// Settles the touched channels, and closes what was closed since.
    ///
    /// A close may touch others (the room tells its members), who are to be
    /// settled before the wait as well. The rounds are bounded; if there is
    /// still something to do after the last, the wait does not sleep.
    fn settle(&mut self) {
        // All before the first close is told of, one that was asked for between
        // two turns as well: what one channel is told may end another, which
        // still has something to send.
        mem::swap(&mut self.dispatched, &mut self.batch);
        self.batch.append(self.touched.get_mut());
        self.settle_batch();
        for _ in 0..SETTLE_ROUNDS {
            if self.touched.get_mut().is_empty() {
                break;
            }
            mem::swap(self.touched.get_mut(), &mut self.batch);
            self.settle_batch();
        }
    }

    fn settle_batch(&mut self) {
        for nth in 0..self.batch.len() {
            self.settle_channel(self.batch[nth]);
        }
        self.batch.clear();
        self.run_closes();
    }

    fn settle_channel(&mut self, token: Token) {
        let Some(slot) = open_slot(&mut self.slots, token) else {
            return;
        };
        // It stays in its slot meanwhile, for it does not get the map.
        self.calling = Some(token);
        let settled = slot.settle(&self.poller, self.mode, &mut self.ready);
        self.calling = None;
        if let Err(reason) = settled {
            self.close_with(token, reason);
        }
    }

    /// Waits for events and queues them for dispatch.
    fn wait(&mut self, timeout: Option<Duration>) -> Result {
        self.events.clear();
        self.poller.wait(&mut self.events, timeout)?;
        for event in self.events.iter() {
            let Some(slot) = self.slots.get_mut(event.key) else {
                continue;
            };
            if self.mode == PollMode::Oneshot {
                if let Some(link) = &slot.link {
                    link.spend();
                }
                slot.touch(self.touched.get_mut());
            }
            let mut reported = Readiness::NONE;
            if event.readable {
                reported |= Readiness::READABLE;
            }
            if event.writable {
                reported |= Readiness::WRITABLE;
            }
            if event.is_priority() {
                reported |= Readiness::PRIORITY;
            }
            // A hang-up or an error is reported as everything at once.
            slot.make_ready(reported & slot.interest, &mut self.ready);
        }
        Ok(())
    }

    /// Whether there is something to do without any event.
    fn has_work(&mut self) -> bool {
        !self.ready.is_empty()
            || !self.touched.get_mut().is_empty()
            || !self.closing.is_empty()
            || self.inbox.waiting() > 0
    }

    /// How long the wait may sleep.
    fn patience(&self, timeout: Option<Duration>) -> Option<Duration> {
        let deadlines = [self.timers.next_deadline(), self.drain_deadline];
        let next = deadlines.into_iter().flatten().min();
        // A fresh reading: by `self.now`, the wait would last longer by the
        // time that this turn's callbacks took.
        let until_next = next.map(|at| at.saturating_duration_since(Instant::now()));
        [timeout, until_next].into_iter().flatten().min()
    }

    fn dispatch_all(&mut self) -> usize {
        let mut dispatched = 0;
        // What callbacks make ready is the next turn's.
        mem::swap(&mut self.ready, &mut self.batch);
        for nth in 0..self.batch.len() {
            // Gone if a callback put another map in this one's place.
            let Some(&token) = self.batch.get(nth) else {
                break;
            };
            dispatched += usize::from(self.dispatch_channel(token));
            self.run_closes();
        }
        mem::swap(&mut self.batch, &mut self.dispatched);
        let not_from_here_on = Timer::watermark();
        while let Some(due) = self.timers.pop_due(self.now, not_from_here_on) {
            self.unlink(due.token, due.new_head);
            self.call(due.token, |channel, me, map| {
                channel.handle_timer(due.timer, me, map)
            });
            dispatched += 1;
            self.run_closes();
        }
        for _ in 0..self.inbox.waiting() {
            let Some(work) = self.inbox.pop() else {
                break;
            };
            work(self);
            dispatched += 1;
            self.run_closes();
        }
        if self.is_drain_overdue() {
            self.close_all_with(|| CloseReason::Drained);
            self.run_closes();
        }
        if self.is_done() {
            self.drain_deadline = None;
        }
        dispatched
    }

    /// Calls a channel with its events; returns whether it wanted any.
    fn dispatch_channel(&mut self, token: Token) -> bool {
        let Some(slot) = open_slot(&mut self.slots, token) else {
            return false;
        };
        let mut ready = mem::take(&mut slot.ready);
        // If nobody touched the channel since, it wants what it wanted then.
        let is_known = !slot.touched;
        if is_known {
            ready = ready & (slot.interest | Readiness::PENDING | Readiness::DRAIN);
        }
        if ready.is_empty() {
            return false;
        }
        slot.touched = true; // by the next turn, which begins with the dispatched
        let Some(mut channel) = slot.channel.take() else {
            return false;
        };
        self.begin_call(token);
        let was_called = if ready == Readiness::READABLE && is_known {
            self.call_with(Readiness::READABLE, &mut *channel, token);
            true
        } else {
            // What it said of itself may have changed by what it was told since.
            let is_known = is_known && !ready.contains(Readiness::PENDING);
            self.call_one_by_one(ready, is_known, &mut *channel, token)
        };
        self.put_back(channel, token);
        self.calling = None;
        was_called
    }

    /// Calls a channel with each of several events, as long as it wants them; the
    /// first may be known to be wanted. Returns whether one was.
    #[inline(never)]
    fn call_one_by_one(
        &mut self,
        mut ready: Readiness,
        mut is_known: bool,
        channel: &mut dyn Object,
        me: Token,
    ) -> bool {
        let mut was_called = false;
        while let Some(event) = ready.take_first() {
            if is_known || self.is_wanted(event, channel, me) {
                self.call_with(event, channel, me);
                was_called = true;
                is_known = false;
                if ready.is_empty() || !self.may_continue(me) {
                    break;
                }
            }
        }
        was_called
    }

    #[inline]
    fn call_with(&mut self, event: Readiness, channel: &mut dyn Object, me: Token) {
        let result = match event {
            Readiness::DRAIN => channel.handle_drain(me, self),
            Readiness::PENDING => channel.handle_pending(me, self),
            Readiness::PRIORITY => channel.handle_expt_event(me, self),
            Readiness::READABLE => channel.handle_read_event(me, self),
            _ => channel.handle_write_event(me, self),
        };
        if let Err(error) = result {
            channel.handle_error(error, me, self);
        }
    }

    /// Whether an event that was reported is still the channel's: callbacks may
    /// have changed what it wants, or replaced the source that it came from.
    fn is_wanted(&self, event: Readiness, channel: &dyn Object, me: Token) -> bool {
        match event {
            Readiness::DRAIN => return true,
            Readiness::PENDING => return channel.pending(me),
            _ => {}
        }
        let watched = self.slots[me.slot()].link.as_ref().map(Rc::as_ptr);
        let present = channel.registration().map(|r| Rc::as_ptr(r.link()));
        watched == present && interest(channel, me).contains(event)
    }

    fn begin_call(&mut self, token: Token) {
        self.calling = Some(token);
        self.is_disturbed = false;
    }

    /// Runs one callback of an open channel, and its `handle_error` if it fails.
    fn call(
        &mut self,
        token: Token,
        callback: impl FnOnce(&mut dyn Object, Token, &mut Self) -> Result,
    ) {
        self.touch(token);
        let slot = self.slot_mut(token);
        let Some(mut channel) = slot.and_then(|slot| slot.channel.take()) else {
            return;
        };
        self.begin_call(token);
        if let Err(error) = callback(&mut *channel, token, self) {
            channel.handle_error(error, token, self);
        }
        self.put_back(channel, token);
        self.calling = None;
    }

    /// Calls `handle_close` of the closed channels, first come first served.
    ///
    /// Channels that were made in here wait for the next time: otherwise one
    /// whose `handle_close` inserts and closes another would never end.
    #[inline]
    fn run_closes(&mut self) {
        if !self.closing.is_empty() {
            self.run_closes_until_none_is_left();
        }
    }

    #[cold]
    fn run_closes_until_none_is_left(&mut self) {
        let watermark = Token::watermark();
        while let Some((token, _)) = self.closing.front() {
            if !token.is_before(watermark) {
                break;
            }
            let Some((token, reason)) = self.closing.pop_front() else {
                break;
            };
            let channel = self.vacate(token).and_then(|slot| slot.channel);
            if let Some(mut channel) = channel {
                channel.handle_close(reason, token, self);
            }
        }
    }

    /// A panic has ended the turn: what was left of the batch is the next one's.
    #[cold]
    fn put_back_batch(&mut self) {
        for token in mem::take(&mut self.batch) {
            let Some(slot) = open_slot(&mut self.slots, token) else {
                continue;
            };
            if mem::take(&mut slot.touched) {
                slot.touch(self.touched.get_mut());
            }
            let ready = mem::take(&mut slot.ready);
            slot.make_ready(ready, &mut self.ready);
        }
    }

    pub(crate) fn make_ready(&mut self, token: Token, readiness: Readiness) {
        if let Some(slot) = open_slot(&mut self.slots, token) {
            slot.make_ready(readiness, &mut self.ready);
        }
    }

    fn is_turning(&self) -> bool {
        self.turning || self.taken_out > 0
    }

    /// No channel is left, and none is to be closed.
    fn is_done(&self) -> bool {
        self.is_empty() && self.closing.is_empty()
    }

    pub(crate) fn is_drain_overdue(&self) -> bool {
        self.drain_deadline
            .is_some_and(|deadline| deadline <= self.now)
    }
}

/// The map during a turn. A panic ends the turn, too: the map can be turned
/// again.
struct Turning<'m>(&'m mut ChannelMap);

impl Deref for Turning<'_> {
    type Target = ChannelMap;

    fn deref(&self) -> &ChannelMap {
        self.0
    }
}

impl DerefMut for Turning<'_> {
    fn deref_mut(&mut self) -> &mut ChannelMap {
        self.0
    }
}

impl Drop for Turning<'_> {
    fn drop(&mut self) {
        self.0.turning = false;
        if let Some(panicked) = self.calling.take() {
            self.vacate(panicked);
        }
        if !self.batch.is_empty() {
            self.put_back_batch();
        }
    }
}
