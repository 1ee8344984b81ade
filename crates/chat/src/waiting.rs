//! What a channel waits for, within a time.

use std::io;
use std::mem;
use std::time::Duration;

use reactor::{ChannelMap, CloseReason, Timer};

use crate::endpoint::Endpoint;
use crate::flags::{EOF, RESTING};
use crate::life::Stage;

/// How long a channel rests when the system is short of something, memory or
/// descriptors. Nothing but time helps then, and the poller reports that the channel is
/// ready all the while.
const REST: Duration = Duration::from_millis(250);

/// The number of a channel's own timers: one that is left of an endpoint that was replaced
/// is told from the program's.
pub(crate) const OWN: u32 = u32::MAX;

/// The timers of a channel that waits; most have none.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    wait: Option<Wait>,
    /// When that is over. `None`, too, if the limit is longer than any clock tells.
    timer: Option<Timer>,
    /// Bytes sent when the timer was set.
    sent: u64,
    /// When the channel has rested.
    rest: Option<Timer>,
}

/// What the peer is to do in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// To take some output: [`Limits::stall`](crate::Limits::stall).
    Room,
    /// To close: [`Limits::linger`](crate::Limits::linger).
    Close,
}

impl Endpoint {
    /// Whether the timers are not those that the channel needs now.
    pub(crate) fn has_wrong_timers(&self) -> bool {
        let (wait, is_resting) = match &self.waiting {
            Some(waiting) => (waiting.wait, waiting.rest.is_some()),
            None => (None, false),
        };
        let is_as_needed = wait == self.waits_for() && is_resting == (self.flags & RESTING != 0);
        !is_as_needed && !self.is_closed()
    }

    /// Sets the timers that the channel needs, and cancels the others.
    pub(crate) fn set_timers(&mut self, map: &mut ChannelMap) {
        let (me, now) = (self.me, map.now());
        let mut waiting = self.waiting.take().unwrap_or_default();
        let wait = self.waits_for();
        if waiting.wait != wait {
            let patience = wait.map(|wait| match wait {
                Wait::Room => self.limits.stall,
                Wait::Close => self.limits.linger,
            });
            // Later than any clock tells is never.
            let deadline = patience.and_then(|patience| now.checked_add(patience));
            let timer = deadline.map(|deadline| map.set_numbered_timer(me, OWN, deadline));
            if let Some(old) = mem::replace(&mut waiting.timer, timer) {
                map.cancel(old);
            }
            waiting.wait = wait;
            waiting.sent = self.sent();
        }
        if self.flags & RESTING != 0 && waiting.rest.is_none() {
            waiting.rest = Some(map.set_numbered_timer(me, OWN, now + REST));
        }
        self.keep_waiting(waiting);
    }

    /// Handles a timer that [`set_timers`](Self::set_timers) set: goes on after a rest, or closes
    /// the channel, unless the peer has taken something since. Returns whether it is one.
    pub(crate) fn handle_own_timer(&mut self, timer: Timer) -> bool {
        let sent = self.sent();
        let is_ours = |it: &mut Box<Waiting>| [it.timer, it.rest].contains(&Some(timer));
        let Some(mut waiting) = self.waiting.take_if(is_ours) else {
            return timer.number() == OWN;
        };
        if waiting.rest.take_if(|rest| *rest == timer).is_some() {
            self.flags &= !RESTING; // and the settle sends
        } else {
            waiting.timer = None;
            match waiting.wait.take() {
                Some(Wait::Room) if sent > waiting.sent => {}
                Some(Wait::Room) => self.give_up(),
                _ => self.close_as_ended(),
            }
        }
        self.keep_waiting(waiting);
        true
    }

    /// The peer has had its time to take some output.
    fn give_up(&mut self) {
        let (me, stall) = (self.me, self.limits.stall);
        log::warn!("channel {me}: given up: none of its output was taken for {stall:?}");
        self.close_with(CloseReason::TimedOut);
    }

    /// The timers are gone, with the map that the channel was in.
    pub(crate) fn forget_timers(&mut self) {
        self.waiting = None;
    }

    /// Has the channel rest if the error is one that time helps against: nothing is
    /// lost then, and nothing ended. Returns whether it is.
    pub(crate) fn rests_after(&mut self, error: &io::Error) -> bool {
        let is_shortage = is_shortage(error);
        if is_shortage {
            log::debug!("channel {}: rests: {error}", self.me);
            self.flags |= RESTING;
        }
        is_shortage
    }

    fn keep_waiting(&mut self, waiting: Box<Waiting>) {
        if waiting.wait.is_some() || waiting.rest.is_some() {
            self.waiting = Some(waiting);
        }
    }

    /// What the channel waits for. A producer that has nothing is the program's, unless
    /// nobody would see the peer go meanwhile.
    fn waits_for(&self) -> Option<Wait> {
        let is_waiting = match self.life.stage() {
            Stage::Live | Stage::Shut => self.flags & EOF != 0 && self.has_output(),
            // Whoever was to feed a producer may be the handler that has failed.
            Stage::Finishing(ending) => {
                matches!(ending.reason, CloseReason::HandlerError)
                    || self.has_ready_output()
                    || (self.has_output() && !self.discards_input())
            }
            Stage::Failing(_) | Stage::Lingering(_) => return Some(Wait::Close),
            _ => false,
        };
        is_waiting.then_some(Wait::Room)
    }
}

/// Whether the system had no memory for a call, or no buffer: the next one may have.
/// Any other error that is not `WouldBlock` or `Interrupted` says that the connection
/// has failed.
fn is_shortage(error: &io::Error) -> bool {
    const ENOBUFS: i32 = if cfg!(any(target_os = "linux", target_os = "android")) {
        105
    } else if cfg!(any(target_os = "solaris", target_os = "illumos")) {
        132
    } else if cfg!(windows) {
        10_055
    } else {
        55 // the BSDs and macOS
    };
    error.kind() == io::ErrorKind::OutOfMemory || error.raw_os_error() == Some(ENOBUFS)
}
