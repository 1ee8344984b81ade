//! How the map turns: settle, wait, dispatch, timers, remote work.

use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::slot::Slot;
use super::{ChannelMap, home, interest};
use crate::channel::Channel;
use crate::close_reason::CloseReason;
use crate::error::{NestedTurn, Result};
use crate::readiness::Readiness;
use crate::token::{Key, Token};

/// How often one turn settles, at most: what its own closing touched is settled, too.
const SETTLE_ROUNDS: usize = 5;

/// # Turning the loop
impl ChannelMap {
    /// Turns until no channel is left (and no [remote](Self::remote) work and no
    /// [post](Self::post) waits), or until [`stop`](Self::stop) is called: asyncore's
    /// `loop()`. When only [background](Self::set_background) channels are left, it tells
    /// them to finish.
    ///
    /// # Errors
    ///
    /// [`NestedTurn`] from inside a callback; the operating system's error if the wait
    /// itself fails for good. An error of one channel never ends the loop.
    ///
    /// While the system is only short of something (`ENOMEM`, `EMFILE`), the loop
    /// goes on. It warns once, and pauses for 10 ms after each wait that fails. A
    /// channel that the poller cannot watch for such a reason stays in the map, without
    /// events; it is tried again four times a second.
    #[doc(alias("loop", "asyncore.loop"))]
    pub fn run(&mut self) -> Result {
        self.run_turns(None, usize::MAX)
    }

