//! How a channel ends that is closed when all is sent: its input is discarded,
//! the peer has some time to close its end, too, and both have a limit.

use std::io;

use reactor::{ChannelMap, CloseReason, Timer};

use crate::endpoint::Endpoint;
use crate::flags::EOF;
use crate::life::Stage;

/// What a channel keeps account of while it ends.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) reason: CloseReason,
    /// Bytes discarded in this stage.
    discarded: usize,
    /// What is waited for. The timer is `None`, too, if the limit is longer than any
    /// clock tells.
    timed: Option<Wait>,
    timer: Option<Timer>,
    /// Bytes sent when the timer was set.
    sent: u64,
}

/// What a channel that ends waits for, within a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// The peer to take some output: [`Limits::stall`](crate::Limits::stall).
    Room,
    /// The peer to close: [`Limits::linger`](crate::Limits::linger).
    Close,
}

impl Ending {
    pub(crate) fn new(reason: CloseReason) -> Box<Self> {
        Box::new(Self {
            reason,
            discarded: 0,
            timed: None,
            timer: None,
            sent: 0,
        })
    }

    /// The same, of a channel that has sent all.
    pub(crate) fn lingering(mut self: Box<Self>) -> Box<Self> {
        self.discarded = 0;
        self
    }
}

impl Endpoint {
    /// Whether the channel reads, and discards what it reads.
    pub(crate) fn discards_input(&self) -> bool {
        match self.life.stage() {
            // What a peer sends for ever stays in the kernel, and holds it back.
            Stage::Finishing(ending) => {
                self.flags & EOF == 0 && ending.discarded <= self.limits.linger_bytes
            }
            Stage::Lingering(_) => true,
            _ => false,
        }
    }

    /// Reads and drops, so that closing the socket does not reset the
    /// connection under the peer's nose.
    pub(crate) fn discard_input(&mut self, map: &ChannelMap) {
        let mut buffer = map.buffers().read_buffer();
        for _ in 0..self.limits.reads_per_turn.max(1) {
            match self.receive(&mut buffer) {
                Ok(0) => {
                    self.flags |= EOF;
                    return self.end_lingering();
                }
                Ok(len) => {
                    let max = self.limits.linger_bytes;
                    let Some(ending) = self.life.ending() else {
                        return;
                    };
                    ending.discarded += len;
                    if ending.discarded > max {
                        return self.end_lingering();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    self.end_input(error);
                    return self.end_lingering();
                }
            }
        }
    }

    /// Whether the timer is not the one that the channel needs now.
    pub(crate) fn is_untimed(&self) -> bool {
        match self.life.stage() {
            Stage::Finishing(ending) | Stage::Lingering(ending) => ending.timed != self.waits_for(),
            _ => false,
        }
    }

    /// Sets the timer that the channel needs, or none.
    pub(crate) fn time_ending(&mut self, map: &mut ChannelMap) {
        let wait = self.waits_for();
        let patience = wait.map(|wait| match wait {
            Wait::Room => self.limits.stall,
            Wait::Close => self.limits.linger,
        });
        // Later than any clock tells is never.
        let deadline = patience.and_then(|patience| map.now().checked_add(patience));
        let timer = deadline.map(|deadline| map.set_timer(self.me, deadline));
        let sent = self.sent();
        if let Some(ending) = self.life.ending() {
            ending.timed = wait;
            ending.sent = sent;
            if let Some(old) = std::mem::replace(&mut ending.timer, timer) {
                map.cancel(old);
            }
        }
    }

    /// If `timer` is the one that [`time_ending`](Self::time_ending) set: closes the
    /// channel, unless the peer has taken something since. Returns whether it is.
    pub(crate) fn ends_at(&mut self, timer: Timer) -> bool {
        let sent = self.sent();
        let Some(ending) = self.life.ending().filter(|e| e.timer == Some(timer)) else {
            return false;
        };
        let is_taken = ending.timed == Some(Wait::Room) && sent > ending.sent;
        self.untime();
        if !is_taken {
            self.close_with(CloseReason::TimedOut);
        }
        true
    }

    /// The timer is gone, by itself or with the map that the channel was in.
    pub(crate) fn untime(&mut self) {
        if let Some(ending) = self.life.ending() {
            ending.timer = None;
            ending.timed = None;
        }
    }

    /// What the channel waits for; nothing, while its producer has nothing. But whoever
    /// was to feed that may be the handler that has failed.
    fn waits_for(&self) -> Option<Wait> {
        match self.life.stage() {
            Stage::Finishing(ending)
                if self.has_ready_output()
                    || matches!(ending.reason, CloseReason::HandlerError) =>
            {
                Some(Wait::Room)
            }
            Stage::Lingering(_) => Some(Wait::Close),
            _ => None,
        }
    }

    fn end_lingering(&mut self) {
        if let Stage::Lingering(_) = self.life.stage() {
            self.close();
        }
    }
}