    /// Turns at most `count` times, each waiting at most `timeout`, as long as
    /// [`run`](Self::run) would: asyncore's `loop(timeout, count=count)`.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_turns(&mut self, timeout: Option<Duration>, count: usize) -> Result {
        if self.home.is_busy() {
            return Err(NestedTurn.into());
        }
        for _ in 0..count {
            if self.stopping {
                break;
            }
            let has_work = || self.remote.inbox.waiting.load(Ordering::SeqCst) > 0;
            if self.slots.is_empty() && self.posts.is_empty() && !has_work() {
                self.shutdown_deadline = None;
                self.set_alarm();
                break;
            }
            self.turn(timeout)?;
            self.follows = true;
        }
        self.follows = false;
        self.stopping = false;
        Ok(())
    }

    /// Makes one turn, which waits for events at most `timeout` (`None`: until
    /// there is one): asyncore's `poll()`. Returns the number of channels with events,
    /// timers, posts and pieces of remote work that it dispatched. When only
    /// [background](Self::set_background) channels are left, it tells them to finish, as `run`
    /// does.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    #[doc(alias("poll", "poll2", "poll3"))]
    pub fn turn(&mut self, timeout: Option<Duration>) -> Result<usize> {
        self.turn_with(|map| {
            if !mem::take(&mut map.follows) {
                map.come_back();
            }
            let (was_done, was_stopping) = (map.slots.is_empty(), map.stopping);
            map.settle();
            if !map.slots.is_empty() || was_done {
                let has_stopped = map.stopping && !was_stopping;
                let patience = match has_stopped {
                    true => Some(Duration::ZERO),
                    false => map.patience(timeout),
                };
                if let Some(measure) = &mut map.measure {
                    measure.stamp();
                }
                map.wait(patience)?;
                if let Some(measure) = &mut map.measure {
                    measure.wake_up();
                }
            } // or nobody is left to wait for, and `run` shall return
            map.now = Instant::now();
            map.buffers.0.clock.time.set(map.buffers.moment(map.now));
            Ok(map.dispatch_all())
        })
    }

    /// Makes one turn at the time `now`, without the poller and without a wait. It
    /// dispatches the events that [`dispatch`](Self::dispatch) brought, the
    /// [pending](crate::Channel::pending) channels, and the timers that are due at
    /// `now`.
    ///
    /// Simulations and tests run the production loop this way, with their own clock and
    /// network. From the first such turn on, [`after`](Self::after) goes by that clock.
    ///
    /// # Errors
    ///
    /// [`NestedTurn`] from inside a callback.
    pub fn turn_at(&mut self, now: Instant) -> Result<usize> {
        self.turn_with(|map| {
            map.now = now;
            map.buffers.0.clock.time.set(map.buffers.moment(now));
            map.is_simulated = true;
            map.settle();
            Ok(map.dispatch_all())
        })
    }

    /// Has the next turn call the channel as if the poller had reported
    /// `readiness`, without the events that the channel does not want. Returns whether
    /// there is such a channel.
    #[doc(alias = "readwrite")]
    pub fn dispatch(&mut self, channel: impl Into<Token>, readiness: Readiness) -> bool {
        let token = channel.into();
        let is_open = self.is_open(token);
        self.make_ready(token, readiness);
        is_open
    }

    /// Whether a channel that is inside one of its callbacks should go on delivering the
    /// input it has. `false` if that callback has closed, [converted](Self::convert) or
    /// [amended](Self::amend) it, has [posted](Self::post) to any channel, or has passed the
    /// [cap of memory](Self::set_memory_cap).
    #[inline]
    pub fn may_continue(&self, me: Token) -> bool {
        self.buffers.0.calling.get() == Some(me) || self.may_continue_so_far(me)
    }

    #[cold]
    fn may_continue_so_far(&self, me: Token) -> bool {
        self.slot(me).is_some_and(Slot::is_unchanged)
            && self.posts.is_empty()
            && !self.buffers.memory().is_over()
    }

    /// Makes [`run`](Self::run) return after the present turn or, if it is not running,
    /// when it is next called. The channels stay in the map.
    #[doc(alias = "ExitNow")]
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// Tells every channel to finish
    /// ([`Channel::handle_shutdown`](crate::Channel::handle_shutdown)): a channel of
    /// the `chat` crate sends what is queued and closes, a listener closes at once. At
    /// `deadline`, the map closes the remaining channels with [`CloseReason::Shutdown`];
    /// those of the `chat` crate send a goodbye then, if they have one and there is room.
    ///
    /// Channels that are inserted meanwhile are shut down too. A channel that reconnects
    /// in `handle_close` checks [`is_shutting_down`](Self::is_shutting_down) first. From
    /// `deadline` until the map is empty, inserting fails. So [`run`](Self::run) returns
    /// soon after `deadline` at the latest. [`after`](Self::after) gives the deadline.
    pub fn shut_down(&mut self, deadline: Instant) {
        if self.slots.is_empty() {
            return;
        }
        let they_know = self.shutdown_deadline.replace(deadline).is_some();
        self.set_alarm();
        if they_know {
            return;
        }
        for (_, slot) in &mut self.slots {
            if !slot.is_background && !slot.closing {
                slot.make_ready(Readiness::SHUTDOWN, &mut self.ready);
            }
        }
    }

    /// Whether the map is being [shut down](Self::shut_down).
    pub fn is_shutting_down(&self) -> bool {
        self.shutdown_deadline.is_some()
    }

    /// Makes one turn. A panic ends it, too: the map can be turned again.
    fn turn_with(&mut self, turn: impl FnOnce(&mut Self) -> Result<usize>) -> Result<usize> {
        if self.home.state.get() != home::AT_REST {
            self.come_to_rest()?;
        }
        let home = Rc::clone(&self.home);
        home.state.set(home::TURNING);
        self.counts.turns += 1;
        let turned = panic::catch_unwind(AssertUnwindSafe(|| turn(self)));
        home.state.set(home.state.get() & !home::TURNING);
        match turned {
            Ok(turned) if Rc::ptr_eq(&home, &self.home) => turned,
            turned => self.end_astray(&home, turned),
        }
    }

    /// The map was left alone for a time, at whose end it sends what was queued meanwhile.
    fn come_back(&mut self) {
        let now = Instant::now();
        self.buffers.0.clock.time.set(self.buffers.moment(now));
    }

    /// Settles the touched channels, all before the first close is told of: what
    /// one channel is told may end another, which still has something to send.
    ///
    /// A close may touch others (the room tells its members), who are to be
    /// settled before the wait as well. The rounds are bounded; if there is
    /// still something to do after the last, the wait does not sleep.
    fn settle(&mut self) {
        for _ in 0..SETTLE_ROUNDS {
            mem::swap(self.touched.get_mut(), &mut self.batch);
            let mut nth = 0;
            while let Some(&token) = self.batch.get(nth) {
                nth += 1;
                if let Err(reason) = self.settle_channel(token) {
                    self.close_with(token, reason);
                }
            }
            self.batch.clear();
            self.run_closes();
            if self.buffers.0.has_touched.get() {
                self.touch_those();
            }
            if self.touched.get_mut().is_empty() {
                break;
            }
        }
        if self.background > 0 && self.background == self.slots.len() {
            self.end_background();
        }
    }

    /// Has the channel send what it has queued, and say what it wants.
    fn settle_channel(&mut self, token: Token) -> Result<(), CloseReason> {
        let slot = match self.slots.get_mut(token.slot) {
            Some(slot) if slot.token == token && slot.touched && !slot.closing => slot,
            _ => return Ok(()),
        };
        let Some(channel) = slot.channel.as_mut() else {
            return Ok(());
        };
        slot.touched = false;
        // It stays in its slot meanwhile, for it does not get the map.
        self.buffers.0.calling.set(Some(token));
        // A one-shot poller is to be told again what it has reported.
        let settled = match channel.flush(token) && self.poller.supports_level() && !slot.must_ask {
            true => Ok(()),
            false => {
                let settled = match channel.settle(token) {
                    Ok(()) => match slot.ask(&self.poller, &mut self.ready) {
                        Ok(()) => Ok(()),
                        Err(error) => self.bear_unwatched(token, error),
                    },
                    Err(reason) => Err(reason),
                };
                if settled.is_ok() {
                    self.relieve();
                }
                settled
            }
        };
        self.buffers.0.calling.set(None);
        settled
    }

    /// Waits for events and queues them for dispatch.
    fn wait(&mut self, timeout: Option<Duration>) -> Result {
        self.events.clear();
        if let Err(error) = self.poller.wait(&mut self.events, timeout) {
            self.bear_failed_wait(error)?;
        }
        let is_one_shot = !self.poller.supports_level();
        self.events.iter().for_each(|event| {
            // The lower half of a key is the slot.
            let slot = match self.slots.get_mut(event.key as u32 as usize) {
                Some(slot) if slot.token == Key(event.key as u64) => slot,
                _ => return, // see `bear_strangers`
            };
            if is_one_shot {
                slot.watch.spend();
                slot.touch(self.touched.get_mut());
            }
            let mut reported = Readiness::NONE;
            if event.readable {
                reported |= Readiness::READABLE;
            }
            if event.writable {
                // A hang-up or an error is reported as everything at once.
                rare();
                reported |= Readiness::WRITABLE;
                if event.is_err() == Some(true) {
                    reported |= Readiness::ERROR;
                }
                if event.is_interrupt() {
                    reported |= Readiness::HANG_UP;
                }
            }
            if event.is_priority() {
                reported |= Readiness::PRIORITY;
            }
            slot.ready |= reported & slot.interest;
            self.ready.push(slot.token);
        });
        if self.ready.is_empty() && !self.events.is_empty() {
            self.bear_strangers();
        }
        Ok(())
    }

    /// How long the wait may sleep: not at all, if there is something to do without
    /// any event.
    #[inline(always)] // into each turn
    pub(super) fn patience(&mut self, timeout: Option<Duration>) -> Option<Duration> {
        if !self.ready.is_empty()
            || !self.touched.get_mut().is_empty()
            || !self.closing.is_empty()
            || !self.posts.is_empty()
            || self.remote.inbox.waiting.load(Ordering::SeqCst) > 0
        {
            return Some(Duration::ZERO);
        }
        match self.timers.heap.is_empty() && self.alarm.is_none() {
            true => timeout,
            false => self.patience_by_the_clock(timeout),
        }
    }

    fn patience_by_the_clock(&self, timeout: Option<Duration>) -> Option<Duration> {
        let deadlines = [self.timers.heap.first().map(|due| due.0), self.alarm];
        let next = deadlines.into_iter().flatten().min();
        // A fresh reading: by `self.now`, the wait would last longer by the
        // time that this turn's callbacks took.
        let until_next = next.map(|at| at.saturating_duration_since(Instant::now()));
        [timeout, until_next].into_iter().flatten().min()
    }

    fn dispatch_all(&mut self) -> usize {
        // From outside of a turn, or from a close.
        let mut dispatched = match self.posts.is_empty() {
            true => 0,
            false => self.run_posts(),
        };
        if let Some(measure) = &mut self.measure {
            measure.stamp(); // who is called next has not caused that
        }
        // What callbacks make ready is the next turn's.
        mem::swap(&mut self.ready, &mut self.batch);
        let mut nth = 0;
        while let Some(&token) = self.batch.get(nth) {
            dispatched += usize::from(self.dispatch_channel(token));
            self.run_closes();
            if self.pauses {
                self.pause_after(token);
            }
            nth += 1;
        }
        // Who was called is touched.
        match self.touched.get_mut() {
            touched if touched.is_empty() => mem::swap(touched, &mut self.batch),
            touched => touched.append(&mut self.batch),
        }
        if !self.timers.heap.is_empty() {
            dispatched += self.call_timers();
        }
        for _ in 0..self.remote.inbox.waiting.load(Ordering::SeqCst) {
            let Some(work) = self.remote.take_first() else {
                break;
            };
            let home = Rc::clone(&self.home);
            work(self);
            dispatched += 1;
            if !self.is_at(&home) {
                self.park(None);
            }
            self.end_callback();
            self.run_posts();
            self.take_time(None);
        }
        if self.alarm.is_some() {
            self.ring();
        }
        self.counts.events += dispatched as u64;
        dispatched
    }

    /// After a channel was called: runs the posts, and takes the time.
    #[cold]
    fn pause_after(&mut self, called: Token) {
        self.run_posts();
        self.take_time(Some(called));
    }

    /// Calls a channel with each of its events, as long as it wants them; returns
    /// whether it wanted any.
    fn dispatch_channel(&mut self, me: Token) -> bool {
        let slot = match self.slots.get_mut(me.slot) {
            Some(slot) if slot.token == me && !slot.closing => slot,
            _ => return false,
        };
        let mut ready = mem::replace(&mut slot.ready, Readiness::NONE);
        // If nobody touched the channel since, it wants what it wanted then.
        let is_known = !slot.touched;
        if is_known {
            ready = ready & (slot.interest | Readiness::PENDING | Readiness::SHUTDOWN);
        }
        if ready == Readiness::NONE {
            return false;
        }
        let Some(mut channel) = slot.channel.take() else {
            slot.ready = ready; // it comes home before the next turn
            slot.touched = true;
            return false;
        };
        self.buffers.0.calling.set(Some(me));
        if !is_known || ready != Readiness::READABLE {
            let was_called = self.call_one_by_one(ready, is_known, &mut *channel, me);
            self.end_disturbed(channel, me);
            return was_called;
        }
        if let Err(error) = channel.handle_read_event(me, self) {
            channel.handle_error(error, me, self);
        }
        if self.buffers.0.calling.get() != Some(me) {
            self.end_disturbed(channel, me);
            return true;
        }
        // Nobody else has queued anything: an answer leaves at once.
        let is_settled = channel.flush(me);
        self.buffers.0.calling.set(None);
        if let Err(stray) = self.put_back(channel, me, is_settled) {
            self.park(Some((me, stray)));
        }
        true
    }

    /// Calls a channel with each of its events as long as it wants them; the first
    /// may be known to be wanted. Returns whether one was.
    #[cold]
    fn call_one_by_one(
        &mut self,
        mut ready: Readiness,
        mut is_known: bool,
        channel: &mut dyn Channel,
        me: Token,
    ) -> bool {
        // What it said of itself may have changed by what it was told since.
        is_known &= !ready.contains(Readiness::PENDING);
        let mut was_called = false;
        while let Some(event) = ready.take_first() {
            if !self.begin_before(event, channel, me) {
                break;
            }
            if is_known || self.is_wanted(event, channel, me) {
                let result = match event {
                    Readiness::SHUTDOWN => channel.handle_shutdown(me, self),
                    Readiness::PENDING => channel.handle_pending(me, self),
                    Readiness::PRIORITY => channel.handle_expt_event(me, self),
                    Readiness::READABLE => channel.handle_read_event(me, self),
                    Readiness::WRITABLE => channel.handle_write_event(me, self),
                    Readiness::ERROR => {
                        channel.discard_errors(me);
                        Ok(())
                    }
                    _ => channel.handle_hang_up(me, self),
                };
                if let Err(error) = result {
                    channel.handle_error(error, me, self);
                }
                was_called = true;
                is_known = false;
                if !self.may_continue(me) {
                    break;
                }
            }
        }
        was_called
    }

    /// Has the channel do what comes before `event`, unless it does so by itself. Returns
    /// whether `event` may come now; otherwise it comes in the next turn.
    fn begin_before(&mut self, event: Readiness, channel: &mut dyn Channel, me: Token) -> bool {
        let is_first = matches!(event, Readiness::SHUTDOWN | Readiness::HANG_UP);
        if !is_first || !channel.must_begin(me) {
            return true;
        }
        if let Err(error) = channel.handle_begin(me, self) {
            channel.handle_error(error, me, self);
        }
        let goes_on = self.may_continue(me);
        if !goes_on {
            self.make_ready(me, event);
        }
        goes_on
    }

    /// Whether an event that was reported is still the channel's: callbacks may
    /// have changed what it wants, or replaced the source that it came from.
    fn is_wanted(&self, event: Readiness, channel: &dyn Channel, me: Token) -> bool {
        match event {
            Readiness::SHUTDOWN => true,
            Readiness::PENDING => channel.pending(me),
            _ => {
                let watch = &self.slots[me.slot].watch;
                watch.follows(channel.registration()) && interest(channel, me).contains(event)
            }
        }
    }

    /// Puts a channel in its slot again, converted if that was asked for
    /// meanwhile. Unless it `is_settled`, it is to be: its token is in a queue for that.
    /// An `Err` is a channel of another map, which the callback has taken out of this
    /// one's place.
    #[inline(always)] // out of line it saves more registers than it has instructions
    pub(super) fn put_back(
        &mut self,
        channel: Box<dyn Channel>,
        token: Token,
        is_settled: bool,
    ) -> Result<(), Box<dyn Channel>> {
        match self.slots.get_mut(token.slot) {
            Some(slot) if slot.token == token => {
                slot.touched |= !is_settled;
                match slot.deferred {
                    None => slot.channel = Some(channel),
                    Some(_) => self.put_back_changed(channel, token),
                }
            }
            _ => return Err(channel),
        }
        Ok(())
    }

    /// Calls `handle_close` of the closed channels, first come first served.
    ///
    /// Channels that were made in here wait for the next time: otherwise one
    /// whose `handle_close` inserts and closes another would never end.
    pub(super) fn run_closes(&mut self) {
        if !self.closing.is_empty() {
            self.tell_closed();
        }
    }

    #[cold]
    fn tell_closed(&mut self) {
        let mark = Token::new(0);
        let home = Rc::clone(&self.home);
        while self.closing.front().is_some_and(|(token, _)| *token < mark) {
            let Some((token, reason)) = self.closing.pop_front() else {
                break;
            };
            self.bring_home();
            if let Some(mut channel) = self.vacate(token) {
                self.counts.closed += 1;
                channel.handle_close(reason, token, self);
                if !self.is_at(&home) {
                    self.park(None);
                }
                self.relieve();
            }
        }
    }
}

/// Tells the compiler that the usual event does not come here.
#[inline]
#[cold]
fn rare() {}
